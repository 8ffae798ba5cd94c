"""Scores of candidate graphs: dependence of each node on its parents, beyond what chance makes.

Of a family with node v and parents p, from the records of one site, n of them:

    f = sum over cells |n(p, v) - n(p) n(v) / n|                      (0 without records)
    g = sqrt(2 K max(n, K) / pi),  K = (number of v's levels - 1) (combinations of p - 1)

and the score is floor(STEPS (f - g)). f is n times twice the total variation distance between the
table and independence (the score R of PrivBayes, Zhang et al. 2017, is f / 2n). Without any
dependence f is about sum sqrt(2 e (1 - p)(1 - v) / pi) over cells with expectation e, which by
Cauchy and Schwarz is at most g with n for max(n, K): so a graph gains nothing by arrows between
what is independent. Scores of sites add up: this is dependence within sites.

Sensitivity. One more record, with n before. The first terms differ by 1 in one cell. The second,
e = n(p) n(v) / n, become (n(p) + [p]) (n(v) + [v]) / (n + 1), and

    e' - e = (-n(p) n(v) / n + n(p) [v] + n(v) [p] + [p][v]) / (n + 1),

whose absolute values sum to at most (3 n + 1) / (n + 1) < 3. So |f' - f| < 4. And g grows by at
most its slope at K, 1 / sqrt(2 pi) < 0.4. The floor adds less than 1: a score changes by less than
4.4 STEPS + 1, and being an integer, by at most `PER_FAMILY`.
"""

from math import pi, prod, sqrt

import numpy as np
from numpy.typing import NDArray

STEPS = 16
PER_FAMILY = 71  # the largest integer below 4.4 STEPS + 1 = 71.4

Counts = NDArray[np.int64]


def family_score(table: Counts) -> int:
    """Return the score of a family from its table, node last; shape (parents' sizes, levels)."""
    flat = table.reshape(-1, table.shape[-1]).astype(np.float64)
    rows = float(flat.sum())
    degrees = (prod(table.shape[:-1]) - 1) * (table.shape[-1] - 1)
    chance = sqrt(2 * degrees * max(rows, degrees) / pi)
    if not rows:
        return int(np.floor(-STEPS * chance))
    expected = np.outer(flat.sum(axis=1), flat.sum(axis=0)) / rows
    dependence = float(np.abs(flat - expected).sum())
    return int(np.floor(STEPS * (dependence - chance)))
