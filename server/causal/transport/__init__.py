"""Effects carried to another population: mechanisms that differ there are taken from there."""
