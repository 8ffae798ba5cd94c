"""Direct and indirect effects: what of an effect goes through some nodes, and what past them."""
