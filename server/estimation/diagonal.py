"""P(child | parents) for families too large for `hierarchy.py`: the same model, code by code.

Notation as there. Covariances between codes are left out, so that each code y is a regression of
its own: theta_ry - q_y = x_r b_y + u_ry with b_y ~ N(0, q_y), u_ry ~ N(0, tau q_y), observed with
the variance of noise and sampling. That the codes of a row sum to 1 takes one degree of freedom
in k, for which all variances are raised by k / (k - 1). With one parent the main effects are the
rows themselves and only u_ry, with tau = 1, is left.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from server.estimation.family import (
    NoisyFamily,
    Possible,
    Reals,
    Rows,
    Sets,
    dirichlet_like,
    nearest_distribution,
    widening,
)
from server.estimation.hierarchy import main_effects

_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)  # tau


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    log_evidence: float
    gain: Rows  # share of a residual that is the row's own, shape (R, k)
    main: Reals  # posterior mean of b, shape (k, p)
    factor: Reals  # lower Cholesky factors of its precision, shape (k, p, p)
    left: Reals  # total variance of each row given b, shape (R,)


@dataclass(frozen=True, slots=True, eq=False)
class DiagonalPosterior:
    """The mixture over tau of regressions, one a code."""

    mean: Rows
    centre: Rows
    possible: Possible | None
    design: Reals  # shape (R, p)
    deviations: Rows
    fits: tuple[_Fit, ...]
    shares: Reals
    widening: float

    def draw(self, count: int, generator: Generator) -> Sets:
        """Return `count` plausible parameter sets, shape (count, R, k)."""
        chosen = generator.choice(len(self.fits), size=count, p=self.shares)
        sets = np.empty((count, *self.mean.shape))
        for at, index in enumerate(chosen):
            fit = self.fits[index]
            normal = np.sqrt(self.widening) * generator.standard_normal((*fit.main.shape, 1))
            turned = np.linalg.solve(np.swapaxes(fit.factor, 1, 2), normal)[..., 0]
            means = _row_means(self, fit, fit.main + turned)
            sets[at] = dirichlet_like(means, self.widening * fit.left, generator)
        return sets


def diagonal_posterior(family: NoisyFamily) -> DiagonalPosterior:
    """Return the posterior of a large family's mechanism."""
    several = len(family.parent_sizes) > 1
    design = main_effects(family.parent_sizes if several else ())
    design = np.broadcast_to(design, (len(family.table), design.shape[1]))
    deviations, errors = _observed(family)
    fits = [
        _fit(family, design, deviations, errors, strength)
        for strength in (_STRENGTHS if several else _STRENGTHS[-1:])
    ]
    evidence = np.array([fit.log_evidence for fit in fits])
    weights = np.exp(evidence - evidence.max())
    shares = weights / weights.sum()
    centre = family.centre
    found = DiagonalPosterior(
        deviations, centre, family.possible, design, deviations, tuple(fits), shares, 1.0
    )
    means = [_row_means(found, fit, fit.main) for fit in fits]
    mean = np.tensordot(shares, np.array(means), axes=1)
    return replace(found, mean=mean, widening=widening(family, mean))


def _observed(family: NoisyFamily) -> tuple[Rows, Rows]:
    """Return the deviations of rows from the base, and the variance of their errors; (R, k)."""
    q, k = family.base, family.codes
    totals = family.reliable_totals[:, None]
    table = family.table if family.possible is None else np.where(family.possible, family.table, 0)
    raw = table - family.totals[:, None] * family.centre
    deviations = (raw - raw.mean(axis=1, keepdims=True)) / totals
    noise = family.contrast_variance * (1 - 1 / k) + family.total_variance * (1 / k - q) ** 2
    return deviations, (noise + totals * q * (1 - q)) / totals**2 * (k / (k - 1))


def _fit(
    family: NoisyFamily, design: Reals, deviations: Rows, errors: Rows, strength: float
) -> _Fit:
    k, columns = family.codes, design.shape[1]
    raised = family.base * (k / (k - 1))  # prior variance of b_y
    weights = 1.0 / (strength * raised + errors)
    precision = np.einsum("rp,rk,rs->kps", design, weights, design, optimize=True)
    precision += np.eye(columns) / raised[:, None, None]
    factor = np.linalg.cholesky(precision)
    target = (design.T @ (weights * deviations)).T
    main = np.linalg.solve(precision, target[..., None])[..., 0]
    log_determinants = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum()
    log_evidence = (
        0.5 * np.log(weights).sum()
        - log_determinants
        - 0.5 * columns * np.log(raised).sum()
        - 0.5 * ((weights * deviations**2).sum() - (target * main).sum())
    )
    gain = strength * raised * weights
    left = (strength * raised * (1 - gain)).sum(axis=1)
    return _Fit(float(log_evidence) * (k - 1) / k, gain, main, factor, left)


def _row_means(posterior: DiagonalPosterior, fit: _Fit, main: Reals) -> Rows:
    expected = posterior.design @ main.T
    own = fit.gain * (posterior.deviations - expected)
    return nearest_distribution(posterior.centre + expected + own, posterior.possible)
