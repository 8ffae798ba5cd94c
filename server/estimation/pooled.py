"""P(child | parents) for families too large for `hierarchy.py`: rows shrunk to the child's own.

The same model without main effects and with covariances kept to their diagonals, so that its cost
is linear in the cells: theta_ry = q_y + u_ry, u_ry ~ N(0, tau q_y (1 - q_y)), observed with the
variance of noise and sampling. tau has a grid, weighted by the evidence.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from server.estimation.family import (
    WIDENING,
    NoisyFamily,
    Reals,
    Rows,
    Sets,
    dirichlet_like,
    to_simplex,
)

_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # tau


@dataclass(frozen=True, slots=True, eq=False)
class PooledPosterior:
    """A mixture over tau of independent rows."""

    mean: Rows
    means: Reals  # per tau, shape (taus, R, k)
    left: Reals  # total posterior variance of each row, shape (taus, R)
    shares: Reals  # weight of each tau

    def draw(self, count: int, generator: Generator) -> Sets:
        """Return `count` plausible parameter sets, shape (count, R, k)."""
        chosen = generator.choice(len(self.shares), size=count, p=self.shares)
        sets = np.empty((count, *self.mean.shape))
        for at, index in enumerate(chosen):
            sets[at] = dirichlet_like(self.means[index], WIDENING * self.left[index], generator)
        return sets


def pooled_posterior(family: NoisyFamily) -> PooledPosterior:
    """Return the posterior of a large family's mechanism."""
    deviations, errors = _observed(family)
    spread = family.base * (1 - family.base)
    evidence, means, left = [], [], []
    for strength in _STRENGTHS:
        total = strength * spread + errors
        gain = strength * spread / total
        # one contrast in k is spent on the row's total
        degrees = (family.codes - 1) / family.codes
        evidence.append(-0.5 * degrees * (np.log(total) + deviations**2 / total).sum())
        means.append(to_simplex(family.base + gain * deviations, family.base))
        left.append((strength * spread * (1 - gain)).sum(axis=1))
    weights = np.exp(np.array(evidence) - max(evidence))
    shares = weights / weights.sum()
    mean = np.tensordot(shares, np.array(means), axes=1)
    return PooledPosterior(mean, np.array(means), np.array(left), shares)


def _observed(family: NoisyFamily) -> tuple[Rows, Rows]:
    """Return the deviations of rows from the base, and the variance of their errors; (R, k)."""
    q, k = family.base, family.codes
    totals = family.reliable_totals[:, None]
    raw = family.table - family.totals[:, None] * q
    deviations = (raw - raw.mean(axis=1, keepdims=True)) / totals
    noise = family.contrast_variance * (1 - 1 / k) + family.total_variance * (1 / k - q) ** 2
    return deviations, (noise + totals * q * (1 - q)) / totals**2
