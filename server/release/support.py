"""How much of each mechanism rests on its own data, and how much on the fit's back-off.

A parent row whose estimated number of persons is below three standard deviations of its own
noise cannot be told from an empty one: there the other rows decide. The noise of a row count is
that of the rebuilt marginal of the parents (Xiao et al. 2023): the sum over subsets A of
Var_A prod_{i in A} (m_i - 1) / m_i prod_{i not in A} 1 / m_i^2.
"""

import math
from dataclasses import dataclass

from protocol.privacy.residuals import subsets
from protocol.study.graph import Clique
from server.causal.model import Model
from server.estimation.evidence import NoisySum

_DEVIATIONS = 3


@dataclass(frozen=True, slots=True)
class Support:
    """Of one mechanism: its parent rows, and those that noise drowns."""

    node: str
    rows: int
    weak_rows: int
    weak_share: float  # of the persons, as estimated


def find_support(model: Model, noisy: NoisySum) -> tuple[Support, ...]:
    """Return the support of every mechanism with parents, in topological order."""
    graph = model.study.causal_graph
    return tuple(_support(model, noisy, node) for node in graph.nodes if graph.parents[node])


def row_deviation(noisy: NoisySum, parents: Clique) -> float:
    """Return the standard deviation of the noise in one rebuilt parent-row count."""
    sizes = dict(zip(parents, noisy.plan.block(parents).shape, strict=True))
    variance = 0.0
    for clique in subsets(parents):
        inside = math.prod((sizes[name] - 1) / sizes[name] for name in clique)
        outside = math.prod(sizes[name] ** 2 for name in parents if name not in clique)
        variance += noisy.variance(clique) * inside / outside
    return math.sqrt(variance)


def _support(model: Model, noisy: NoisySum, node: str) -> Support:
    mechanism = model.mechanisms[node]
    weak = mechanism.support < _DEVIATIONS * row_deviation(noisy, mechanism.parents)
    persons = float(mechanism.support.sum())
    weak_share = float(mechanism.support[weak].sum()) / persons if persons > 0 else 1.0
    return Support(node, int(weak.size), int(weak.sum()), weak_share)
