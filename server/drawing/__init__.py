"""Words for drawing: what figures of reports and of analyses have in common."""
