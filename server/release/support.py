"""How much of each table mechanism rests on its own data, and how much on the fit's back-off.

A parent row whose estimated number of persons is below three standard deviations of its own
noise cannot be told from an empty one: there the other rows decide. The noise of a row count is
that of the rebuilt marginal of the parents (Xiao et al. 2023): the sum over subsets A of
Var_A prod_{i in A} (m_i - 1) / m_i prod_{i not in A} 1 / m_i^2. Mechanisms that are fitted to
moments say so themselves where they are in doubt (`Model.cautions`).
"""

import math
from dataclasses import dataclass, replace

from protocol.privacy.residuals import subsets
from protocol.study.families import Family
from protocol.study.graph import Clique
from server.causal.mechanisms.mechanism import TableMechanism
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
    """Return the support of every table mechanism with parents, in the order of families."""
    return tuple(
        _support(model, noisy, family)
        for family in model.study.families
        if family.parents and family.mechanism.uses == "table"
    )


def row_deviation(noisy: NoisySum, parents: Clique) -> float:
    """Return the standard deviation of the noise in one rebuilt parent-row count."""
    shape = noisy.plan.block(parents, noisy.population).shape
    sizes = dict(zip(parents, shape, strict=True))
    variance = 0.0
    for clique in subsets(parents):
        inside = math.prod((sizes[name] - 1) / sizes[name] for name in clique)
        outside = math.prod(sizes[name] ** 2 for name in parents if name not in clique)
        variance += noisy.variance(clique) * inside / outside
    return math.sqrt(variance)


def _support(model: Model, noisy: NoisySum, family: Family) -> Support:
    study = model.study
    node = next(node for node in study.causal_graph.nodes if study.family_of(node) == family)
    mechanism = model.mechanisms[node]
    assert isinstance(mechanism, TableMechanism)  # noqa: S101 - as the study says
    own = replace(noisy, population=family.population)
    weak = mechanism.support < _DEVIATIONS * row_deviation(own, family.parents)
    persons = float(mechanism.support.sum())
    weak_share = float(mechanism.support[weak].sum()) / persons if persons > 0 else 1.0
    return Support(family.node, int(weak.size), int(weak.sum()), weak_share)
