"""One-way marginals of the synthetic data beside the noisy ones that the round released.

The noisy share of level a of node v is 1/m + c_a / N: N the noisy row count, c the residual of
v projected on the centred subspace and divided by m (the component of Xiao et al. 2023). Its
standard deviation follows by the delta method from the two known noise variances. The data's
own marginals are nowhere: nobody has them.

Only what is measured in tables has a noisy marginal. In a longitudinal study a column "x[t]"
stands for all visits but the first together.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from protocol.study.families import Family
from protocol.study.study import Study
from server.estimation.evidence import NoisySum

Shares = NDArray[np.float64]  # shape (m,)
Tallies = NDArray[np.int64]  # shape (m,)


@dataclass(frozen=True, slots=True)
class Marginal:
    """Shares of the levels of one column; released ones may lie outside [0, 1] by noise."""

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
    """Return the marginal of every column that was measured by its levels, in the graph's order.

    `tallies[node]` counts the synthetic rows per measured level. Where noise has left no positive
    row count, released shares mean nothing and there is no comparison.
    """
    found = []
    for family in study.families:
        own = replace(noisy, population=family.population)
        if _is_measured(family, own) and float(own.component(())) > 0:
            nodes = [node for node in study.causal_graph.nodes if study.family_of(node) == family]
            tally = np.sum([tallies[node] for node in nodes], axis=0)
            found.append(_compare(study, family.node, own, tally))
    return tuple(found)


def noisy_rows(noisy: NoisySum) -> tuple[int, float]:
    """Return the released row count and the standard deviation of its noise."""
    block = noisy.plan.block(())
    deviation = math.sqrt(block.variance(noisy.contributors))
    return int(noisy.values[block.offset]), deviation


def _is_measured(family: Family, noisy: NoisySum) -> bool:
    cliques = {block.clique for block in noisy.plan.residuals(family.population)}
    return (family.node,) in cliques


def _compare(study: Study, node: str, noisy: NoisySum, tally: Tallies) -> Marginal:
    released, deviation = _released_shares(noisy, node)
    total = max(int(tally.sum()), 1)
    return Marginal(
        node=node,
        labels=study.variable(node).labels,
        synthetic=tuple(float(count) / total for count in tally),
        released=tuple(map(float, released)),
        deviation=tuple(map(float, deviation)),
    )


def _released_shares(noisy: NoisySum, node: str) -> tuple[Shares, Shares]:
    component = noisy.component((node,))
    size, rows = len(component), float(noisy.component(()))
    shares = 1 / size + component / rows
    cell_variance = (1 - 1 / size) * noisy.variance((node,))
    from_rows = (shares - 1 / size) ** 2 * noisy.variance(())
    return shares, np.sqrt(cell_variance + from_rows) / rows
