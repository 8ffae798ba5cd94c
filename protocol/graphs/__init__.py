"""Causal graphs with causes that nobody measures, and which effects they identify."""
