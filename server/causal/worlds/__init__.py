"""Worlds: the mechanisms of a model under interventions."""
