"""Means of a node in some worlds, by the point estimate and by every parameter draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.causal.answers.contraction import Distributions

Method: TypeAlias = Literal["exact", "simulation"]
Rung: TypeAlias = Literal["observational", "interventional", "counterfactual"]  # Pearl 2009, 1.4


@dataclass(frozen=True, slots=True, eq=False)
class WorldMeans:
    """K means of one node in each of some worlds, world after world."""

    values: NDArray[np.float64]  # shape (worlds K, 1 + draws): the estimate, then every draw
    covariance: NDArray[np.float64]  # of the estimates by simulation, shape (worlds K, worlds K)
    method: Method

    def chosen(self, places: Sequence[int]) -> "WorldMeans":
        """Return some of the means, in this order."""
        at = list(places)
        return WorldMeans(self.values[at], self.covariance[np.ix_(at, at)], self.method)


def score_means(masses: Distributions, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean score of every draw; nan where a draw has no mass on scored codes.

    `masses`, shape (draws, levels), need not sum to 1; `scores` have shape (1 or draws, levels).
    """
    scored = ~np.isnan(scores[0])
    mass = masses[:, scored]
    total = mass.sum(axis=1)
    weighed = (mass * scores[:, scored]).sum(axis=1)
    return np.where(total > 0, weighed / np.where(total > 0, total, 1), np.nan)
