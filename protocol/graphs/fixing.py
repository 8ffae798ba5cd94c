"""Interventions on a factorised distribution: whose mechanisms read what a node would have been.

A distribution is drawn as prod P(v | mp(v)) (`mixed.py`). Where a node T is set to t and no child
of it is in its district, T is primal fixable (Bhattacharya, Nabi and Shpitser 2020; the condition
is that of Tian and Pearl 2002): then

    P(rest | do(t)) = prod over v outside the district  P(v | mp(v)) at T = t
                      times  sum over T of  prod over v in the district  P(v | mp(v))

So a world in which T is set has the natural value of T beside it, drawn by T's own mechanism. The
members of its district read that one, all other nodes read t.

That holds for several nodes at once, where children of one in its district are set as well, and
were in its district before any later node joined them: then what is set of one district is summed
out together, since nothing else in the district descends from it.

What is asked of a world needs some of its nodes alone: the outcomes, and whatever their mechanisms
read, and so on. Nodes that come later in the order join no district of these, and do not matter.
"""

from collections.abc import Collection, Mapping

from protocol.graphs.mixed import MixedGraph, reached
from protocol.graphs.trails import FORWARD, Trail, joined


def natural_readers(graph: MixedGraph, treated: Collection[str]) -> Mapping[str, frozenset[str]]:
    """Return per treated node the nodes whose mechanisms read its natural value.

    These come after it, in its district among the nodes before them. Where there are none, no
    natural value is needed. A treated node may be among them: then its own natural value is drawn
    from the other's.
    """
    districts = graph.early_districts
    return {
        node: frozenset(it for it in graph.nodes if it != node and node in districts[it])
        for node in treated
    }


def needed(graph: MixedGraph, outcomes: Collection[str]) -> frozenset[str]:
    """Return outcomes and all that their mechanisms read, directly or not."""
    return reached(outcomes, graph.markov.parents)


def obstacle(
    graph: MixedGraph, treated: Collection[str], outcomes: Collection[str]
) -> Trail | None:
    """Return what keeps a world of set nodes from having the right outcomes; None if nothing does.

    It is a path of unmeasured causes from a set node to a child of it, that joins both to one
    district, and on to an outcome where arrows lead there.
    """
    part = graph.within(needed(graph, outcomes))
    tied = [
        _chain(part, node, child)
        for node in _effective(part, treated, outcomes)
        for child in sorted(part.children[node] & part.district(node))
        if not _fixed_together(part, node, child, treated)
    ]
    trails = [_extended(part, path, outcomes) for path in tied]
    return min(trails, key=lambda it: (len(it), it), default=None)


def _effective(graph: MixedGraph, treated: Collection[str], outcomes: Collection[str]) -> list[str]:
    """Return the set nodes that outcomes depend on, and those to be fixed together with these."""
    read = {node for node, _ in _parts_read(graph, treated, outcomes)}
    together = {
        node: [it for it in graph.children[node] if _fixed_together(graph, node, it, treated)]
        for node in graph.nodes
    }
    found = reached(read.intersection(treated), together)
    return [node for node in graph.nodes if node in found]


def _parts_read(
    graph: MixedGraph, treated: Collection[str], outcomes: Collection[str]
) -> set[tuple[str, bool]]:
    """Return the nodes that outcomes depend on in the world, each with whether it is as set."""
    readers = natural_readers(graph, [node for node in graph.nodes if node in treated])
    found = set[tuple[str, bool]]()
    waiting = [(node, node in readers) for node in outcomes]
    while waiting:
        part = node, is_set = waiting.pop()
        if part not in found:
            found.add(part)
            waiting.extend(
                (parent, parent in readers and node not in readers[parent])
                for parent in (() if is_set else graph.markov.parents[node])
            )
    return found


def _fixed_together(graph: MixedGraph, node: str, child: str, treated: Collection[str]) -> bool:
    """Return whether a child of a node's district is set too, and was in it by its own place."""
    return child in treated and node in graph.early_districts[child]


def _chain(graph: MixedGraph, start: str, end: str) -> Trail:
    """Return a shortest path of unmeasured causes between two nodes of a district."""
    found: dict[str, Trail] = {start: (start,)}
    waiting = [start]
    for node in waiting:  # grows on the way
        for spouse in sorted(graph.spouses[node] - set(found)):
            found[spouse] = joined(found[node], graph.between(node, spouse))
            waiting.append(spouse)
    return found[end]


def _extended(graph: MixedGraph, path: Trail, outcomes: Collection[str]) -> Trail:
    """Return a path with a shortest way along arrows from its end to an outcome, if any."""
    routes: dict[str, Trail] = {path[-1]: path}
    waiting = [path[-1]]
    for node in waiting:  # grows on the way
        if node in outcomes:
            return routes[node]
        for child in sorted(graph.children[node] - set(routes)):
            routes[child] = (*routes[node], FORWARD, child)
            waiting.append(child)
    return path
