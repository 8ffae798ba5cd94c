"""An aggregator: one of two or three operators that add up sites' shares (SPEC 4.9)."""
