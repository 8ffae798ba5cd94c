"""One family as its mechanism is fitted: rows of a noisy table, and what is known of the noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Reals = NDArray[Any]  # float64
Rows = NDArray[Any]  # shape (R, k): one per combination of the parents' codes
Sets = NDArray[Any]  # shape (draws, R, k)
Possible = NDArray[np.bool_]  # shape (R, k)

# Posterior variances are widened by this factor in draws: strengths and sampling variances are
# estimates themselves, and a Gaussian is not the truth near 0 and 1 (a tempered posterior, Miller
# and Dunson 2019). Chosen by coverage: protocol/decisions/0004-effect-intervals.md.
WIDENING = 1.2

_SMALLEST_SHARE = 1e-4  # of a code in the base distribution; keeps covariances regular


@dataclass(frozen=True, slots=True, eq=False)
class NoisyFamily:
    """What a mechanism with R parent rows and k codes is fitted to.

    The noise of `table` has variance `contrast_variance` in every contrast of a row and
    `total_variance` in a row's total. Units: persons.
    """

    table: Rows  # unbiased; cells may be negative
    totals: Reals  # shape (R,), non-negative row totals, consistent with all other families
    base: Reals  # shape (k,), the child's own distribution
    parent_sizes: tuple[int, ...]  # product R; the last parent runs fastest
    contrast_variance: float
    total_variance: float
    scores: tuple[float | None, ...] | None  # numbers of the codes, where its order has meaning
    consistent: Rows | None = None  # non-negative, in agreement with all other families
    possible: Possible | None = None  # which codes each row can have, at least one; None: all

    @property
    def codes(self) -> int:
        """Return k."""
        return len(self.base)

    @property
    def centre(self) -> Rows:
        """Return the child's own distribution over what each row can have, shape (R, k)."""
        rows = np.broadcast_to(self.base, self.table.shape)
        if self.possible is None:
            return rows
        allowed = np.where(self.possible, rows, 0.0)
        return np.asarray(allowed / allowed.sum(axis=1, keepdims=True))

    @property
    def reliable_totals(self) -> Reals:
        """Return the row totals, at least a hundredth of a standard deviation of their noise.

        A higher floor would take noise in empty rows for what persons say.
        """
        return np.asarray(np.maximum(self.totals, 0.01 * np.sqrt(self.total_variance)))


class Posterior(Protocol):
    """What is believed of a mechanism's parameters."""

    @property
    def mean(self) -> Rows:
        """Return the point estimate: rows of probabilities."""
        ...

    def draw(self, count: int, generator: Generator) -> Sets:
        """Return `count` plausible parameter sets: rows of probabilities."""
        ...


_PER_CODE = 0.08  # of widening, beyond two codes, in rows of noise alone
_LEAST_CONCENTRATED = 0.05  # of a Dirichlet: nearly all mass on one code
_MOST_CONCENTRATED = 1e8


def base_distribution(weights: Reals, noise_variance: float) -> Reals:
    """Return non-negative `weights`, shape (k,), as shares, drawn to 1/k as far as noise rules.

    `noise_variance` is that of one cell of the child's own table. The part that noise has in the
    squared length of the table is given to equal shares; every code gets about 1e-4 at least.
    """
    total = float(weights.sum())
    noise = len(weights) * noise_variance
    signal = total / (total**2 + noise)  # 1 / total without noise, 0 without signal
    equal = (1.0 - signal * total) / len(weights)
    shares: Reals = np.maximum(signal * weights + equal, _SMALLEST_SHARE)
    return np.asarray(shares / shares.sum())


def widening(family: NoisyFamily, mean: Rows) -> float:
    """Return the factor by which variances of rows are widened, given their estimate.

    WIDENING, and more where noise exceeds sampling among many codes: the more codes, the more a
    sharp row loses to those that noise left positive, which no spread of draws knows of.
    """
    noise = family.contrast_variance * (family.codes - 1)
    persons = family.reliable_totals
    sampled = float(persons**2 @ (mean * (1 - mean)).sum(axis=1) / persons.sum())
    return WIDENING + _PER_CODE * (family.codes - 2) * noise / (noise + sampled)


def to_simplex(rows: Reals, base: Reals) -> Reals:
    """Return rows without their negative parts, rescaled to sum to 1; `base` for empty ones."""
    positive = np.maximum(rows, 0.0)
    total = positive.sum(axis=-1, keepdims=True)
    return np.where(total > 0, positive / np.where(total > 0, total, 1.0), base)


def nearest_distribution(rows: Reals, possible: Possible | None = None) -> Reals:
    """Return the probabilities nearest to each row in Euclidean distance; shape (.., k) kept.

    What is above 1 is taken off all codes alike, so that a row of one sure code among noise loses
    less of it than by clipping and rescaling. Codes that are not `possible` get exactly 0.
    Source: Held, Wolfe and Crowder 1974.
    """
    allowed = rows if possible is None else np.where(possible, rows, -np.inf)
    falling = -np.sort(-allowed, axis=-1)
    present = np.isfinite(falling)
    excess = np.cumsum(np.where(present, falling, 0.0), axis=-1) - 1.0
    offsets = excess / np.arange(1, rows.shape[-1] + 1)
    last = (present & (falling > offsets)).sum(axis=-1, keepdims=True) - 1
    offset = np.take_along_axis(offsets, np.maximum(last, 0), axis=-1)
    return np.asarray(np.maximum(allowed - offset, 0.0))


def dirichlet_like(mean: Reals, spread: Reals, generator: Generator) -> Reals:
    """Return Dirichlet draws of the given means, shape (.., k), and total variances, (..).

    The concentration a solves sum_y m_y (1 - m_y) / (a + 1) = spread. Rows of no spread are
    returned as they are.
    """
    variance = np.maximum(spread, 1e-300)
    concentration = (mean * (1 - mean)).sum(axis=-1) / variance - 1
    certain = concentration > _MOST_CONCENTRATED
    shape = np.clip(concentration, _LEAST_CONCENTRATED, _MOST_CONCENTRATED)[..., None] * mean
    drawn = generator.standard_gamma(shape)
    return np.where(certain[..., None], mean, to_simplex(drawn, mean))


def numbers(scores: Sequence[float | None]) -> tuple[Reals, NDArray[np.bool_]]:
    """Return the scores with 0 for None, and where there is one."""
    present = np.array([score is not None for score in scores])
    return np.array([0.0 if score is None else score for score in scores]), present
