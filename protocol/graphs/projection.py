"""Graphs of measured nodes alone: the latent projection.

Verma and Pearl (1990), Richardson (2003): a -> b where latent nodes alone stand on a directed path
from a to b, and a <-> b where a latent node, or a pair, has directed paths to both through latent
nodes alone. The projection has the same independences among measured nodes, and the same effects.
Latent nodes may have causes, measured or not.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import combinations, product

from protocol.graphs.mixed import MixedGraph, Pair, pair_of
from protocol.graphs.trails import BOTH, FORWARD, Trail, joined, turned
from protocol.study.graph import CausalGraph, build_graph

Routes = Mapping[str, Trail]  # to measured nodes, from one node through latent nodes alone


def latent_projection(
    whole: CausalGraph,
    latent: Collection[str],
    pairs: Collection[Pair],
    priority: Collection[str] | None = None,
) -> MixedGraph:
    """Return the graph of the measured nodes of `whole`, of which `latent` are not measured.

    `pairs` are nodes, measured or not, with one more cause in common that has no name. Nodes that
    arrows do not order stand in the order of `priority`, by default of their names.
    """
    measured = [node for node in whole.nodes if node not in latent]
    effects = _effects(whole)
    routes = {node: _routes(node, effects, latent) for node in whole.nodes}
    arrows = sorted(
        (node, end) for node in measured for end, trail in routes[node].items() if len(trail) > 1
    )
    order = sorted(measured) if priority is None else priority
    return MixedGraph(
        build_graph(measured, arrows, list(order)), _shortest(_treks(routes, latent, pairs))
    )


def _effects(whole: CausalGraph) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {node: [] for node in whole.nodes}
    for cause, effect in whole.edges():
        found[cause].append(effect)
    return found


def _routes(start: str, effects: Mapping[str, list[str]], latent: Collection[str]) -> Routes:
    """Return a shortest directed path to each measured node, by way of latent nodes alone.

    A measured node has the path that it is itself, too.
    """
    found: dict[str, Trail] = {start: (start,)}
    waiting = [start]
    for node in waiting:  # grows on the way: breadth first
        for effect in effects[node]:
            if effect not in found:
                found[effect] = (*found[node], FORWARD, effect)
                waiting.extend([effect] if effect in latent else [])
    return {node: trail for node, trail in found.items() if node not in latent}


def _treks(
    routes: Mapping[str, Routes], latent: Collection[str], pairs: Collection[Pair]
) -> Iterator[Trail]:
    """Yield paths between measured nodes: away from a latent node, or from a pair, to both ends."""
    for source in sorted(latent):
        for one, other in combinations(sorted(routes[source]), 2):
            yield joined(turned(routes[source][one]), routes[source][other])
    for left, right in sorted(pairs):
        mine, others = (routes[end] if end in latent else {end: (end,)} for end in (left, right))
        for one, other in product(sorted(mine), sorted(others)):
            if one != other:
                yield joined(turned(mine[one]), (left, BOTH, right), others[other])


def _shortest(treks: Iterator[Trail]) -> Mapping[Pair, Trail]:
    """Return the shortest path of each pair, the first of its size by name."""
    found: dict[Pair, Trail] = {}
    for trek in treks:
        pair = pair_of(trek[0], trek[-1])
        trail = trek if trek[0] == pair[0] else turned(trek)
        best = found.get(pair, trail)
        found[pair] = min(best, trail, key=lambda it: (len(it), it))
    return dict(sorted(found.items()))
