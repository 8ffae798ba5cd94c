"""What a round released, read as noisy ANOVA components with exactly known noise.

The component of a clique A in the counts is the part of its marginal that no smaller clique
explains (`protocol/privacy/residuals.py`). The released integers of A carry independent noise of
variance V_A; a component, being the residual table projected on the centred subspace and divided
by p = prod m_i, carries Gaussian noise of covariance (V_A / p^2) P with P that projection.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.privacy.plan import StatisticsPlan
from protocol.privacy.residuals import components
from protocol.study.families import Population
from protocol.study.graph import Clique

Counts = NDArray[np.int64]  # shape (plan.length,)
Component = NDArray[np.float64]  # shape of the clique, in persons


@dataclass(frozen=True, slots=True, eq=False)
class NoisySum:
    """The sum over the cohort: residual tables of all records, plus everybody's noise."""

    plan: StatisticsPlan
    values: Counts
    contributors: int  # shares of noise in the sum: one of each site, and what aggregators added
    population: Population = "units"  # whose residual tables are looked at

    def __post_init__(self) -> None:
        """Raise UsageError unless the vector is the plan's and somebody contributed."""
        if self.values.shape != (self.plan.length,) or self.values.dtype != np.int64:
            raise UsageError(
                "not-the-plan",
                f"Expected {self.plan.length} 64-bit integers, found an array of shape"
                f" {self.values.shape} and type {self.values.dtype}.",
                "Use the sum of a round of this plan.",
            )
        if self.contributors < 1:
            raise UsageError(
                "no-contributors",
                f"Expected at least one site in the sum, found {self.contributors}.",
                "Use the sum of a completed round.",
            )

    def component(self, clique: Clique) -> Component:
        """Return the noisy ANOVA component of a clique of the plan, in persons."""
        block = self.plan.block(clique, self.population)
        found = components(self.values[block.span].reshape(block.shape).astype(np.float64))
        return found / block.unit

    def variance(self, clique: Clique) -> float:
        """Return V_A / p^2: the variance of every unit-norm contrast of the noisy component."""
        block = self.plan.block(clique, self.population)
        return float(block.variance(self.contributors)) / (block.unit * prod(block.shape)) ** 2
