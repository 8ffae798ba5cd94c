"""m-separation: which nodes can tell of which, once some are known.

Richardson (2003). A path is open given Z if every collider on it is in Z or causes a node of Z,
and nothing else on it is in Z. Walks that may pass a node twice are open to the same nodes, by the
same rule, and a shortest one is a path; so a breadth-first search over (node, kind of its end)
is enough.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from protocol.graphs.mixed import MixedGraph
from protocol.graphs.trails import BACKWARD, FORWARD, Trail, joined

NOTHING: frozenset[str] = frozenset()


class _State(NamedTuple):
    """A node that a walk has come to, and whether by an arrowhead."""

    node: str
    head: bool


class _Step(NamedTuple):
    """A way out of a node: its trail, whether it has an arrowhead here, and one at its end."""

    trail: Trail
    leaves_by_head: bool
    ends_in_head: bool


def separated(
    graph: MixedGraph,
    ones: Collection[str],
    others: Collection[str],
    given: Collection[str] = NOTHING,
) -> bool:
    """Return whether no path between nodes of two sets is open given a third, apart from both."""
    return all(connected(graph, one, given).isdisjoint(others) for one in ones)


def connected(graph: MixedGraph, start: str, given: Collection[str] = NOTHING) -> frozenset[str]:
    """Return the nodes outside `given` to which a path from a node is open."""
    return frozenset(it.node for it in _walked(graph, start, given)) - {start, *given}


def open_trail(
    graph: MixedGraph, start: str, end: str, given: Collection[str] = NOTHING
) -> Trail | None:
    """Return a shortest open path between two nodes, None if there is none.

    It shows the unmeasured causes that it passes, where they have names.
    """
    walked = _walked(graph, start, given)
    found = next((state for state in walked if state.node == end), None)
    if found is None:
        return None
    pieces: list[Trail] = []
    while (arrived := walked[found]) is not None:
        before, step = arrived
        pieces.append(step.trail)
        found = before
    return joined((start,), *reversed(pieces))


def _walked(
    graph: MixedGraph, start: str, given: Collection[str]
) -> Mapping[_State, tuple[_State, _Step] | None]:
    """Return what open walks reach, nearest first, each with the state and the step before it."""
    known, telling = frozenset(given), graph.causes_of(given)
    found: dict[_State, tuple[_State, _Step] | None] = {_State(start, head=False): None}
    waiting = list(found)
    for state in waiting:  # grows on the way
        for step in _steps(graph, state.node):
            collider = state.head and step.leaves_by_head
            passes = state.node in telling if collider else state.node not in known
            after = _State(step.trail[-1], step.ends_in_head)
            if (passes or state.node == start) and after not in found and after.node != start:
                found[after] = (state, step)
                waiting.append(after)
    return found


def _steps(graph: MixedGraph, node: str) -> Iterator[_Step]:
    for child in sorted(graph.children[node]):
        yield _Step((node, FORWARD, child), leaves_by_head=False, ends_in_head=True)
    for parent in graph.arrows.parents[node]:
        yield _Step((node, BACKWARD, parent), leaves_by_head=True, ends_in_head=False)
    for spouse in sorted(graph.spouses[node]):
        yield _Step(graph.between(node, spouse), leaves_by_head=True, ends_in_head=True)
