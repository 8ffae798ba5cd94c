"""The coordinator: rounds, estimation, causal model, release."""
