"""Small graphs with unmeasured causes, and random discrete models of them, computed exactly.

Measured nodes are binary, and every pair has an unmeasured cause of its own, with three levels.
Distributions are arrays with one axis per node, in the graph's order.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType

import numpy as np
import opt_einsum
from numpy.typing import NDArray

from protocol.graphs.fixing import natural_readers
from protocol.graphs.mixed import MixedGraph, Pair
from protocol.study.graph import CausalGraph, Edge

Array = NDArray[np.float64]
Factor = tuple[Array, list[str]]

LEVELS, UNMEASURED = 2, 3
NAMES = ("a", "b", "c", "d")
LINKS = tuple(combinations(NAMES, 2))


def mixed(nodes: str, arrows: Collection[Edge], pairs: Collection[Pair] = ()) -> MixedGraph:
    """Return the graph of nodes, named by letters in topological order."""
    parents = {node: tuple(it for it in nodes if (it, node) in arrows) for node in nodes}
    trails = {pair: (pair[0], "<->", pair[1]) for pair in sorted(map(_sorted, pairs))}
    return MixedGraph(CausalGraph(tuple(nodes), MappingProxyType(parents)), trails)


def _sorted(pair: Pair) -> Pair:
    return (min(pair), max(pair))


def drawn(text: str, order: str) -> MixedGraph:
    """Return the graph of a text such as "ab, bc, a-c": arrows, and pairs with a dash."""
    parts = text.replace(",", " ").split()
    arrows = [(part[0], part[1]) for part in parts if len(part) == 2]
    return mixed(order, arrows, [(part[0], part[2]) for part in parts if len(part) == 3])


def all_graphs(step: int = 1, start: int = 0) -> Iterator[MixedGraph]:
    """Yield every `step`-th graph of four nodes in the order of their names; 4096 in all."""
    for code in range(start, 1 << 2 * len(LINKS), step):
        chosen = [link for at, link in enumerate(LINKS) if code >> at & 1]
        joined = [link for at, link in enumerate(LINKS) if code >> len(LINKS) + at & 1]
        yield mixed("abcd", chosen, joined)


@dataclass(frozen=True)
class Truth:
    """A model of a graph in which unmeasured causes have tables as well."""

    graph: MixedGraph
    tables: Mapping[str, Factor]  # P(node | parents and unmeasured causes), axes named, node last
    unmeasured: tuple[Factor, ...]

    def joint(self, do: Mapping[str, int] = MappingProxyType({})) -> Array:
        """Return P(nodes), or P(nodes | do(some)), which is 0 where these are not as set."""
        factors = [
            _certain(node, do[node]) if node in do else self.tables[node]
            for node in self.graph.nodes
        ]
        return _product([*self.unmeasured, *factors], self.graph.nodes)


def random_truth(graph: MixedGraph, generator: np.random.Generator) -> Truth:
    """Return a model with random tables."""
    tables = {}
    for node in graph.nodes:
        causes = ["-".join(pair) for pair in graph.pairs if node in pair]
        parents = graph.arrows.parents[node]
        shape = [LEVELS] * len(parents) + [UNMEASURED] * len(causes)
        tables[node] = (generator.dirichlet([1.0] * LEVELS, shape), [*parents, *causes, node])
    unmeasured = [
        (generator.dirichlet([2.0] * UNMEASURED), ["-".join(pair)]) for pair in graph.pairs
    ]
    return Truth(graph, tables, tuple(unmeasured))


def mechanisms_of(joint: Array, graph: CausalGraph) -> Mapping[str, Factor]:
    """Return P(node | parents) of a distribution for every node of a graph."""
    found = {}
    for node in graph.nodes:
        family = list(graph.family(node))
        table = _product([(joint, list(graph.nodes))], family)
        found[node] = (table / np.maximum(table.sum(axis=-1, keepdims=True), 1e-300), family)
    return found


def world(
    graph: MixedGraph, mechanisms: Mapping[str, Factor], do: Mapping[str, int], nodes: list[str]
) -> Array:
    """Return P(nodes) where some are set, as `protocol/graphs/fixing.py` says to compute it."""
    readers = natural_readers(graph, do)
    factors: list[Factor] = [_certain(node, code) for node, code in do.items()]
    for node in graph.nodes:
        if node in do and not readers[node]:
            continue
        array, axes = mechanisms[node]
        reads = [it + "'" if it in do and (node in readers[it]) else it for it in axes[:-1]]
        factors.append((array, [*reads, node + "'" if node in do else node]))
    return _product(factors, nodes)


def _certain(node: str, code: int) -> Factor:
    array = np.zeros(LEVELS)
    array[code] = 1.0
    return array, [node]


def _product(factors: Collection[Factor], nodes: Collection[str]) -> Array:
    operands: list[object] = []
    for array, axes in factors:
        operands += [array, axes]
    found: Array = opt_einsum.contract(*operands, list(nodes))
    return found
