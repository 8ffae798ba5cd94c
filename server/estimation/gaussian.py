"""Conditional linear Gaussian mechanisms from noisy moments: y | x, r ~ N(x b_r, s_r^2).

Notation, per row r of the parents that are levels, on the scale of `moments.py`:

    A, a, w      sums of x x', x y and y^2, x = (1, regressors); v the noise variance of an element
    a - A b = e  e ~ N(0, O), O = s^2 A + v (I + tr(M) I + M - diag M), M = E[b b']

The second part of O is the exact covariance of the noise in a - A b: that of a, and that of A
times b, whose off-diagonal elements two coordinates share. So the slopes that noise in A would
attenuate stay unbiased to first order, and rows with few persons get wide draws. Where A itself
may be noise its solution tells nothing: the posterior takes A^-1 a as observed with precision
G O^-1 G, where G has the eigenvalues sqrt(max(l^2 - 4 k v, 0)) in the place of A's l, noise of
k x k elements reaching 2 sqrt(k v).

    b of all rows together ~ N(0, P)  P: at the means of the regressors y is N(0, 1); over one
                                      standard deviation of a regressor y moves by up to 3 of y
    b_r ~ N(b, T P T)                 T = diag(t_0, t_1, t_1, ..) from a grid, by the evidence;
                                      t_0 and t_1 are even a priori

What all rows as one tell of b is used at a fourth of its weight, and as if it were off by as much
as a row: it counts where the rows are too small to tell it. O and s^2 are taken at the last
estimate. Sources: Bernstein and Sheldon 2019 (noise-aware
regression on moments); Wang 2018 (AdaSSP: nothing is solved below the noise); Gelman
2006 (even priors of standard deviations where groups are few).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.random import Generator
from scipy import special

from server.estimation.family import WIDENING
from server.estimation.moments import Matrices, NoisyMoments, Reals

_PASSES = 6
_FAR = 5.0  # standard deviations
_SPREADS = (0.01, 0.03, 0.1, 0.3, 1.0)  # t_0, t_1
_DOUBT = 4.0
_NEGLIGIBLE = 1e-3  # weight of a spread
_LARGEST_SLOPE = 1.5  # in standard deviations of the response per one of the regressor
_LARGEST_VARIANCE = 1.0  # of a number between -1 and 1
_SMALLEST_VARIANCE = 1e-7  # that of rounding to 1 / 1024


@dataclass(frozen=True, slots=True, eq=False)
class GaussianDraws:
    """Parameters on the scaled numbers; the first of the leading axis is the estimate."""

    coefficients: Reals  # shape (1 + draws, R, 1 + p)
    scale: Reals  # residual standard deviations, shape (1 + draws, R)
    support: Reals  # estimated persons, shape (R,)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Moments made usable."""

    gram: Matrices  # A with eigenvalues of at least the noise, shape (R, 1 + p, 1 + p)
    known: Matrices  # G
    solved: Reals  # A^-1 a, shape (R, 1 + p)
    cross: Reals  # a, shape (R, 1 + p)
    square: Reals  # w, shape (R,)
    total: Reals  # persons, at least the noise, shape (R,)
    variance: float  # v


@dataclass(frozen=True, slots=True, eq=False)
class _Normal:
    """What is believed of the prior mean of the rows' coefficients."""

    mean: Reals  # shape (1 + p,)
    covariance: Reals


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """The Gaussian posterior of the rows' coefficients, and of their prior mean."""

    precision: Matrices  # of a row's given the prior mean
    pull: Reals  # G O^-1 G A^-1 a, shape (R, 1 + p)
    prior: Reals  # precision of a row's prior, shape (1 + p, 1 + p)
    centre: _Normal
    residual_mean: Reals  # of a normal distribution of s^2, cut off below 0; shape (R,)
    residual_variance: Reals
    log_evidence: float

    def mean(self, centres: Reals) -> Reals:
        """Return the rows' posterior means for prior means of shape (.., 1, 1 + p)."""
        target = self.pull + centres @ self.prior
        found: Reals = np.linalg.solve(self.precision, target[..., None])[..., 0]
        return found

    @property
    def residual(self) -> Reals:
        """Return the estimate of s^2, shape (R,)."""
        return _above_zero(self.residual_mean, self.residual_variance)

    @property
    def row(self) -> _Normal:
        """Return what is believed of the coefficients of the first row."""
        mean = self.mean(self.centre.mean[None])[0]
        return _Normal(mean, np.linalg.inv(self.precision[0]))


def fit_gaussian(moments: NoisyMoments, draws: int, generator: Generator) -> GaussianDraws:
    """Return the mechanism's parameters with `draws` plausible sets; defined for any moments."""
    wide = prior_deviations(moments.pooled)
    nothing = _Normal(np.zeros(len(wide)), np.zeros_like(wide))
    together = _fit(_usable(moments.pooled), nothing, wide @ wide.T, None)
    rows = _usable(moments)
    if moments.rows == 1:
        return _mixture([together], np.zeros(1), rows.total, draws, generator)
    fits = [
        _fit(rows, _loosened(together.row, around), around, together)
        for around in _around(wide, moments.regressors)
    ]
    even = np.log([constant * slopes for constant, slopes in _spreads(moments.regressors)])
    evidence = even + np.array([fit.log_evidence for fit in fits])
    return _mixture(fits, evidence, rows.total, draws, generator)


