"""What each mechanism of a study is fitted from: its columns, its rows and its statistic.

Without visits a family is a node with its parents. In a longitudinal study all visits but the
first share one family, whose columns are `x[t]`, `x[t-1]` and static variables.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from protocol.study.graph import CausalGraph, Clique
from protocol.study.mechanisms import Mechanism
from protocol.study.time import BEFORE, FIRST, NOW, base_name
from protocol.study.variables import Variable

# Which rows are counted: a unit's rows (its first visit, if there are visits), or its pairs of
# successive visits, which together weigh as much as a unit.
Population: TypeAlias = Literal["units", "transitions"]

REGRESSOR_KINDS = frozenset({"boolean", "numeric", "count"})  # enter moments as numbers


@dataclass(frozen=True, slots=True)
class Family:
    """A column with its parents, in the order of the causal graph's nodes."""

    node: str
    parents: tuple[str, ...]
    population: Population
    mechanism: Mechanism
    rows: tuple[str, ...]  # parents by whose codes statistics are split: all, for tables
    regressors: tuple[str, ...]  # parents that enter moments as numbers

    @property
    def clique(self) -> Clique:
        """Return the parents, then the node."""
        return (*self.parents, self.node)


def families_of(
    graph: CausalGraph, variables: Mapping[str, Variable], mechanisms: Mapping[str, Mechanism]
) -> tuple[Family, ...]:
    """Return one family per mechanism, in the order of the graph; later visits share theirs.

    `mechanisms` has one entry for every variable.
    """
    found: list[Family] = []
    for node in graph.nodes:
        visit = visit_of(node)
        if visit is None or visit < 2:
            found.append(_family(graph, node, visit, variables, mechanisms))
    return (
        *(family for family in found if family.population == "units"),
        *(family for family in found if family.population == "transitions"),
    )


def visit_of(node: str) -> int | None:
    """Return the visit of a node of the unrolled graph, None for others."""
    return int(node[node.index("[") + 1 : -1]) if node.endswith("]") else None


def _family(
    graph: CausalGraph,
    node: str,
    visit: int | None,
    variables: Mapping[str, Variable],
    mechanisms: Mapping[str, Mechanism],
) -> Family:
    later = visit is not None and visit > 0
    parents = tuple(_column(parent, later=later) for parent in graph.parents[node])
    mechanism = mechanisms[base_name(node)]
    numbers = mechanism.uses == "moments"
    regressors = tuple(
        parent
        for parent in parents
        if numbers and variables[base_name(parent)].kind in REGRESSOR_KINDS
    )
    return Family(
        node=_column(node, later=later),
        parents=parents,
        population="transitions" if later else "units",
        mechanism=mechanism,
        rows=tuple(parent for parent in parents if parent not in regressors),
        regressors=regressors,
    )


def _column(node: str, *, later: bool) -> str:
    """Return the column of a node as seen from visit 1, or from the first visit."""
    visit = visit_of(node)
    if visit is None:
        return node
    if not later:
        return base_name(node) + FIRST
    return base_name(node) + (NOW if visit == 1 else BEFORE)
