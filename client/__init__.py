"""The site: source, measurement, gate and Flower client."""
