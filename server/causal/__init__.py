"""The fitted structural causal model: its face is `model.py`."""
