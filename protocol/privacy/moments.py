"""Moments of numbers in integers: what regressions and Gaussian mechanisms are fitted to.

Of a family with regressors x_1 .. x_p and the node y, one row of the data gives z = (1, x, y) with
every entry clamped to its public bounds, mapped to [-1, 1] and rounded to a multiple of 1 / q. The
statistic is the upper triangle of sum q^2 z z', row by row (z_0 z_0, z_0 z_1, ..), separately for
every combination of the codes of the parents in `rows`.

L2 sensitivity. A row changes K = k (k + 1) / 2 elements of one combination, k = p + 2, each by at
most q^2 in size, and all of them by exactly q^2 where every number is at one of its bounds:
D^2 = (r q^2)^2 K for a unit of r rows (triangle inequality, reached by equal rows).
"""

from fractions import Fraction
from itertools import combinations_with_replacement

STEPS = 1024  # q of a unit's rows
TRANSITION_STEPS = 64  # q of transitions, whose weights need the room; z is known to 1 / 64
MAX_REGRESSORS = 64
MAX_ROWS = 256


def elements(regressors: int) -> int:
    """Return K, the number of elements of the upper triangle."""
    size = regressors + 2
    return size * (size + 1) // 2


def pairs(regressors: int) -> tuple[tuple[int, int], ...]:
    """Return (i, j), i <= j, of every element in order; 0 is the constant, p + 1 the node."""
    return tuple(combinations_with_replacement(range(regressors + 2), 2))


def scaled(value: Fraction, low: Fraction, high: Fraction) -> Fraction:
    """Return a value mapped so that [low, high] becomes [-1, 1], clamped."""
    clamped = min(max(value, low), high)
    return 2 * (clamped - low) / (high - low) - 1
