"""P(child | parents) from a noisy table: a hierarchical Gaussian model, solved in closed form.

A row whose noise drowns its counts is decided by what the other rows say; a well-counted row by
its own counts; how much rows may differ is learned from all of them. Notation, per family:

    R, k, h = k - 1   parent rows, codes, contrasts; B (h, k) the Helmert contrasts of a row
    z_r, n_r, q       noisy row of the table, its total, the child's own distribution
    theta_r           P(child | row r), wanted
    d_r = B (z_r - n_r q) / n_r                 the observed deviation from q
    d_r = B (theta_r - q) + e_r                 e_r ~ N(0, S_r)
    S_r = (v I + V B theta theta' B' + n_r B (diag theta - theta theta') B') / n_r^2
                      noise of the contrasts (v), of the row total (V), and sampling of persons
    B (theta_r - q) = sum_j x_rj b_j + u_r      main effects of the parents, and the row's own
    b_j ~ N(0, kappa Q + lambda t t')           Q = B (diag q - q q') B', t the tilt
    u_r ~ N(0, tau Q + omega t t')

The tilt t = B q (s - mean s) / sd s is the direction in which the mean of the scores s moves with
the least change of shape. Main effects along it are left to the data (prior standard deviation:
2 standard deviations of the child), so that effects on means are not shrunk; what else a parent
does to the shape is shrunk by kappa, and what parents do only together by tau and omega. These
three have a grid, weighted by the evidence (empirical Bayes with its own uncertainty).

The posterior given the weights is Gaussian; draws take the main effects from it and each row from
a Dirichlet of the row's mean and total variance, which keeps them non-negative without moving
their mean; variances are widened (`family.widening`). Sampling variances are taken at a first
estimate. Assumes that v and V are the same for all rows, which for the plans of
`protocol/privacy` is nearly so.
Sources: Gelman and Hill 2007, chapter 13; Agresti 2013, 10.4 (linear-by-linear association).
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.random import Generator

from server.estimation.contrasts import helmert
from server.estimation.family import (
    NoisyFamily,
    Possible,
    Reals,
    Rows,
    Sets,
    dirichlet_like,
    nearest_distribution,
    numbers,
    widening,
)

_ROW = (1e-3, 1e-2, 1e-1, 1.0)  # tau
_ROW_TILT = (0.0, 1e-2, 1e-1)  # omega
_SHAPE = (3e-3, 3e-2, 3e-1, 3.0)  # kappa where the tilt is free
_NOMINAL = (1.0,)  # kappa where there is no tilt
_TILT = (4.0,)  # lambda where scores have leverage: left to the data
_BINARY_TILT = (0.1, 1.0, 4.0)
_PASSES = 2
_NEGLIGIBLE = 1e-4  # weight of a strength
_MOST_CODES = 64
_MOST_UNKNOWNS = 1024  # p h
_MOST_ELEMENTS = 2**24  # R h^2
_MOST_PRODUCTS = 2**31  # R p^2 h^2
_ROWS_AT_ONCE = 4096
_ROUNDING = 1e-14  # of a precision's trace


@dataclass(frozen=True, slots=True)
class Strength:
    """How much the rows may differ: prior variances in units of the base distribution's."""

    main: float  # kappa
    tilt: float  # lambda
    row: float  # tau
    row_tilt: float  # omega


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """The parts that every strength shares."""

    base: Reals  # q, shape (k,)
    contrasts: Reals  # B, shape (h, k)
    covariance: Reals  # Q, shape (h, h)
    tilt: Reals  # t, shape (h,); zeros where there are no scores
    centre: Rows  # q over what each row can have
    possible: Possible | None
    design: Reals  # x, shape (R, p): a constant, then one centred column per parent's code
    deviations: Reals  # d, shape (R, h)

    def rows(self, deviations: Reals) -> Reals:
        """Return the probabilities nearest to q + B' deviations; shapes (.., R, h), (.., R, k)."""
        return nearest_distribution(self.centre + deviations @ self.contrasts, self.possible)


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """The Gaussian posterior under one strength."""

    log_evidence: float
    row_covariance: Reals  # of u_r, shape (h, h)
    weights: Reals  # (S_r + Cov u_r)^-1, shape (R, h, h)
    main: Reals  # posterior mean of b, shape (p h,)
    factor: Reals  # lower Cholesky factor of the precision of b, shape (p h, p h)


