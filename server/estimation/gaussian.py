"""Conditional linear Gaussian mechanisms from noisy moments: y | x, r ~ N(x b_r, s_r^2).

Notation, per row r of the parents that are levels, on the scale of `moments.py`:

    A, a, w      sums of x x', x y and y^2, x = (1, regressors); v the noise variance of an element
    a - A b = e  e ~ N(0, O), O = s^2 A + v ((1 + |b|^2) I + b b' - diag b^2)

The second part of O is the exact covariance of the noise in a - A b: that of a, and that of A
times b, whose off-diagonal elements two coordinates share. So the slopes that noise in A would
attenuate stay unbiased to first order, and rows with few persons get wide draws.

    b of all rows together ~ N(0, I): over its whole range a regressor moves y by about its range
    b_r ~ N(b, t^2 I)                 t from a grid, weighted by the evidence

A is used with eigenvalues of at least the noise's size (design: "eigenvalue floor"), so that the
result is defined for any sum; O and s^2 are taken at the last estimate. Source: Bernstein and
Sheldon 2019 (noise-aware regression on moments); Wang 2018 (AdaSSP) for the floor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from server.estimation.family import WIDENING
from server.estimation.moments import Matrices, NoisyMoments, Reals

_PASSES = 4
_SPREADS = (0.01, 0.03, 0.1, 0.3, 1.0)  # t
_PRIOR_VARIANCE = 1.0
_LARGEST_VARIANCE = 1.0  # of a number between -1 and 1
_SMALLEST_VARIANCE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class GaussianDraws:
    """Parameters on the scaled numbers; the first of the leading axis is the estimate."""

    coefficients: Reals  # shape (1 + draws, R, 1 + p)
    scale: Reals  # residual standard deviations, shape (1 + draws, R)
    support: Reals  # estimated persons, shape (R,)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Moments made usable: positive matrices, and totals of at least a person."""

    gram: Matrices  # A, shape (R, 1 + p, 1 + p)
    cross: Reals  # a, shape (R, 1 + p)
    square: Reals  # w, shape (R,)
    total: Reals  # shape (R,)
    variance: float  # v


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """The Gaussian posterior of every row's coefficients, given the mean of their prior."""

    precision: Matrices
    pull: Reals  # A O^-1 a, shape (R, 1 + p)
    prior: float  # precision of the prior
    residual: Reals  # estimate of s^2, shape (R,)
    residual_variance: Reals
    log_evidence: float

    def mean(self, centre: Reals) -> Reals:
        """Return the posterior means for a prior mean of shape (.., R or 1, 1 + p)."""
        target = self.pull + self.prior * centre
        found: Reals = np.linalg.solve(self.precision, target[..., None])[..., 0]
        return found


def fit_gaussian(moments: NoisyMoments, draws: int, generator: Generator) -> GaussianDraws:
    """Return the mechanism's parameters with `draws` plausible sets."""
    together = _usable(moments.pooled)
    centre = np.zeros((1, moments.regressors + 1))
    shared = _fit(together, centre, 1 / _PRIOR_VARIANCE, None)
    shared_draws = _coefficients(
        shared, np.broadcast_to(centre, (1 + draws, *centre.shape)), generator
    )
    if moments.rows == 1:
        scale = _scales(shared, draws, generator)
        return GaussianDraws(shared_draws, scale, together.total)
    rows = _usable(moments)
    fits = [_fit(rows, shared.mean(centre), 1 / spread**2, shared) for spread in _SPREADS]
    return _mixture(fits, shared_draws, rows.total, generator)


def _mixture(
    fits: Sequence[_Fit], centres: Reals, support: Reals, generator: Generator
) -> GaussianDraws:
    """Return the rows' parameters over all strengths of the prior, by their evidence."""
    evidence = np.array([fit.log_evidence for fit in fits])
    shares = np.exp(evidence - evidence.max())
    shares /= shares.sum()
    drawn = [_coefficients(fit, centres, generator) for fit in fits]
    scales = [_scales(fit, len(centres) - 1, generator) for fit in fits]
    chosen = generator.choice(len(fits), size=len(centres), p=shares)
    coefficients = np.array([drawn[at][place] for place, at in enumerate(chosen)])
    scale = np.array([scales[at][place] for place, at in enumerate(chosen)])
    coefficients[0] = np.tensordot(shares, [one[0] for one in drawn], axes=1)
    scale[0] = shares @ np.array([one[0] for one in scales])
    return GaussianDraws(coefficients, scale, support)


