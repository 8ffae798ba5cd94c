"""Student's t distribution: the one quantile that intervals need.

With t = sqrt(nu) tan(phi), P(|T| <= t) is the integral of cos^(nu - 1) from 0 to phi, times
2 / B(1/2, nu/2): smooth on [0, phi], so that few Gauss-Legendre nodes give it to the last digits.
It is concave in phi, so that Newton's steps from 0 climb to the quantile and never pass it.
"""

import math

import numpy as np

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_PLACES = (_NODES + 1) / 2  # in (0, 1)
_MOST_STEPS = 200
_SMALL = 1e-15  # of a step, relative


def two_sided_quantile(level: float, degrees_of_freedom: float) -> float:
    """Return t with P(-t <= T <= t) = level; needs 0 < level < 1 and degrees of freedom from 1."""
    power = degrees_of_freedom - 1
    logs = math.lgamma(0.5) + math.lgamma(degrees_of_freedom / 2)
    whole = math.exp(logs - math.lgamma((degrees_of_freedom + 1) / 2)) / 2
    phi = 0.0
    for _ in range(_MOST_STEPS):
        mass = phi / 2 * float(_WEIGHTS @ np.cos(phi * _PLACES) ** power)
        step = (level * whole - mass) / math.cos(phi) ** power
        phi += step
        if abs(step) <= _SMALL * phi:
            break
    return math.sqrt(degrees_of_freedom) * math.tan(phi)
