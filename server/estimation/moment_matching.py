"""Regressions with many parents from noisy moments: logistic, Poisson, negative binomial.

Of a response y with mean mu(x b) the round released a = sum x y and A = sum x x'. Least squares of
y on x estimate a line c, and which line a given b makes, c(b) = E[x x']^-1 E[x mu(x b)], is told
by the distribution of the parents, of which the mechanisms before this one give a large sample. So
b solves one equation per coefficient. Notation, per row of the parents that are levels:

    a = A c(b) + e        e ~ N(0, O)
    O = n E[x x' (Var(y | x) + (1 + n/s) (mu - x c)^2)] + v (h^2 I + |l|^2 I + l l' - diag l^2)
                          n persons, s in the sample, noise of variance v; y is m + h times the
                          scaled response, l = c - (m, 0, 0, ..)
    J = G E[x x']^-1 E[x x' mu'(x b)]      the derivative; posterior precision J' O^-1 J + prior
    b of all rows ~ N(start, 4^2), b_r ~ N(b, 1)     over the range of a regressor

G is A without what noise alone could make, as in `gaussian.py`. Since both a and A are those of
the persons, how many they are, and what means and covariances their x have, drops out; the sample
of parents decides only how far mu is from a line. The guard: how far the released A is off the
sample's, in standard deviations, is returned.

The equations are in `matching_equations.py`, the negative binomial's dispersion in `dispersion.py`.
Sources: Hansen 1982 (estimating equations with a known covariance); McCullagh and Nelder 1989, 2.5
(the iteration).
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from server.causal.mechanisms.mechanism import Response
from server.estimation.dispersion import with_dispersion
from server.estimation.family import WIDENING
from server.estimation.matching_equations import (
    Normal,
    Target,
    solve,
    spread_over,
    without_slopes,
)
from server.estimation.moments import NoisyMoments, Reals, Scale

_START_DEVIATION = 4.0
_ROW_DEVIATION = 1.0
_FEWEST_PARENTS = 500  # of a row; with fewer, those of all rows


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
class _Together:
    """The regression of all rows as one."""

    target: Target  # with the dispersion
    posterior: Normal
    draws: Reals  # of the coefficients, the estimate first, shape (1 + draws, 1 + p)
    dispersions: Reals  # shape (1 + draws,)
    moves: Reals  # of the coefficients with the dispersion, shape (1 + draws, 1 + p)


def match_moments(
    moments: NoisyMoments,
    response: Response,
    parents: SimulatedParents,
    scale: Scale,
    draws: int,
    generator: Generator,
) -> MatchedDraws:
    """Return a regression's parameters with `draws` plausible sets; defined for any moments."""
    pooled = moments.pooled
    total = max(float(pooled.matrices[0, 0, 0]), np.sqrt(pooled.variance), 1.0)
    together = _together(
        Target(response, scale, parents.regressors, pooled.matrices[0], total, pooled.variance),
        draws,
        generator,
    )
    support = np.bincount(parents.row, minlength=moments.rows) * (total / len(parents.row))
    coefficients = np.repeat(together.draws[:, None], moments.rows, axis=1)
    for row in range(moments.rows if moments.rows > 1 else 0):
        own = _row_target(together.target, moments, row, parents, float(support[row]))
        coefficients[:, row] = _row_draws(own, together, generator)
    return MatchedDraws(
        coefficients=coefficients + together.moves[:, None],
        dispersion=np.repeat(together.dispersions[:, None], moments.rows, axis=1),
        support=support,
        mismatch=_mismatch(pooled, parents.regressors, total),
    )


def _together(target: Target, draws: int, generator: Generator) -> _Together:
    centre, prior = without_slopes(target), spread_over(target.regressors, _START_DEVIATION)
    dispersions, moves = np.zeros(1 + draws), np.zeros((1 + draws, len(centre)))
    if target.response != "negative-binomial":
        posterior = solve(target, centre, prior, centre)
        drawn = _drawn(posterior, np.tile(posterior.mean, (1 + draws, 1)), generator)
        return _Together(target, posterior, drawn, dispersions, moves)
    found = with_dispersion(target, centre, prior)
    drawn = _drawn(found.posterior, np.tile(found.posterior.mean, (1 + draws, 1)), generator)
    dispersions[0] = found.target.dispersion
    dispersions[1:], moves[1:] = found.draw(drawn[1:], generator)
    return _Together(found.target, found.posterior, drawn, dispersions, moves)


def _row_target(
    together: Target, moments: NoisyMoments, row: int, parents: SimulatedParents, support: float
) -> Target:
    """Return what a row has to meet; where few of the sample are in it, with the parents of all."""
    mine = parents.regressors[parents.row == row]
    return Target(
        together.response,
        together.scale,
        parents.regressors if len(mine) < _FEWEST_PARENTS else mine,
        moments.matrices[row],
        max(support, 1.0),
        moments.variance,
        together.dispersion,
    )


def _row_draws(own: Target, together: _Together, generator: Generator) -> Reals:
    """Return a row's coefficients around those of all rows, and around draws of these."""
    centre = together.posterior.mean
    prior = spread_over(together.target.regressors, _ROW_DEVIATION)
    found = solve(own, centre, prior, centre)
    pulled = np.linalg.solve(found.precision, prior @ (together.draws - centre).T).T
    return _drawn(found, found.mean + pulled, generator)


def _drawn(posterior: Normal, means: Reals, generator: Generator) -> Reals:
    """Return `means`, the first as it is, the others with the posterior's spread."""
    factor = np.linalg.cholesky(posterior.precision)
    normal = generator.standard_normal((len(means) - 1, means.shape[1]))
    found = np.array(means)
    found[1:] += np.sqrt(WIDENING) * np.linalg.solve(factor.T, normal.T).T
    return found


def _mismatch(moments: NoisyMoments, regressors: Reals, total: float) -> float:
    """Return the largest difference of released and simulated sums x x', in deviations."""
    released = moments.matrices[0, :-1, :-1]
    products = regressors[:, :, None] * regressors[:, None, :]
    expected, spread = products.mean(axis=0) * total, products.var(axis=0) * total
    allowed = np.sqrt(moments.variance + 2 * spread)
    allowed[0, 0] = np.inf  # the total is what both are scaled by
    return float((np.abs(released - expected) / allowed).max())
