"""Integer statistics and the noise that makes them private."""
