"""Secure aggregation: the coordinator learns the sum of the cohort's vectors, and nothing else.

Pairwise masking with dropout recovery over a complete graph: the active-adversary
protocol of Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving
Machine Learning" (CCS 2017), section 4, with per-share commitments and a signed
agreement on the survivors. Normative text: SPEC 4.

Sans-IO: `site.advance` and `coordinator.advance` take a state and a message and return
a state and messages. They open no socket, read no clock and draw no entropy.
"""
