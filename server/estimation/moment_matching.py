"""Regressions with many parents from noisy moments: logistic, Poisson, negative binomial.

Of a response y with mean mu(x b) the round released sum x y; what it should be is n E[x mu(x b)]
over the distribution of the parents, which the mechanisms before this one already tell. So b
solves one equation per coefficient. Notation, per row of the parents that are levels:

    a = n E[x mu(x b)] + e     e ~ N(0, O), O = n Cov(x y) + v I     persons, and noise
    J = n E[x x' mu'(x b)]     the derivative; posterior precision J O^-1 J + prior
    b of all rows ~ N(start, 4^2 I), b_r ~ N(b, I)      on scaled regressors

The negative binomial's dispersion solves E[y^2] = E[mu + (1 + d) mu^2] with the released sum y^2.
The guard: the released sum x x' has to be what the simulated parents give; how far it is off, in
standard deviations, is returned, since a wrong distribution of parents biases b.
Sources: Hansen 1982 (estimating equations with a known covariance); McCullagh and Nelder 1989, 2.5
(the iteration).
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import special

from server.causal.mechanism import Response
from server.estimation.family import WIDENING
from server.estimation.moments import NoisyMoments, Reals, Scale

_STEPS = 30
_START_DEVIATION = 4.0
_ROW_DEVIATION = 1.0
_LARGEST_STEP = 1.0
_LARGEST_PREDICTOR = 30.0
_LARGEST_DISPERSION = 100.0


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedParents:
    """A large sample of a family's parents, as the mechanisms before it have them."""

    row: NDArray[np.intp]  # the combination of levels of each person, shape (m,)
    regressors: Reals  # a constant 1, then scaled numbers, shape (m, 1 + p)


@dataclass(frozen=True, slots=True, eq=False)
class MatchedDraws:
    """Coefficients on scaled regressors; the first of the leading axis is the estimate."""

    coefficients: Reals  # on the scale of the link, shape (1 + draws, R, 1 + p)
    dispersion: Reals  # shape (1 + draws, R); 0 for responses without one
    support: Reals  # estimated persons, shape (R,)
    mismatch: float  # of simulated and released parents, in standard deviations


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """What one row's coefficients have to meet."""

    regressors: Reals
    sums: Reals  # a, in units of the response
    total: float  # n
    variance: float  # v, in the same units


_Posterior: TypeAlias = tuple[Reals, Reals]  # mean, precision


def match_moments(
    moments: NoisyMoments,
    response: Response,
    parents: SimulatedParents,
    scale: Scale,
    draws: int,
    generator: Generator,
) -> MatchedDraws:
    """Return a regression's parameters with `draws` plausible sets."""
    together = moments.pooled
    total = max(float(together.matrices[0, 0, 0]), np.sqrt(together.variance), 1.0)
    shared_target = _target(together, 0, parents.regressors, scale, total)
    start = _start(shared_target, response)
    shared = _solve(shared_target, response, start, _START_DEVIATION)
    shared_draws = _drawn(shared, np.broadcast_to(shared[0], (1 + draws, len(start))), generator)
    coefficients = np.empty((1 + draws, moments.rows, len(start)))
    dispersion = np.zeros((1 + draws, moments.rows))
    support = np.bincount(parents.row, minlength=moments.rows) * (total / len(parents.row))
    for row in range(moments.rows):
        mine = parents.regressors[parents.row == row]
        if moments.rows == 1 or not len(mine):
            coefficients[:, row] = shared_draws
        else:
            target = _target(moments, row, mine, scale, max(float(support[row]), 1.0))
            own = _solve(target, response, shared[0], _ROW_DEVIATION)
            coefficients[:, row] = _around(own, shared[0], shared_draws, generator)
        if response == "negative-binomial":
            dispersion[:, row] = _dispersions(
                together, scale, shared_target, shared, draws, generator
            )
    mismatch = _mismatch(together, parents.regressors, total)
    return MatchedDraws(coefficients, dispersion, support, mismatch)


def _target(
    moments: NoisyMoments, row: int, regressors: Reals, scale: Scale, total: float
) -> _Target:
    matrix = moments.matrices[row]
    sums = scale.half * matrix[:-1, -1] + scale.middle * matrix[0, :-1]
    return _Target(regressors, sums, total, moments.variance * (scale.half**2 + scale.middle**2))


def _start(target: _Target, response: Response) -> Reals:
    """Return coefficients whose constant alone gives the mean of the response."""
    found = np.zeros(len(target.sums))
    mean = target.sums[0] / target.total
    if response == "logistic":
        found[0] = special.logit(np.clip(mean, 0.01, 0.99))
    else:
        found[0] = np.log(max(mean, 0.01))
    return found


