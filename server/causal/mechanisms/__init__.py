"""Mechanisms P(node | parents): what they hold, and how people read their parameters."""
