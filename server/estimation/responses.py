"""Means of booleans and of clamped counts, given the predictor of a regression on the link's scale.

A count Y is Poisson, or negative binomial with Var = m + d m^2, and is recorded clamped to bounds
[low, high]. With F_i the distribution function of a negative binomial of size 1/d + i and the same
scale (of a Poisson at d = 0, whatever i), the parts of its moments up to k are

    E[Y; Y <= k] = m F_1(k - 1)      E[Y (Y - 1); Y <= k] = (1 + d) m^2 F_2(k - 2)

and the mean of the clamped count has the derivative m (F_1(high - 1) - F_1(low - 1)) by log m.
Source: Johnson, Kemp and Kotz 2005, 4.3 and 5.3 (factorial moments of truncated counts).
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from server.estimation.moments import Reals

LARGEST_PREDICTOR = 30.0
_POISSON = 1e-3  # dispersion below which a count is taken as Poisson
_MOST_SUMMED = 500  # counts; e^-745 is the smallest float
_FAR = 6.0  # standard deviations beyond which clamping is not felt


@dataclass(frozen=True, slots=True, eq=False)
class ResponseMoments:
    """Of each row: the mean, its derivative by the predictor, and E[y^2]."""

    mean: Reals
    slope: Reals
    square: Reals

    @property
    def variance(self) -> Reals:
        """Return E[y^2] - E[y]^2."""
        return np.asarray(np.maximum(self.square - self.mean**2, 0.0))


def boolean_moments(predictor: Reals) -> ResponseMoments:
    """Return the moments of a logistic response."""
    mean = special.expit(np.clip(predictor, -LARGEST_PREDICTOR, LARGEST_PREDICTOR))
    return ResponseMoments(mean, mean * (1 - mean), mean)


def count_moments(
    predictor: Reals, dispersion: float, bounds: tuple[float, float]
) -> ResponseMoments:
    """Return the moments of a count clamped to `bounds`, which are whole numbers."""
    mean = np.exp(np.clip(predictor, -LARGEST_PREDICTOR, LARGEST_PREDICTOR))
    twice = (1 + dispersion) * mean**2
    found = np.array([mean, mean, twice + mean])  # mean, slope and square
    deviation = np.sqrt(mean + dispersion * mean**2)
    felt = (bounds[0] > 0) | (mean + _FAR * deviation + _FAR > bounds[1])
    found[:, felt] = _clamped(mean[felt], dispersion, bounds)
    return ResponseMoments(*found)


def _clamped(mean: Reals, dispersion: float, bounds: tuple[float, float]) -> Reals:
    """Return mean, slope and E[y^2] of clamped counts."""
    low, high = bounds
    parts = _summed if high <= _MOST_SUMMED else _distributed
    below, above, first, second = parts(mean, dispersion, bounds)
    return np.array(
        [
            first + low * below + high * above,
            first,
            second + low**2 * below + high**2 * above,
        ]
    )


def _summed(mean: Reals, dispersion: float, bounds: tuple[float, float]) -> Reals:
    """Return P(Y <= low), P(Y > high), and E[Y], E[Y^2] in between, count by count."""
    low, high = bounds
    growth = mean / (1 + dispersion * mean)
    chance = np.exp(-mean if dispersion < _POISSON else -np.log1p(dispersion * mean) / dispersion)
    found = np.zeros((4, len(mean)))
    found[1] = 1.0
    for count in range(int(high) + 1):
        found[1] -= chance
        if count <= low:
            found[0] += chance
        else:
            found[2] += count * chance
            found[3] += count**2 * chance
        chance = chance * growth * (1 + dispersion * count) / (count + 1)
    return found


def _distributed(mean: Reals, dispersion: float, bounds: tuple[float, float]) -> Reals:
    """Return the same by distribution functions."""
    low, high = bounds
    below = [_distribution(low - lag, mean, dispersion, lag) for lag in range(3)]
    reached = [_distribution(high - lag, mean, dispersion, lag) for lag in range(3)]
    first = mean * (reached[1] - below[1])
    second = (1 + dispersion) * mean**2 * (reached[2] - below[2]) + first
    return np.array([below[0], 1 - reached[0], first, second])


def _distribution(count: float, mean: Reals, dispersion: float, extra: int) -> Reals:
    """Return F_extra(count), 0 below 0."""
    if count < 0:
        return np.zeros_like(mean)
    if dispersion < _POISSON:
        return np.asarray(special.pdtr(count, mean))
    size = 1 / dispersion
    return np.asarray(special.betainc(size + extra, count + 1, size / (size + mean)))
