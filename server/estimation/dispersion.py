"""The dispersion d of a negative binomial regression, from the released sum of y^2.

For every d the coefficients are those that solve their own equations, so that the mean of y stays
what it is; d is where the mean of y^2 over the sample of parents is the released one. Drawn to 1
with a prior N(1, 2^2), as far as noise and the sampling of persons leave it open.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import optimize

from server.estimation.family import WIDENING
from server.estimation.matching_equations import Normal, Target, solve
from server.estimation.moments import Reals

_LARGEST = 20.0
_PRIOR_MEAN, _PRIOR_DEVIATION = 1.0, 2.0
_PRECISE = 1e-4
_STEP = 1e-2  # of numerical derivatives


@dataclass(frozen=True, slots=True, eq=False)
class Dispersed:
    """A dispersion with the coefficients that go with it."""

    target: Target  # with the dispersion
    posterior: Normal  # of the coefficients
    deviation: float  # of the dispersion
    moves: Reals  # derivative of the coefficients by the dispersion
    pulls: Reals  # minus the derivative of the dispersion by the coefficients

    def draw(self, coefficients: Reals, generator: Generator) -> tuple[Reals, Reals]:
        """Return dispersions for drawn coefficients, and what these move by because of them."""
        away = coefficients - self.posterior.mean
        normal = np.sqrt(WIDENING) * self.deviation * generator.standard_normal(len(away))
        drawn = self.target.dispersion + normal - away @ self.pulls
        found = np.clip(drawn, 0.0, _LARGEST)
        return found, np.outer(found - self.target.dispersion, self.moves)


def with_dispersion(target: Target, centre: Reals, prior: Reals) -> Dispersed:
    """Return the dispersion and the coefficients that meet the released moments.

    `centre` and `prior` are the mean and the precision of the coefficients before.
    """
    wanted, poisson = _released_square(target), solve(target, centre, prior, centre)

    def solved(dispersion: float) -> Normal:
        return solve(target.dispersed(dispersion), centre, prior, poisson.mean)

    def reached(dispersion: float) -> float:
        at = target.dispersed(dispersion)
        return _mean_square(at, solved(dispersion).mean) - wanted

    if reached(0.0) >= 0:
        raw = 0.0
    elif reached(_LARGEST) <= 0:
        raw = _LARGEST
    else:
        raw = float(optimize.brentq(reached, 0.0, _LARGEST, xtol=_PRECISE, rtol=_PRECISE))
    slope = (reached(raw + _STEP) - reached(raw)) / _STEP
    deviation = _deviation(target.dispersed(raw), solved(raw).mean) / max(slope, 1e-9)
    share = _PRIOR_DEVIATION**2 / (_PRIOR_DEVIATION**2 + deviation**2)
    found = share * raw + (1 - share) * _PRIOR_MEAN
    there, posterior = target.dispersed(found), solved(found)
    return Dispersed(
        target=there,
        posterior=posterior,
        deviation=float(np.sqrt(share)) * deviation,
        moves=(solved(found + _STEP).mean - posterior.mean) / _STEP,
        pulls=share * _by_coefficient(there, posterior.mean) / max(slope, 1e-9),
    )


def _by_coefficient(target: Target, coefficients: Reals) -> Reals:
    """Return the derivative of the mean of y^2 by the coefficients."""
    here = _mean_square(target, coefficients)
    steps = _STEP * np.eye(len(coefficients))
    return np.array([(_mean_square(target, coefficients + step) - here) / _STEP for step in steps])


def _released_square(target: Target) -> float:
    """Return the mean of y^2, in units of the response."""
    middle, half, matrix = target.scale.middle, target.scale.half, target.matrix
    sums = half**2 * matrix[-1, -1] + 2 * half * middle * matrix[0, -1] + middle**2 * matrix[0, 0]
    return float(sums) / target.total


def _mean_square(target: Target, coefficients: Reals) -> float:
    return float(target.moments_at(coefficients).square.mean())


def _deviation(target: Target, coefficients: Reals) -> float:
    """Return how far off noise and the sampling of persons leave the mean of y^2."""
    middle, half = target.scale.middle, target.scale.half
    weights = np.array([half**2, 2 * half * middle, middle**2 - _mean_square(target, coefficients)])
    noise = target.variance * float(weights @ weights) / target.total**2
    return float(np.sqrt(noise + _square_variance(target, coefficients) / target.total))


def _square_variance(target: Target, coefficients: Reals) -> float:
    """Return the variance of y^2 over persons, at most: of a count that is not clamped."""
    mean = np.exp(np.clip(target.regressors @ coefficients, -30.0, 30.0))
    d = target.dispersion
    rising = np.cumprod([mean, (1 + d) * mean, (1 + 2 * d) * mean, (1 + 3 * d) * mean], axis=0)
    fourth = float((np.array([1.0, 7.0, 6.0, 1.0]) @ rising).mean())
    square = _mean_square(target, coefficients)
    return max(min(fourth, target.bounds[1] ** 2 * square) - square**2, 0.0)
