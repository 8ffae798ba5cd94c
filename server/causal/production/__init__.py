"""Synthetic populations as files, at any scale: single files, partitions, processes, Spark."""