def _around(wide: Reals, regressors: int) -> list[Reals]:
    """Return T P T for all spreads, which stand for shares of P at the regressors' means."""
    found = []
    for constant, slopes in _spreads(regressors):
        scaled = wide * np.array([constant, *[slopes] * regressors])
        found.append(scaled @ scaled.T)
    return found


def _spreads(regressors: int) -> list[tuple[float, float]]:
    return list(product(_SPREADS, _SPREADS if regressors else (1.0,)))


def _loosened(together: _Normal, around: Reals) -> _Normal:
    """Return what all rows as one tell of their prior mean, doubted: the rows will tell it too."""
    return _Normal(together.mean, _DOUBT * together.covariance + around)


def prior_deviations(pooled: NoisyMoments) -> Reals:
    """Return a square root L of P = L L', shape (1 + p, 1 + p), from what the moments tell.

    Bounds may be far wider than the values are: a slope on the scale of the bounds then is large.
    """
    [matrix] = pooled.matrices
    noise = np.sqrt(pooled.variance)
    total = max(float(matrix[0, 0]), noise, 1.0)
    means = np.clip(matrix[0, 1:] / total, -1.0, 1.0)
    least = min(2 * noise / total + _SMALLEST_VARIANCE, 1.0)
    variances = np.clip(np.diag(matrix)[1:] / total - means**2, least, _LARGEST_VARIANCE)
    slopes = np.maximum(_LARGEST_SLOPE * np.sqrt(variances[-1] / variances[:-1]), 1.0)
    found = np.diag(np.concatenate([[1.0], slopes]))
    found[0, 1:] = -means[:-1] * slopes  # the constant at the means of the regressors
    return found


def _mixture(
    fits: Sequence[_Fit], evidence: Reals, support: Reals, draws: int, generator: Generator
) -> GaussianDraws:
    """Return the rows' parameters over all spreads, by their evidence."""
    shares = np.exp(evidence - evidence.max())
    shares[shares < _NEGLIGIBLE * shares.sum()] = 0.0
    shares /= shares.sum()
    chosen = generator.choice(len(fits), size=draws, p=shares)
    coefficients = np.zeros((1 + draws, *fits[0].pull.shape))
    scale = np.zeros(coefficients.shape[:2])
    for index, fit in enumerate(fits):
        at = 1 + np.flatnonzero(chosen == index)
        coefficients[at] = _coefficients(fit, len(at), generator)
        scale[at] = _scales(fit, len(at), generator)
        coefficients[0] += shares[index] * fit.mean(fit.centre.mean[None])
        scale[0] += shares[index] * np.sqrt(fit.residual)
    return GaussianDraws(coefficients, scale, support)


def _usable(moments: NoisyMoments) -> _Rows:
    matrices, noise = moments.matrices, np.sqrt(moments.variance)
    values, vectors = np.linalg.eigh(matrices[:, :-1, :-1])
    floor = max(noise, 1e-6 * float(np.abs(values).max()), 1e-6)
    lifted = np.maximum(values, floor)
    hidden = values.shape[1] * moments.variance
    seen = np.sqrt(np.maximum(np.maximum(values, 0.0) ** 2 - hidden, 0.0))
    cross = matrices[:, :-1, -1]
    turned = np.einsum("rij,ri->rj", vectors, cross)
    return _Rows(
        gram=np.einsum("rij,rj,rkj->rik", vectors, lifted, vectors),
        known=np.einsum("rij,rj,rkj->rik", vectors, seen, vectors),
        solved=np.einsum("rij,rj->ri", vectors, turned / lifted),
        cross=cross,
        square=matrices[:, -1, -1],
        total=np.maximum(matrices[:, 0, 0], max(noise, 1.0)),
        variance=moments.variance,
    )


def _fit(rows: _Rows, centre: _Normal, around: Reals, together: _Fit | None) -> _Fit:
    """Return the posterior where rows are N(prior mean, `around`); `together` is that of all."""
    prior = np.linalg.inv(around)
    found = centre
    mean = np.broadcast_to(centre.mean, rows.cross.shape)
    covariance = np.broadcast_to(around + centre.covariance, rows.gram.shape)
    for _ in range(_PASSES):
        residual = _above_zero(*_residual(rows, mean, covariance, together))
        errors = residual[:, None, None] * rows.gram + rows.variance * _noise(mean, covariance)
        told = rows.known @ np.linalg.solve(errors, rows.known)
        precision = told + prior
        pull = np.einsum("rij,rj->ri", told, rows.solved)
        found, log_evidence = _prior_mean(rows, centre, around, told)
        log_evidence -= 0.5 * float(np.linalg.slogdet(errors)[1].sum())
        mean = np.linalg.solve(precision, (pull + found.mean @ prior)[..., None])[..., 0]
        covariance = np.linalg.inv(precision)
        moved = covariance @ prior
        covariance = covariance + moved @ found.covariance @ np.swapaxes(moved, 1, 2)
    variances = _residual(rows, mean, covariance, together)
    return _Fit(precision, pull, prior, found, *variances, log_evidence)


