"""The contract: what every party must agree on. No I/O, clock, entropy, logging or framework."""
