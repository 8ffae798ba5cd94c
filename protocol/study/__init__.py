"""The study: public variables, causal graph, questions, budget, cohort rule; content hash."""
