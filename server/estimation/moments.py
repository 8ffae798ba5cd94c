"""Noisy moments of a family, as a round released them: one symmetric matrix per row of parents.

z = (1, regressors, node), each scaled so that its public bounds are -1 and 1; a matrix is the sum
of z z' over persons plus independent noise of one known variance in every element of its upper
triangle. What is fitted on that scale is turned back into units of the study at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.privacy.moments import pairs
from protocol.study.families import Family
from protocol.study.study import Study
from protocol.study.variables import Count, Numeric
from server.estimation.evidence import NoisySum

Reals: TypeAlias = NDArray[Any]  # float64
Matrices: TypeAlias = NDArray[Any]  # float64, shape (R, k, k), symmetric


@dataclass(frozen=True, slots=True, eq=False)
class NoisyMoments:
    """The moments of R rows of parents and k = 2 + regressors numbers, in persons."""

    matrices: Matrices
    variance: float  # of the noise of every element

    @property
    def pooled(self) -> "NoisyMoments":
        """Return the moments of all rows together."""
        return NoisyMoments(self.matrices.sum(axis=0, keepdims=True), self.variance * self.rows)

    @property
    def rows(self) -> int:
        """Return R."""
        return len(self.matrices)

    @property
    def regressors(self) -> int:
        """Return the number of regressors, without the constant."""
        return int(self.matrices.shape[1]) - 2


@dataclass(frozen=True, slots=True)
class Scale:
    """value = middle + half * scaled."""

    middle: float
    half: float


def noisy_moments(study: Study, family: Family, sums: Sequence[NoisySum]) -> NoisyMoments:
    """Return the moments of a family, of all rounds over the same records together.

    Rounds are weighted by the inverse of their noise variances. Rows of codes that the model does
    not have are left out.
    """
    rounds = [_of_round(study, family, noisy) for noisy in sums]
    precision = sum(1 / one.variance for one in rounds)
    weighted = np.array([one.matrices / one.variance for one in rounds]).sum(axis=0)
    return NoisyMoments(weighted / precision, 1 / precision)


def _of_round(study: Study, family: Family, noisy: NoisySum) -> NoisyMoments:
    clique = (*family.rows, *family.regressors, family.node)
    block = noisy.plan.block(clique, family.population, "moments")
    flat = noisy.values[block.span].reshape(block.shape).astype(np.float64) / block.unit
    kept = flat[tuple(slice(size) for size in study.model_sizes(family.rows))]
    by_row = kept.reshape(-1, block.shape[-1])
    size = len(family.regressors) + 2
    matrices = np.empty((len(by_row), size, size))
    for at, (i, j) in enumerate(pairs(len(family.regressors))):
        matrices[:, i, j] = matrices[:, j, i] = by_row[:, at]
    return NoisyMoments(matrices, float(block.variance(noisy.contributors)) / block.unit**2)


def scale_of(study: Study, name: str) -> Scale:
    """Return how a number of the study is scaled; a boolean's 0 and 1 become -1 and 1."""
    variable = study.variable(name)
    if isinstance(variable, Numeric | Count):
        low, high = (float(bound) for bound in variable.bounds)
        return Scale((low + high) / 2, (high - low) / 2)
    return Scale(0.5, 0.5)


def natural(coefficients: Reals, regressors: Sequence[Scale], response: Scale) -> Reals:
    """Return coefficients of scaled numbers, shape (.., 1 + p), in units of the study.

    y = m + h (c + sum_j b_j (x_j - m_j) / h_j).
    """
    slopes = coefficients[..., 1:] * response.half / np.array([one.half for one in regressors])
    middles = np.array([one.middle for one in regressors])
    constant = response.middle + response.half * coefficients[..., 0] - slopes @ middles
    return np.concatenate([constant[..., None], slopes], axis=-1)