def _solve(target: _Target, response: Response, centre: Reals, deviation: float) -> _Posterior:
    """Return the posterior mean and precision, by damped Gauss-Newton steps."""
    prior = np.eye(len(centre)) / deviation**2
    found = centre.copy()
    for _ in range(_STEPS):
        gap, slope, spread = _equations(target, response, found)
        weighted = np.linalg.solve(spread, slope)
        precision = slope @ weighted + prior
        step = np.linalg.solve(precision, weighted.T @ gap - prior @ (found - centre))
        found = found + step / max(1.0, float(np.abs(step).max()) / _LARGEST_STEP)
        if float(np.abs(step).max()) < 1e-9:
            break
    return found, precision


def _equations(target: _Target, response: Response, found: Reals) -> tuple[Reals, Reals, Reals]:
    """Return a - n E[x mu], J and O at some coefficients."""
    x, count = target.regressors, len(target.regressors)
    mean, slope, variance = _moments_of(response, x @ found)
    expected = x.T @ mean / count
    gap = target.sums - target.total * expected
    derivative = target.total * (x.T * slope) @ x / count
    second = (x.T * (variance + mean**2)) @ x / count
    spread = target.total * (second - np.outer(expected, expected))
    noise = (target.variance + 1e-9 * target.total) * np.eye(len(found))
    return gap, derivative, spread + noise


def _moments_of(response: Response, predictor: Reals) -> tuple[Reals, Reals, Reals]:
    """Return mean, its derivative and the variance of the response."""
    clipped = np.clip(predictor, -_LARGEST_PREDICTOR, _LARGEST_PREDICTOR)
    if response == "logistic":
        mean = special.expit(clipped)
        return mean, mean * (1 - mean), mean * (1 - mean)
    mean = np.exp(clipped)
    extra = mean**2 if response == "negative-binomial" else 0.0  # a dispersion of about 1
    return mean, mean, mean + extra


def _drawn(posterior: _Posterior, means: Reals, generator: Generator) -> Reals:
    """Return `means`, the first as it is, the others with the posterior's spread."""
    factor = np.linalg.cholesky(posterior[1])
    normal = generator.standard_normal((len(means) - 1, means.shape[1]))
    found = np.array(means)
    found[1:] += np.sqrt(WIDENING) * np.linalg.solve(factor.T, normal.T).T
    return found


def _around(own: _Posterior, centre: Reals, centres: Reals, generator: Generator) -> Reals:
    """Return a row's draws given draws of the prior mean it was fitted around."""
    pulled = np.linalg.solve(own[1], (centres - centre).T / _ROW_DEVIATION**2).T
    return _drawn(own, own[0] + pulled, generator)


def _dispersions(
    moments: NoisyMoments,
    scale: Scale,
    target: _Target,
    posterior: _Posterior,
    draws: int,
    generator: Generator,
) -> Reals:
    """Return estimates of the dispersion d, the first without noise of its own."""
    matrix = moments.matrices[0]
    weights = np.array([scale.half**2, 2 * scale.half * scale.middle, scale.middle**2])
    squares = float(weights @ [matrix[-1, -1], matrix[0, -1], matrix[0, 0]])
    mean = np.exp(np.clip(target.regressors @ posterior[0], -30, 30))
    expected, scale_of = float((mean + mean**2).mean()), float((mean**2).mean())
    found = (squares / target.total - expected) / scale_of
    noise = moments.variance * float(weights @ weights) / target.total**2
    sampling = float(((mean + mean**2) * (1 + max(found, 0.0)) ** 2 * mean**2).mean())
    deviation = np.sqrt(noise + 4 * sampling / target.total) / scale_of
    normal = np.concatenate([[0.0], generator.standard_normal(draws)])
    drawn: Reals = np.clip(found + deviation * normal, 0.0, _LARGEST_DISPERSION)
    return drawn


def _mismatch(moments: NoisyMoments, regressors: Reals, total: float) -> float:
    """Return the largest difference of released and simulated sums x x', in deviations."""
    released = moments.matrices[0, :-1, :-1]
    products = regressors[:, :, None] * regressors[:, None, :]
    expected, spread = products.mean(axis=0) * total, products.var(axis=0) * total
    allowed = np.sqrt(moments.variance + 2 * spread)
    allowed[0, 0] = np.inf  # the total is what both are scaled by
    return float((np.abs(released - expected) / allowed).max())
