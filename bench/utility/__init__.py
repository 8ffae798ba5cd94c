"""How useful a round's release is: errors of marginals and effects, honesty of intervals."""
