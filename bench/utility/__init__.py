"""How useful what a round releases is: errors of marginals and effects, and honesty of intervals."""
