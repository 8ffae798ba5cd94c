"""The fitted structural causal model: sampling, interventions, effects."""
