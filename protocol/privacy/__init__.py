"""The statistics plan: what is measured, how sensitive it is, how much noise it gets."""