def _usable(moments: NoisyMoments) -> _Rows:
    matrices, noise = moments.matrices, np.sqrt(moments.variance)
    values, vectors = np.linalg.eigh(matrices[:, :-1, :-1])
    floor = max(noise, 1.0)
    gram = np.einsum("rij,rj,rkj->rik", vectors, np.maximum(values, floor), vectors)
    return _Rows(
        gram=gram,
        cross=matrices[:, :-1, -1],
        square=matrices[:, -1, -1],
        total=np.maximum(matrices[:, 0, 0], floor),
        variance=moments.variance,
    )


def _fit(rows: _Rows, centre: Reals, prior: float, shared: _Fit | None) -> _Fit:
    """Return the posterior for one strength of the prior; `shared` is that of all rows."""
    identity = np.eye(rows.gram.shape[1])
    mean = np.broadcast_to(centre, rows.cross.shape)
    residual, residual_variance = _residual(rows, mean, shared)
    for _ in range(_PASSES):
        errors = residual[:, None, None] * rows.gram + rows.variance * _noise(mean)
        weights = np.linalg.inv(errors)
        precision = rows.gram @ weights @ rows.gram + prior * identity
        pull = np.einsum("rij,rjk,rk->ri", rows.gram, weights, rows.cross)
        mean = np.linalg.solve(precision, (pull + prior * centre)[..., None])[..., 0]
        residual, residual_variance = _residual(rows, mean, shared)
    spread = errors + rows.gram @ rows.gram / prior
    left = rows.cross - np.einsum("rij,rj->ri", rows.gram, np.broadcast_to(centre, mean.shape))
    distance = np.einsum("ri,ri->", left, np.linalg.solve(spread, left[..., None])[..., 0])
    log_evidence = -0.5 * float(np.linalg.slogdet(spread)[1].sum() + distance)
    return _Fit(precision, pull, prior, residual, residual_variance, log_evidence)


def _noise(mean: Reals) -> Matrices:
    """Return (1 + |b|^2) I + b b' - diag b^2 per row."""
    squares = mean**2
    diagonal = (1 + squares.sum(axis=1))[:, None] - squares
    outer = mean[:, :, None] * mean[:, None, :]
    found: Matrices = outer + diagonal[:, :, None] * np.eye(mean.shape[1])
    return found


def _residual(rows: _Rows, mean: Reals, shared: _Fit | None) -> tuple[Reals, Reals]:
    """Return estimates of s^2 and their variances: of noise and of sampling persons.

    s^2 = (w - 2 b'a + b'A b) / n; its noise has variance v (1 + 4 |b|^2 + |upper b b'|^2) / n^2.
    Drawn to the shared one, or to a third of the largest variance, as far as they are unsure.
    """
    explained = 2 * (mean * rows.cross).sum(axis=1)
    explained -= np.einsum("ri,rij,rj->r", mean, rows.gram, mean)
    found = (rows.square - explained) / rows.total
    squares = (mean**2).sum(axis=1)
    noise = rows.variance * (1 + 4 * squares + 2 * squares**2) / rows.total**2
    expected = (
        np.full(len(found), 1 / 3) if shared is None else np.full(len(found), shared.residual[0])
    )
    loose = expected**2 if shared is None else 0.25 * expected**2 + shared.residual_variance[0]
    unsure = noise + 2 * np.clip(found, expected / 10, None) ** 2 / rows.total
    share = loose / (loose + unsure)
    residual = np.clip(
        share * found + (1 - share) * expected, _SMALLEST_VARIANCE, _LARGEST_VARIANCE
    )
    return residual, share * unsure


def _coefficients(fit: _Fit, centres: Reals, generator: Generator) -> Reals:
    """Return the estimate, then one draw for every prior mean after the first."""
    means = fit.mean(centres)
    means = np.broadcast_to(means, (len(centres), *fit.pull.shape)).copy()
    factor = np.linalg.cholesky(fit.precision)
    normal = generator.standard_normal((len(centres) - 1, *fit.pull.shape))
    turned = np.linalg.solve(np.swapaxes(factor, 1, 2), normal[..., None])[..., 0]
    means[1:] += np.sqrt(WIDENING) * turned
    found: Reals = means
    return found


def _scales(fit: _Fit, draws: int, generator: Generator) -> Reals:
    """Return residual standard deviations, the estimate first."""
    normal = np.concatenate(
        [np.zeros((1, len(fit.residual))), generator.standard_normal((draws, len(fit.residual)))]
    )
    drawn = fit.residual + np.sqrt(fit.residual_variance) * normal
    found: Reals = np.sqrt(np.clip(drawn, fit.residual / 20, _LARGEST_VARIANCE))
    return found
