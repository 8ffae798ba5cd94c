"""The driver of a round: deadlines, dropouts, checkpoints, transports."""
