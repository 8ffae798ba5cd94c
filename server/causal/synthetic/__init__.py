"""Analyses of synthetic rows: several data sets of one model, and what they say together."""
