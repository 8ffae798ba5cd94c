"""Distributions that an unmeasured cause tilts, without a trace in what is observed.

For shares p over levels with scores s in [0, 1], and a cause u that is present with probability r:
q(k | u) = w_k exp(gamma u s_k) / Z_u, with the w that give (1 - r) q(k | 0) + r q(k | 1) = p_k.
With Z_0 = sum w = 1 and z = Z_1,

    w_k = p_k / (1 - r + r exp(gamma s_k) / z),   z the root of  sum_k w_k = 1

whose left side rises with z (Robins, Rotnitzky and Scharfstein 2000 call the tilt a selection bias
function). Between levels with scores 0 and 1 the log odds differ by gamma.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Reals: TypeAlias = NDArray[Any]  # float64

_STEPS, _CLOSE = 100, 1e-14


class Tilted(NamedTuple):
    """The two distributions, shape (.., levels), and where the cause is, given the level."""

    absent: Reals
    present: Reals
    share: Reals  # P(cause present | level): 0 where a level has no share


def tilted(shares: Reals, present: Reals | float, gamma: float, scores: Reals) -> Tilted:
    """Return how a cause with log odds `gamma` tilts `shares`, shape (.., levels).

    `present`, shape (..) or a number, is the probability of the cause.
    """
    factor = np.exp(gamma * scores)
    probability = np.asarray(present, dtype=np.float64)[..., None]
    total = _root(shares, probability, factor)
    absent = shares / (1 - probability + probability * factor / total)
    with_cause = absent * factor / total
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(shares > 0, probability * with_cause / shares, 0.0)
    return Tilted(absent, with_cause, share)


def _root(shares: Reals, probability: Reals, factor: Reals) -> Reals:
    """Return z, shape (.., 1), by Newton's method.

    The sum is concave in z and at most 1 at the least factor, so that no step leads past the root.
    """
    if shares.shape[-1] == 2:
        return _of_two(shares, probability, factor)
    shape = np.broadcast_shapes(shares.shape[:-1], probability.shape[:-1])
    found = np.full((*shape, 1), factor.min())
    for _ in range(_STEPS):
        parts = shares / ((1 - probability) * found + probability * factor)
        apart = (parts * found).sum(-1, keepdims=True) - 1
        slope = (parts**2 / np.where(shares > 0, shares, 1) * probability * factor).sum(
            -1, keepdims=True
        )
        found = found - np.divide(apart, slope, out=np.zeros_like(apart), where=slope > 0)
        if np.abs(apart).max(initial=0.0) < _CLOSE:
            break
    return np.asarray(found)


def _of_two(shares: Reals, probability: Reals, factor: Reals) -> Reals:
    """Return z of two levels, with shares p and q and factors f and h, in closed form.

    p / (s + r f / z) + q / (s + r h / z) = 1 with s = 1 - r is s z^2 + (p h + q f - s (f + h)) z =
    r f h, once both denominators are multiplied out and the common factor r is divided out.
    """
    p, q, r, s = shares[..., :1], shares[..., 1:], probability, 1 - probability
    f, h = factor[0], factor[1]
    linear, constant = p * h + q * f - s * (f + h), r * f * h
    with np.errstate(divide="ignore", invalid="ignore"):
        root = (-linear + np.sqrt(linear**2 + 4 * s * constant)) / (2 * s)
        return np.asarray(np.where(s > 0, root, constant / linear))
