"""Where an answer tips: the first of rising strengths at which nothing is left of it."""

from collections.abc import Callable, Sequence

from scipy.optimize import brentq

_CLOSE = 1e-9


def tipping_point(distance: Callable[[float], float], strengths: Sequence[float]) -> float | None:
    """Return the least strength at which a distance is 0 or less, None if none of them is.

    `strengths` lead away from the first; between two of them Brent's method finds it.
    """
    before = strengths[0]
    if distance(before) <= 0:
        return before
    for after in strengths[1:]:
        if distance(after) <= 0:
            return float(brentq(distance, before, after, xtol=_CLOSE))
        before = after
    return None
