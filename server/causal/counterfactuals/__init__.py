"""What would have happened to the same persons: unit-level counterfactuals, and their bounds."""