def _prior_mean(
    rows: _Rows, centre: _Normal, around: Reals, told: Matrices
) -> tuple[_Normal, float]:
    """Return the posterior of the rows' prior mean, and the log density of A^-1 a up to O.

    `told` are the precisions with which A^-1 a is observed given a row's own coefficients.
    """
    identity = np.eye(len(around))
    excess = identity + told @ around
    seen = np.linalg.solve(excess, told)  # precisions given the prior mean
    left = rows.solved - centre.mean
    weighted = np.einsum("rij,rj->ri", seen, left)
    share = identity + centre.covariance @ seen.sum(axis=0)  # prior covariance over posterior's
    covariance = np.linalg.solve(share, centre.covariance)
    covariance = (covariance + covariance.T) / 2
    target = weighted.sum(axis=0)
    moved = covariance @ target
    fit = float((left * weighted).sum() - target @ moved)
    log_size = np.linalg.slogdet(excess)[1].sum() + np.linalg.slogdet(share)[1]
    return _Normal(centre.mean + moved, covariance), -0.5 * (float(log_size) + fit)


def _noise(mean: Reals, covariance: Matrices) -> Matrices:
    """Return I + tr(M) I + M - diag M per row, M = E[b b']."""
    second = mean[:, :, None] * mean[:, None, :] + covariance
    squares = np.einsum("rii->ri", second)
    diagonal = (1 + squares.sum(axis=1))[:, None] - squares
    found: Matrices = second + diagonal[:, :, None] * np.eye(mean.shape[1])
    return found


def _residual(
    rows: _Rows, mean: Reals, covariance: Matrices, together: _Fit | None
) -> tuple[Reals, Reals]:
    """Return estimates of s^2 and their variances: of noise, sampling, and what b leaves open.

    s^2 = (w - 2 b'a + b'A b) / n; its noise has variance v (1 + 4 |b|^2 + |upper b b'|^2) / n^2.
    Drawn to the shared one, or to a third of the largest variance, as far as they are unsure; the
    estimates may lie below 0.
    """
    explained = 2 * (mean * rows.cross).sum(axis=1)
    explained -= np.einsum("ri,rij,rj->r", mean, rows.gram, mean)
    found = (rows.square - explained) / rows.total
    squares = (mean**2).sum(axis=1)
    noise = rows.variance * (1 + 4 * squares + 2 * squares**2) / rows.total**2
    open_ = np.einsum("rij,rji->r", rows.gram, covariance) / rows.total
    expected = np.full(len(found), 1 / 3 if together is None else together.residual[0])
    loose = expected**2 if together is None else 0.25 * expected**2 + together.residual_variance[0]
    unsure = noise + open_**2 + 2 * np.clip(found, expected / 10, None) ** 2 / rows.total
    share = loose / (loose + unsure)
    return share * found + (1 - share) * expected, share * unsure


def _above_zero(mean: Reals, variance: Reals) -> Reals:
    """Return the means of normal distributions cut off below 0, at most the largest variance."""
    deviation = np.sqrt(variance)
    at = np.maximum(mean / deviation, -_FAR)
    density = np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi)
    found = deviation * (at + density / special.ndtr(at))
    return np.asarray(np.clip(found, _SMALLEST_VARIANCE, _LARGEST_VARIANCE))


def _coefficients(fit: _Fit, draws: int, generator: Generator) -> Reals:
    """Return draws of the prior mean, and of the rows around it, shape (draws, R, 1 + p)."""
    size = fit.pull.shape
    turned = generator.standard_normal((draws, 1, size[1])) @ _root(fit.centre.covariance).T
    means = fit.mean(fit.centre.mean + np.sqrt(WIDENING) * turned)
    factor = np.linalg.cholesky(fit.precision)
    normal = generator.standard_normal((draws, *size))
    own = np.linalg.solve(np.swapaxes(factor, 1, 2), normal[..., None])[..., 0]
    return np.asarray(means + np.sqrt(WIDENING) * own)


def _root(covariance: Reals) -> Reals:
    """Return a square root of a matrix that may be 0 in some directions."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _scales(fit: _Fit, draws: int, generator: Generator) -> Reals:
    """Return draws of the residual standard deviations, shape (draws, R).

    Of normal distributions cut off below 0.
    """
    deviation = np.sqrt(WIDENING * fit.residual_variance)
    at = np.maximum(fit.residual_mean / deviation, -_FAR)
    below = special.ndtr(-at)
    uniform = below + (1 - below) * generator.random((draws, len(at)))
    drawn = deviation * (at + special.ndtri(np.minimum(uniform, 1 - 1e-16)))
    return np.asarray(np.sqrt(np.clip(drawn, _SMALLEST_VARIANCE, _LARGEST_VARIANCE)))
