"""Sets of measured nodes to adjust for, so that one node's total effect on another is left.

The generalised adjustment criterion (Shpitser, VanderWeele and Robins 2010; Perkovic et al. 2018),
which the back-door criterion of Pearl (1995) is a part of: Z has no node on a directed path from
treatment to outcome, nor below one, and blocks all other paths between the two. Sets are found in
linear time as separators of the moral graph (van der Zander, Liskiewicz and Textor 2019).
"""

from collections.abc import Collection, Iterable, Mapping

from protocol.graphs.minimal import MOST_SETS, NodeSet, minimal_sets
from protocol.graphs.mixed import MixedGraph, reached
from protocol.graphs.separation import separated

Links = Mapping[str, frozenset[str]]  # of an undirected graph: the neighbours of every node


def on_causal_paths(graph: MixedGraph, treatment: str, outcome: str) -> frozenset[str]:
    """Return the nodes on directed paths from a treatment to an outcome, without the treatment."""
    after, before = graph.effects_of([treatment]), graph.causes_of([outcome])
    return (after & before) - {treatment}


def never_adjusted(graph: MixedGraph, treatment: str, outcome: str) -> frozenset[str]:
    """Return the nodes that no adjustment set holds: both, and what causal paths lead to."""
    paths = on_causal_paths(graph, treatment, outcome)
    return graph.effects_of(paths) | {treatment, outcome}


def without_causal_paths(graph: MixedGraph, treatment: str, outcome: str) -> MixedGraph:
    """Return the graph without the first arrows of directed paths from treatment to outcome."""
    paths = on_causal_paths(graph, treatment, outcome)
    return graph.without_arrows(out_of={treatment}, into=paths)


def is_adjustment_set(
    graph: MixedGraph, treatment: str, outcome: str, nodes: Collection[str]
) -> bool:
    """Return whether adjusting for some nodes leaves the total effect of treatment on outcome."""
    if not never_adjusted(graph, treatment, outcome).isdisjoint(nodes):
        return False
    rest = without_causal_paths(graph, treatment, outcome)
    return separated(rest, [treatment], [outcome], nodes)


def canonical_adjustment_set(
    graph: MixedGraph, treatment: str, outcome: str
) -> tuple[str, ...] | None:
    """Return the largest set among the causes of both, None if no adjustment set exists.

    Perkovic et al. (2018), theorem 4.1: it is one if there is any.
    """
    causes = graph.causes_of([treatment, outcome])
    nodes = causes - never_adjusted(graph, treatment, outcome)
    if not is_adjustment_set(graph, treatment, outcome, nodes):
        return None
    return tuple(node for node in graph.nodes if node in nodes)


def minimal_adjustment_sets(
    graph: MixedGraph, treatment: str, outcome: str, most: int = MOST_SETS
) -> tuple[tuple[str, ...], ...]:
    """Return adjustment sets of which no node can be left out, at most `most` of them.

    None exists where the tuple is empty; that nothing needs to be adjusted for is the set ().
    """
    rest = without_causal_paths(graph, treatment, outcome)
    links = _moral(rest.within(rest.causes_of([treatment, outcome])))
    never = never_adjusted(graph, treatment, outcome)

    def find(without: NodeSet) -> NodeSet | None:
        return _separator(links, treatment, outcome, frozenset(links) - never - without)

    return minimal_sets(find, most)


def _moral(graph: MixedGraph) -> Links:
    """Return the undirected graph that joins nodes which no set of all others separates.

    Richardson (2003): those of one district with its parents. Of a graph of two nodes and their
    causes, a set separates the two here exactly if it does so there.
    """
    found: dict[str, set[str]] = {node: set() for node in graph.nodes}
    for district in graph.districts():
        together = district.union(*(graph.arrows.parents[node] for node in district))
        for node in together:
            found[node] |= together - {node}
    return {node: frozenset(others) for node, others in found.items()}


def _separator(links: Links, one: str, other: str, allowed: NodeSet) -> NodeSet | None:
    """Return a minimal set of allowed nodes between two others, None if there is none.

    All allowed nodes, less those that cannot be reached from one side past the others, then from
    the other side (van der Zander, Liskiewicz and Textor 2019, algorithm FindMinSep).
    """
    near = _met(links, one, allowed)
    if other in near:
        return None
    return _met(links, other, near & allowed) & near & allowed


def _met(links: Links, start: str, stops: NodeSet) -> NodeSet:
    """Return what can be reached from a node without passing `stops`, those met included."""
    steps = {node: () if node in stops else near for node, near in links.items()}
    return reached([start], steps)


def shown_set(nodes: Iterable[str]) -> str:
    """Return a set as text: "a, b", or "nothing"."""
    return ", ".join(nodes) or "nothing"
