"""Secure aggregation: the five-step machine, both roles, without I/O."""
