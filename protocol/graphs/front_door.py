"""Front-door sets: mediators through which an unmeasured common cause can be seen past.

Pearl (1995): M is one for the effect of treatment on outcome if M is on every directed path
between them, no path into the treatment connects it with M, and the treatment blocks all paths
into M that connect it with the outcome. What the first asks for only grows with M, and of what
fulfils the other two there is one largest set (Jeong, Tian and Bareinboim 2022), so that minimal
sets are found by taking nodes away.
"""

from collections.abc import Collection

from protocol.graphs.minimal import MOST_SETS, NodeSet, minimal_sets
from protocol.graphs.mixed import MixedGraph, reached
from protocol.graphs.separation import connected


def is_front_door_set(
    graph: MixedGraph, treatment: str, outcome: str, nodes: Collection[str]
) -> bool:
    """Return whether some nodes are a front-door set."""
    chosen = frozenset(nodes)
    return (
        chosen.isdisjoint({treatment, outcome})
        and _intercepts(graph, treatment, outcome, chosen)
        and chosen <= _unconfounded(graph, treatment)
        and _blocked(graph, treatment, outcome, chosen) == chosen
    )


def minimal_front_door_sets(
    graph: MixedGraph, treatment: str, outcome: str, most: int = MOST_SETS
) -> tuple[tuple[str, ...], ...]:
    """Return front-door sets of which no part is one, at most `most`; none where there is none.

    Without a directed path there is no effect to find, and the set () intercepts all of them.
    """
    causes = graph.causes_of([outcome]) - {treatment, outcome}
    candidates = causes & _unconfounded(graph, treatment)

    def find(without: NodeSet) -> NodeSet | None:
        return _smallest(graph, treatment, outcome, candidates - without)

    return minimal_sets(find, most)


def _smallest(graph: MixedGraph, treatment: str, outcome: str, among: NodeSet) -> NodeSet | None:
    """Return a minimal front-door set among some nodes, None if none of them make one."""
    chosen = _largest(graph, treatment, outcome, among)
    if chosen is None:
        return None
    for node in sorted(chosen):
        if node in chosen:
            fewer = _largest(graph, treatment, outcome, chosen - {node})
            chosen = chosen if fewer is None else fewer
    return chosen


def _largest(graph: MixedGraph, treatment: str, outcome: str, among: NodeSet) -> NodeSet | None:
    chosen = _blocked(graph, treatment, outcome, among)
    return chosen if _intercepts(graph, treatment, outcome, chosen) else None


def _unconfounded(graph: MixedGraph, treatment: str) -> NodeSet:
    """Return the nodes that no open path into the treatment connects with it."""
    into = graph.without_arrows(out_of={treatment}, into=graph.nodes)
    return frozenset(graph.nodes) - connected(into, treatment) - {treatment}


def _blocked(graph: MixedGraph, treatment: str, outcome: str, among: NodeSet) -> NodeSet:
    """Return the most of some nodes of which the treatment blocks the paths into them."""
    chosen = among
    while True:
        into = graph.without_arrows(out_of=chosen, into=graph.nodes)
        fewer = chosen - connected(into, outcome, {treatment})
        if fewer == chosen:
            return chosen
        chosen = fewer


def _intercepts(graph: MixedGraph, treatment: str, outcome: str, chosen: NodeSet) -> bool:
    steps = {node: () if node in chosen else it for node, it in graph.children.items()}
    return outcome not in reached([treatment], steps)
