"""From noisy sums to mechanisms with uncertainty."""