@dataclass(frozen=True, slots=True, eq=False)
class HierarchicalPosterior:
    """The mixture of Gaussian posteriors over strengths."""

    mean: Rows
    model: _Model
    fits: tuple[_Fit, ...]
    shares: Reals  # weight of each fit, shape (fits,)
    widening: float

    def draw(self, count: int, generator: Generator) -> Sets:
        """Return `count` plausible parameter sets, shape (count, R, k)."""
        chosen = generator.choice(len(self.fits), size=count, p=self.shares)
        sets = np.empty((count, *self.mean.shape))
        for index in np.unique(chosen):
            (at,) = np.nonzero(chosen == index)
            sets[at] = self._draw(self.fits[index], len(at), generator)
        return sets

    def _draw(self, fit: _Fit, count: int, generator: Generator) -> Sets:
        model = self.model
        normal = np.sqrt(self.widening) * generator.standard_normal((len(fit.main), count))
        main = (fit.main[:, None] + np.linalg.solve(fit.factor.T, normal)).T
        main_part = model.design @ main.reshape(count, -1, len(model.tilt))
        means = model.rows(_row_means(model, fit, main_part))
        cover = fit.row_covariance
        left = np.trace(cover) - np.einsum("ij,rjl,li->r", cover, fit.weights, cover, optimize=True)
        spread = np.broadcast_to(self.widening * left, means.shape[:-1])
        return dirichlet_like(means, spread, generator)


def fits_in(family: NoisyFamily) -> bool:
    """Return whether the model is small enough to be solved exactly."""
    rows, contrasts = len(family.table), family.codes - 1
    columns = 1 + sum(family.parent_sizes)
    return (
        family.codes <= _MOST_CODES
        and columns * contrasts <= _MOST_UNKNOWNS
        and rows * contrasts**2 <= _MOST_ELEMENTS
        and rows * (columns * contrasts) ** 2 <= _MOST_PRODUCTS
    )


def hierarchical_posterior(family: NoisyFamily) -> HierarchicalPosterior:
    """Return the posterior of a family's mechanism."""
    model = _model_of(family)
    mean = family.centre
    strengths = _strengths(family)
    for _ in range(_PASSES):
        errors = _errors(family, model, mean)
        fits = [_fit(model, errors, strength) for strength in strengths]
        shares = _shares(fits)
        kept = [index for index, share in enumerate(shares) if share > _NEGLIGIBLE]
        fits, shares = [fits[index] for index in kept], shares[kept] / shares[kept].sum()
        deviation = sum(
            share * _row_means(model, fit, (model.design @ fit.main.reshape(-1, len(model.tilt))))
            for share, fit in zip(shares, fits, strict=True)
        )
        mean = model.rows(np.asarray(deviation))
    return HierarchicalPosterior(mean, model, tuple(fits), shares, widening(family, mean))


def _strengths(family: NoisyFamily) -> list[Strength]:
    parents = len(family.parent_sizes)
    tilted = family.scores is not None and family.codes > 2
    main = (0.0,) if family.codes == 2 else _SHAPE if tilted else _NOMINAL
    tilt = _BINARY_TILT if family.codes == 2 else _TILT if tilted else (0.0,)
    row = _ROW if parents > 1 else (0.0,)  # with one parent, its main effects are the rows
    row_tilt = _ROW_TILT if parents > 1 and tilted else (0.0,)
    grid = product(main if parents else main[:1], tilt if parents else tilt[:1], row, row_tilt)
    return [Strength(*values) for values in grid]


def _model_of(family: NoisyFamily) -> _Model:
    q, totals = family.base, family.reliable_totals[:, None]
    contrasts = helmert(family.codes)[1:]
    spread = np.diag(q) - np.outer(q, q)
    table = family.table if family.possible is None else np.where(family.possible, family.table, 0)
    deviations = (table - family.totals[:, None] * family.centre) @ contrasts.T / totals
    return _Model(
        base=q,
        contrasts=contrasts,
        covariance=contrasts @ spread @ contrasts.T,
        tilt=contrasts @ _tilt(family),
        centre=family.centre,
        possible=family.possible,
        design=main_effects(family.parent_sizes),
        deviations=deviations,
    )


def _tilt(family: NoisyFamily) -> Reals:
    """Return q (s - mean s) / sd s over the scored codes, 0 for the others; shape (k,)."""
    scores = (0.0, 1.0) if family.codes == 2 else family.scores
    if scores is None:
        return np.zeros(family.codes)
    values, present = numbers(scores)
    weights = np.where(present, family.base, 0.0)
    centred = values - (weights @ values) / weights.sum()
    return np.asarray(weights * centred / np.sqrt(weights @ centred**2))


