"""A layered drawing of a directed acyclic graph: causes to the left of their effects.

The four steps of Sugiyama, Tagawa and Toda (1981): layers by longest path, edges over several
layers split at invisible bends, order within a layer by barycentres, and heights by isotonic
regression (Best and Chakravarti 1990) so that a node comes as near to the mean height of its
neighbours as its layer allows. Deterministic: ties keep topological order.
"""

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from protocol.study.graph import CausalGraph

_SWEEPS = 12
_NODE_GAP = 1.0  # between two nodes of one layer; the unit of height
_PASS_GAP = 0.66  # between a node and an edge that passes it
_BEND_GAP = 0.3  # between two passing edges
_BEND_WEIGHT = 4.0  # how much more a straight edge counts than a centred node

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Bend:
    """The place where an edge passes a layer between its two ends."""

    edge: Edge
    layer: int


Place = str | Bend


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands: layers count from the left, heights in node gaps from the top."""

    layers: tuple[tuple[Place, ...], ...]
    layer_of: Mapping[str, int]
    height_of: Mapping[Place, float]
    routes: Mapping[Edge, tuple[Place, ...]]  # from cause to effect, ends included

    @property
    def extent(self) -> float:
        """The largest height."""
        return max(self.height_of.values(), default=0.0)


def lay_out(graph: CausalGraph) -> Layout:
    """Return the layered drawing of `graph`."""
    layer_of = _layers_by_longest_path(graph)
    routes = {
        (parent, node): _route(parent, node, layer_of)
        for node in graph.nodes
        for parent in graph.parents[node]
    }
    layers = _uncross(_fill(graph.nodes, layer_of, routes), routes)
    heights = _heights(layers, routes)
    return Layout(layers, layer_of, heights, routes)


def crossings(layers: Sequence[Sequence[Place]], routes: Mapping[Edge, Sequence[Place]]) -> int:
    """Return how many pairs of edge pieces cross."""
    rank = {place: index for layer in layers for index, place in enumerate(layer)}
    between: dict[int, list[tuple[int, int]]] = {}
    depth = {place: index for index, layer in enumerate(layers) for place in layer}
    for left, right in _pieces(routes):
        between.setdefault(depth[left], []).append((rank[left], rank[right]))
    return sum(_inversions([right for _, right in sorted(ends)]) for ends in between.values())


def _layers_by_longest_path(graph: CausalGraph) -> dict[str, int]:
    layer: dict[str, int] = {}
    for node in graph.nodes:
        layer[node] = max((layer[parent] + 1 for parent in graph.parents[node]), default=0)
    for node in reversed(graph.nodes):
        effects = [child for child in graph.nodes if node in graph.parents[child]]
        if effects and not graph.parents[node]:  # a root stands just before what it causes
            layer[node] = min(layer[child] for child in effects) - 1
    return layer


def _route(cause: str, effect: str, layer_of: Mapping[str, int]) -> tuple[Place, ...]:
    passed = range(layer_of[cause] + 1, layer_of[effect])
    return (cause, *(Bend((cause, effect), layer) for layer in passed), effect)


def _fill(
    nodes: Iterable[str], layer_of: Mapping[str, int], routes: Mapping[Edge, Sequence[Place]]
) -> list[list[Place]]:
    layers: list[list[Place]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    for node in nodes:
        layers[layer_of[node]].append(node)
    for route in routes.values():
        for place in route:
            if isinstance(place, Bend):
                layers[place.layer].append(place)
    return layers


def _uncross(
    layers: list[list[Place]], routes: Mapping[Edge, Sequence[Place]]
) -> tuple[tuple[Place, ...], ...]:
    best = tuple(tuple(layer) for layer in layers)
    fewest = crossings(best, routes)
    before, after = _neighbours(routes)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for layer in layers if forward else reversed(layers):
            _sort_by_barycentre(layer, layers, before if forward else after)
        found = crossings(layers, routes)
        if found < fewest:
            best, fewest = tuple(tuple(layer) for layer in layers), found
    return best


def _sort_by_barycentre(
    layer: list[Place], layers: list[list[Place]], near: Mapping[Place, Sequence[Place]]
) -> None:
    rank = {place: (index + 0.5) / len(each) for each in layers for index, place in enumerate(each)}
    layer.sort(key=lambda place: _mean([rank[it] for it in near.get(place, ())], rank[place]))


def _heights(
    layers: Sequence[Sequence[Place]], routes: Mapping[Edge, Sequence[Place]]
) -> dict[Place, float]:
    height = {place: float(index) for layer in layers for index, place in enumerate(layer)}
    before, after = _neighbours(routes)
    for sweep in range(2 * _SWEEPS):
        near = before if sweep % 2 == 0 else after
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wished = [_mean([height[it] for it in near.get(p, ())], height[p]) for p in layer]
            height.update(zip(layer, _spread(layer, wished), strict=True))
    top = min(height.values(), default=0.0)
    return {place: value - top for place, value in height.items()}


def _spread(layer: Sequence[Place], wished: Sequence[float]) -> list[float]:
    """Return the heights nearest to `wished` (weighted least squares) that keep order and gaps."""
    shift = [0.0]
    for above, below in pairwise(layer):
        bends = isinstance(above, Bend) + isinstance(below, Bend)
        shift.append(shift[-1] + (_NODE_GAP, _PASS_GAP, _BEND_GAP)[bends])
    weights = [_BEND_WEIGHT if isinstance(place, Bend) else 1.0 for place in layer]
    level = isotonic([wish - gap for wish, gap in zip(wished, shift, strict=False)], weights)
    return [value + gap for value, gap in zip(level, shift, strict=False)]


def isotonic(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the non-decreasing sequence nearest to `values`: pool adjacent violators."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, members
    for value, weight in zip(values, weights, strict=True):
        mean, mass, members = value, weight, 1
        while pools and pools[-1][0] > mean:
            other, other_mass, other_members = pools.pop()
            mean = (mean * mass + other * other_mass) / (mass + other_mass)
            mass, members = mass + other_mass, members + other_members
        pools.append((mean, mass, members))
    return [mean for mean, _, members in pools for _ in range(members)]


def _neighbours(
    routes: Mapping[Edge, Sequence[Place]],
) -> tuple[dict[Place, list[Place]], dict[Place, list[Place]]]:
    before: dict[Place, list[Place]] = {}
    after: dict[Place, list[Place]] = {}
    for left, right in _pieces(routes):
        before.setdefault(right, []).append(left)
        after.setdefault(left, []).append(right)
    return before, after


def _pieces(routes: Mapping[Edge, Sequence[Place]]) -> Iterable[tuple[Place, Place]]:
    return (piece for route in routes.values() for piece in pairwise(route))


def _inversions(sequence: Sequence[int]) -> int:
    seen: list[int] = []
    found = 0
    for value in sequence:
        found += len(seen) - bisect_right(seen, value)
        insort(seen, value)
    return found


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
