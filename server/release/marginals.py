"""One-way marginals of the synthetic data beside the noisy ones that the round released.

The noisy share of level a of node v is 1/m + c_a / N: N the noisy row count, c the residual of
v projected on the centred subspace and divided by m (the component of Xiao et al. 2023). Its
standard deviation follows by the delta method from the two known noise variances. The data's
own marginals are nowhere: nobody has them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.privacy.residuals import components
from protocol.study.study import Study
from server.estimation.evidence import NoisySum

Shares = NDArray[np.float64]  # shape (m,)
Tallies = NDArray[np.int64]  # shape (m,)


@dataclass(frozen=True, slots=True)
class Marginal:
    """Shares of the levels of one variable; released ones may lie outside [0, 1] by noise."""

    node: str
    labels: tuple[str, ...]
    synthetic: tuple[float, ...]
    released: tuple[float, ...]
    deviation: tuple[float, ...]  # standard deviation of the noise in `released`

    @property
    def distance(self) -> float:
        """Total variation distance of the synthetic from the released shares."""
        pairs = zip(self.synthetic, self.released, strict=True)
        return sum(abs(made - noisy) for made, noisy in pairs) / 2


def compare_marginals(
    study: Study, noisy: NoisySum, tallies: Mapping[str, Tallies]
) -> tuple[Marginal, ...]:
    """Return the marginal of every variable, in topological order; empty without rows to show.

    `tallies[node]` counts the synthetic rows per level. Where noise has left no positive row
    count, released shares mean nothing and there is no comparison.
    """
    rows, _ = noisy_rows(noisy)
    if rows <= 0:
        return ()
    return tuple(_compare(study, node, noisy, tallies[node]) for node in study.causal_graph.nodes)


def noisy_rows(noisy: NoisySum) -> tuple[int, float]:
    """Return the released row count and the standard deviation of its noise."""
    block = noisy.plan.block(())
    deviation = math.sqrt(block.variance(noisy.contributors))
    return int(noisy.values[block.offset]), deviation


def _compare(study: Study, node: str, noisy: NoisySum, tally: Tallies) -> Marginal:
    released, deviation = _released_shares(noisy, node)
    total = max(int(tally.sum()), 1)
    return Marginal(
        node=node,
        labels=study.variables[node].labels,
        synthetic=tuple(float(count) / total for count in tally),
        released=tuple(map(float, released)),
        deviation=tuple(map(float, deviation)),
    )


def _released_shares(noisy: NoisySum, node: str) -> tuple[Shares, Shares]:
    block = noisy.plan.block((node,))
    (size,) = block.shape
    rows, rows_deviation = noisy_rows(noisy)
    residual = noisy.values[block.span].reshape(block.shape).astype(np.float64)
    shares = 1 / size + components(residual) / rows
    cell_variance = (1 - 1 / size) * float(block.variance(noisy.contributors)) / size**2
    from_rows = (shares - 1 / size) * rows_deviation
    return shares, np.sqrt(cell_variance + from_rows**2) / rows
