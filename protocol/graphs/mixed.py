"""Acyclic directed mixed graphs: arrows, and pairs of nodes that share an unmeasured cause.

Richardson (2003): `a <-> b` says that something which nobody measures causes both. A node's
district (Richardson; c-component in Tian and Pearl 2002) are the nodes that it is joined to by
such pairs alone, and itself. Words for relatives are those of `CausalGraph`: along arrows.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TypeAlias

from protocol.graphs.trails import Trail, turned
from protocol.study.graph import CausalGraph

Pair: TypeAlias = tuple[str, str]  # of nodes, in the order of their names


def pair_of(one: str, other: str) -> Pair:
    """Return two nodes as a pair."""
    return (one, other) if one < other else (other, one)


@dataclass(frozen=True)
class MixedGraph:
    """Arrows among measured nodes, and pairs with the path of unmeasured causes between them."""

    arrows: CausalGraph
    pairs: Mapping[Pair, Trail]  # from the first to the second node of the pair

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the nodes in topological order."""
        return self.arrows.nodes

    @cached_property
    def rank(self) -> Mapping[str, int]:
        """Return the place of every node in the order."""
        return {node: place for place, node in enumerate(self.nodes)}

    @cached_property
    def children(self) -> Mapping[str, frozenset[str]]:
        """Return the direct effects of every node."""
        found: dict[str, set[str]] = {node: set() for node in self.nodes}
        for node in self.nodes:
            for parent in self.arrows.parents[node]:
                found[parent].add(node)
        return {node: frozenset(effects) for node, effects in found.items()}

    @cached_property
    def spouses(self) -> Mapping[str, frozenset[str]]:
        """Return the nodes with which every node shares an unmeasured cause."""
        found: dict[str, set[str]] = {node: set() for node in self.nodes}
        for one, other in self.pairs:
            found[one].add(other)
            found[other].add(one)
        return {node: frozenset(others) for node, others in found.items()}

    def between(self, one: str, other: str) -> Trail:
        """Return the path of unmeasured causes from a node to a spouse of it."""
        trail = self.pairs[pair_of(one, other)]
        return trail if trail[0] == one else turned(trail)

    def district(self, node: str) -> frozenset[str]:
        """Return the district of a node."""
        return reached([node], self.spouses)

    def districts(self) -> tuple[frozenset[str], ...]:
        """Return the districts, which hold every node once, in the order of their first nodes."""
        return tuple(dict.fromkeys(self.district(node) for node in self.nodes))

    @cached_property
    def early_districts(self) -> Mapping[str, frozenset[str]]:
        """Return the district of every node among it and the nodes before it in the order."""
        found: dict[str, frozenset[str]] = {}
        now: dict[str, frozenset[str]] = {}  # districts among the nodes seen so far
        for node in self.nodes:
            met = (now[other] for other in self.spouses[node] if other in now)
            found[node] = frozenset({node}).union(*met)
            now |= dict.fromkeys(found[node], found[node])
        return found

    def markov_pillow(self, node: str) -> frozenset[str]:
        """Return the nodes before a node that it depends on, once all before it are known."""
        district = self.early_districts[node]
        return district.union(*(self.arrows.parents[member] for member in district)) - {node}

    @cached_property
    def markov(self) -> CausalGraph:
        """Return the directed graph in which the parents of a node are its Markov pillow."""
        if not self.pairs:
            return self.arrows
        parents = {
            node: tuple(sorted(self.markov_pillow(node), key=self.rank.__getitem__))
            for node in self.nodes
        }
        return CausalGraph(self.nodes, MappingProxyType(parents))

    def causes_of(self, nodes: Iterable[str]) -> frozenset[str]:
        """Return nodes and all their ancestors."""
        return reached(nodes, self.arrows.parents)

    def effects_of(self, nodes: Iterable[str]) -> frozenset[str]:
        """Return nodes and all their descendants."""
        return reached(nodes, self.children)

    def within(self, names: Collection[str]) -> "MixedGraph":
        """Return the graph of some nodes alone: what joins two of them."""
        kept = frozenset(names)
        nodes = tuple(node for node in self.nodes if node in kept)
        parents = {
            node: tuple(parent for parent in self.arrows.parents[node] if parent in kept)
            for node in nodes
        }
        return MixedGraph(
            CausalGraph(nodes, MappingProxyType(parents)),
            {pair: trail for pair, trail in self.pairs.items() if kept.issuperset(pair)},
        )

    def without_arrows(self, out_of: Collection[str], into: Collection[str]) -> "MixedGraph":
        """Return the graph without the arrows out of some nodes that go into some others."""
        parents = {
            node: tuple(it for it in causes if it not in out_of) if node in into else causes
            for node, causes in self.arrows.parents.items()
        }
        return MixedGraph(CausalGraph(self.nodes, MappingProxyType(parents)), self.pairs)


def reached(start: Iterable[str], steps: Mapping[str, Collection[str]]) -> frozenset[str]:
    """Return all that steps from some nodes lead to, these nodes included."""
    found = set(start)
    waiting = list(found)
    while waiting:
        new = set(steps[waiting.pop()]) - found
        found |= new
        waiting.extend(new)
    return frozenset(found)