def main_effects(parent_sizes: tuple[int, ...]) -> Reals:
    """Return a constant and, per parent, its codes as centred indicators; shape (R, p)."""
    rows = int(np.prod(parent_sizes, dtype=int))
    codes = np.indices(parent_sizes).reshape(len(parent_sizes), rows)
    columns = [np.ones((rows, 1))]
    columns += [np.eye(size)[own] - 1 / size for own, size in zip(codes, parent_sizes, strict=True)]
    return np.concatenate(columns, axis=1)


def _errors(family: NoisyFamily, model: _Model, mean: Rows) -> Reals:
    """Return S_r at an estimate of theta, shape (R, h, h)."""
    totals = family.reliable_totals[:, None, None]
    theta = _doubted(family, mean)
    projected = theta @ model.contrasts.T
    outer = projected[:, :, None] * projected[:, None, :]
    sampled = (model.contrasts * theta[:, None, :]) @ model.contrasts.T - outer
    noise = family.contrast_variance * np.eye(len(model.tilt)) + family.total_variance * outer
    return np.asarray((noise + totals * sampled) / totals**2)


def _doubted(family: NoisyFamily, mean: Rows) -> Rows:
    """Return an estimate with a person, and half a deviation of noise, of the centre added."""
    totals = family.reliable_totals[:, None]
    added = 1.0 + 0.5 * np.sqrt(family.contrast_variance)
    return np.asarray((totals * mean + added * family.centre) / (totals + added))


def _fit(model: _Model, errors: Reals, strength: Strength) -> _Fit:
    """Return the posterior under one strength, with the rows' own effects integrated out."""
    tilts = np.outer(model.tilt, model.tilt)
    row_covariance = strength.row * model.covariance + strength.row_tilt * tilts
    weights = np.linalg.inv(errors + row_covariance)
    weighted = np.einsum("rij,rj->ri", weights, model.deviations)
    prior = _prior_precision(model, strength)
    precision = _regular(_gram(model.design, weights) + prior)
    factor = np.linalg.cholesky(precision)
    target = (model.design.T @ weighted).ravel()
    main = np.linalg.solve(precision, target)
    log_evidence = (
        0.5 * np.linalg.slogdet(weights)[1].sum()
        + 0.5 * np.linalg.slogdet(prior)[1]
        - np.log(np.diag(factor)).sum()
        - 0.5 * ((model.deviations * weighted).sum() - target @ main)
    )
    return _Fit(float(log_evidence), row_covariance, weights, main, factor)


def _regular(precision: Reals) -> Reals:
    """Return a precision that rounding cannot make singular, for sums that are mostly noise."""
    least = _ROUNDING * float(np.trace(precision))
    return np.asarray((precision + precision.T) / 2 + least * np.eye(len(precision)))


def _gram(design: Reals, weights: Reals) -> Reals:
    """Return sum_r (x_r x_r') kron W_r, shape (p h, p h)."""
    columns, contrasts = design.shape[1], weights.shape[1]
    found = np.zeros((columns**2, contrasts**2))
    for at in range(0, len(design), _ROWS_AT_ONCE):  # bounds the memory of the products
        rows = design[at : at + _ROWS_AT_ONCE]
        pairs = (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)
        found += pairs.T @ weights[at : at + _ROWS_AT_ONCE].reshape(len(rows), -1)
    blocks = found.reshape(columns, columns, contrasts, contrasts).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(blocks).reshape(columns * contrasts, columns * contrasts)


def _prior_precision(model: _Model, strength: Strength) -> Reals:
    """Return the prior precision of (constant, main effects), shape (p h, p h)."""
    tilts = np.outer(model.tilt, model.tilt)
    constant = np.linalg.inv(model.covariance)
    main = np.linalg.inv(strength.main * model.covariance + strength.tilt * tilts)
    columns = model.design.shape[1]
    chosen = np.zeros((columns, columns))
    chosen[0, 0] = 1.0
    return np.kron(chosen, constant) + np.kron(np.eye(columns) - chosen, main)


def _row_means(model: _Model, fit: _Fit, main_part: Reals) -> Reals:
    """Return E[B (theta_r - q)] given the main part x_r b; shapes (.., R, h)."""
    residual = model.deviations - main_part
    own = np.einsum("rij,...rj->...ri", fit.weights, residual) @ fit.row_covariance
    return np.asarray(main_part + own)


def _shares(fits: list[_Fit]) -> Reals:
    evidence = np.array([fit.log_evidence for fit in fits])
    weights = np.exp(evidence - evidence.max())
    return np.asarray(weights / weights.sum())
