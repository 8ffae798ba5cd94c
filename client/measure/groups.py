"""Which tables to ask a source for: few cliques that together cover all families.

One GROUP BY over a superset of several families costs little more than one over a family, as
long as its table stays small; the families are then sums over it. (Measured on 10 million rows:
ALARM's 37 families from 7 supersets take about half the CPU time of 37 queries.)
"""

from collections.abc import Iterable, Sequence
from math import prod

from client.source.count_source import Counts
from protocol.study.graph import Clique
from protocol.study.study import Study

MAX_CELLS = 4096


def supersets(families: Iterable[Clique], study: Study) -> tuple[Clique, ...]:
    """Return cliques of at most `MAX_CELLS` cells that cover `families`; a larger one is alone.

    Greedy: the largest family first, each into the superset whose table it multiplies least.
    Columns are in the order of the causal graph; the result depends on the study alone.
    """
    rank = _ranks(study)
    ordered = sorted(
        families, key=lambda family: (-_cells(study, family), [rank[name] for name in family])
    )
    groups: list[frozenset[str]] = []
    for family in map(frozenset, ordered):
        best = _best_host(groups, family, study)
        if best is None:
            groups.append(family)
        else:
            groups[best] |= family
    return tuple(tuple(sorted(group, key=rank.__getitem__)) for group in groups)


def host_of(clique: Clique, groups: Sequence[Clique], study: Study) -> Clique:
    """Return the smallest of `groups` that holds all variables of `clique`.

    Precondition: one does.
    """
    hosts = [group for group in groups if set(clique) <= set(group)]
    return min(hosts, key=lambda group: _cells(study, group))


def marginal(table: Counts, group: Clique, clique: Clique) -> Counts:
    """Return the table of `clique`, axes in its order, from that of its superset `group`."""
    summed: Counts = table.sum(axis=tuple(a for a, name in enumerate(group) if name not in clique))
    left = [name for name in group if name in clique]
    return summed.transpose([left.index(name) for name in clique])


def _ranks(study: Study) -> dict[str, int]:
    """Return the place of every variable, or of every column of a longitudinal study."""
    if study.time is None:
        return {node: place for place, node in enumerate(study.causal_graph.nodes)}
    columns = dict.fromkeys(name for family in study.families for name in family.clique)
    return {column: place for place, column in enumerate(columns)}


def _best_host(
    groups: Sequence[frozenset[str]], family: frozenset[str], study: Study
) -> int | None:
    """Return the group that `family` enlarges least within the limit; the first of equals."""
    best, least = None, MAX_CELLS + 1
    for place, group in enumerate(groups):
        growth = _cells(study, family - group)
        fits = growth == 1 or growth * _cells(study, group) <= MAX_CELLS
        if fits and growth < least:
            best, least = place, growth
    return best


def _cells(study: Study, columns: Iterable[str]) -> int:
    return prod(study.variable(name).size for name in columns)
