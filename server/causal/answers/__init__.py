"""Answers to causal questions: exact where tables allow it, else simulated."""
