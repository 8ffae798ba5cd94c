"""The equations that a regression's coefficients solve, given noisy moments.

Notation: `moment_matching.py`.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import special

from server.causal.mechanisms.mechanism import Response
from server.estimation.moments import Reals, Scale
from server.estimation.responses import ResponseMoments, boolean_moments, count_moments

_STEPS = 40
_LARGEST_STEP = 1.0  # of a predictor
_HALVINGS = 6
_NEGLIGIBLE = 1e-8  # squared steps, in standard deviations
_SINGULAR = 1e-9  # added where regressors are lines of each other
_SMALLEST_RANGE = 0.01  # of a regressor, on the scale of its bounds
_OUTSIDE = 0.001  # share of the sample on either side that a range leaves out


@dataclass(frozen=True, eq=False)
class Target:
    """What one row's coefficients have to meet."""

    response: Response
    scale: Scale  # of the response
    regressors: Reals  # x of a sample of parents, shape (m, 1 + p)
    matrix: Reals  # z z' as released, shape (2 + p, 2 + p)
    total: float  # n
    variance: float  # v
    dispersion: float = 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """Return the bounds that the response is clamped to."""
        return self.scale.middle - self.scale.half, self.scale.middle + self.scale.half

    @property
    def gram(self) -> Reals:
        """Return A."""
        return self.matrix[:-1, :-1]

    @cached_property
    def known(self) -> Reals:
        """Return G: A without the directions that noise of its size could make."""
        values, vectors = np.linalg.eigh(self.gram)
        hidden = len(values) * self.variance
        seen = np.sqrt(np.maximum(np.maximum(values, 0.0) ** 2 - hidden, 0.0))
        return np.asarray(vectors * seen @ vectors.T)

    @cached_property
    def sums(self) -> Reals:
        """Return a, in units of the response."""
        found: Reals = self.scale.half * self.matrix[:-1, -1] + self.scale.middle * self.gram[0]
        return found

    @cached_property
    def second(self) -> Reals:
        """Return E[x x'] of the sample, regular."""
        found = self.regressors.T @ self.regressors / len(self.regressors)
        return np.asarray(found + _SINGULAR * np.eye(len(found)))

    def dispersed(self, dispersion: float) -> "Target":
        """Return the target for another dispersion of the response."""
        return replace(self, dispersion=dispersion)

    def moments_at(self, coefficients: Reals) -> ResponseMoments:
        """Return the moments of the response over the sample."""
        predictor = self.regressors @ coefficients
        if self.response == "logistic":
            return boolean_moments(predictor)
        return count_moments(predictor, self.dispersion, self.bounds)

    def line(self, mean: Reals) -> Reals:
        """Return c: the least squares coefficients of the response's means on x."""
        x = self.regressors
        return np.asarray(np.linalg.solve(self.second, x.T @ mean / len(x)))


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """A Gaussian posterior of coefficients."""

    mean: Reals
    precision: Reals


def spread_over(regressors: Reals, deviation: float) -> Reals:
    """Return the precision of coefficients that vary by `deviation` over a regressor's range.

    A range is from the middle of the sample to its ends; the constant is that at the means.
    """
    low, high = np.quantile(regressors[:, 1:], [_OUTSIDE, 1 - _OUTSIDE], axis=0)
    slopes = 1 / np.maximum((high - low) / 2, _SMALLEST_RANGE)
    root = np.diag(np.concatenate([[1.0], slopes]))
    root[0, 1:] = -regressors[:, 1:].mean(axis=0) * slopes
    return np.asarray(np.linalg.inv(root @ root.T) / deviation**2)


def without_slopes(target: Target) -> Reals:
    """Return coefficients whose constant alone gives the mean of the response."""
    found = np.zeros(len(target.gram))
    mean = target.sums[0] / target.total
    if target.response == "logistic":
        found[0] = special.logit(np.clip(mean, 0.01, 0.99))
    else:
        found[0] = np.log(np.clip(mean, 0.01, target.bounds[1]))
    return found


def solve(target: Target, centre: Reals, prior: Reals, start: Reals) -> Normal:
    """Return the posterior mean and precision, by damped Gauss-Newton steps.

    `centre` and `prior` are the mean and the precision of the coefficients before.
    """
    found = start
    for _ in range(_STEPS):
        gap, slope, spread = _equations(target, found)
        weighted = np.linalg.solve(spread, slope)
        precision = slope.T @ weighted + prior
        step = np.linalg.solve(precision, weighted.T @ gap - prior @ (found - centre))
        left = float(step @ precision @ step)
        step = step / max(1.0, float(np.abs(target.regressors @ step).max()) / _LARGEST_STEP)
        before, found = found, _shortened(target, found, step, (spread, prior, centre))
        if left < _NEGLIGIBLE or found is before:
            break
    return Normal(found, precision)


def _shortened(
    target: Target, found: Reals, step: Reals, fixed: tuple[Reals, Reals, Reals]
) -> Reals:
    """Return `found` moved by the step, halved until the equations are met better."""
    spread, prior, centre = fixed

    def distance(at: Reals) -> float:
        gap = target.sums - target.gram @ target.line(target.moments_at(at).mean)
        away = at - centre
        return float(gap @ np.linalg.solve(spread, gap) + away @ prior @ away)

    before = distance(found)
    for _ in range(_HALVINGS):
        if distance(found + step) <= before:
            return found + step
        step = step / 2
    return found


def _equations(target: Target, found: Reals) -> tuple[Reals, Reals, Reals]:
    """Return a - A c, J and O at some coefficients."""
    x, count = target.regressors, len(target.regressors)
    response = target.moments_at(found)
    line = target.line(response.mean)
    gap = target.sums - target.gram @ line
    derivative = target.known @ np.linalg.solve(target.second, (x.T * response.slope) @ x / count)
    bent = 1 + target.total / count  # of persons, and of the sample
    left = response.variance + bent * (response.mean - x @ line) ** 2
    sampled = target.total * (x.T * left) @ x / count
    return gap, derivative, sampled + _noise(target, line)


def _noise(target: Target, line: Reals) -> Reals:
    """Return v (h^2 I + |l|^2 I + l l' - diag l^2), regular where there is no noise."""
    away = line.copy()
    away[0] -= target.scale.middle
    squares = away**2
    diagonal = target.scale.half**2 + squares.sum() - squares
    found = target.variance * (np.diag(diagonal) + np.outer(away, away))
    least = _SINGULAR * target.total * target.scale.half**2
    return np.asarray(found + least * np.eye(len(line)))
