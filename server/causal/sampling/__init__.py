"""Rows of a world: noise, kernels, and columns for people."""
