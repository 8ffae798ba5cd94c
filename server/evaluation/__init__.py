"""Whether what a study assumes agrees with what its rounds released, at no further budget."""
