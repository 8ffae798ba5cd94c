"""A world: the mechanisms of a model, some nodes of which are set, as parts in topological order.

A part is a node of the study's graph as it is in this world. Where a node is set and something
still depends on what it would have been (a policy that reads it, or nodes that share a latent cause
with it: SPEC 11.12), there are two parts of it: the one that is set, and its natural value. So
these are the graphs of Richardson and Robins (2013, single-world intervention graphs), and other
questions split nodes further: mediation, for one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import networkx as nx

from protocol.study.study import Study
from protocol.study.time import base_name
from server.causal.mechanisms.mechanism import Placement
from server.causal.sampling.nodes import WorldNode
from server.causal.worlds.compilation import compile_world
from server.causal.worlds.part import Part
from server.causal.worlds.settings import reads_of


@dataclass(frozen=True, eq=False)
class World:
    """Parts in topological order, each with its parents before it."""

    study: Study
    placements: Mapping[str, Placement]
    draws: int
    parts: tuple[Part, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Part]:
        """Return the parts by their names."""
        return {part.name: part for part in self.parts}

    @cached_property
    def place(self) -> Mapping[str, int]:
        """Return the position of each part."""
        return {part.name: at for at, part in enumerate(self.parts)}

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the node that each part is of."""
        return tuple(part.node for part in self.parts)

    @cached_property
    def treated(self) -> tuple[str, ...]:
        """Return the nodes that are set, in their order."""
        return tuple(
            part.node for part in self.parts if part.setting is not None and part.name == part.node
        )

    @property
    def graph(self) -> "nx.DiGraph[str]":
        """Return the causal graph: into nodes that are set, arrows from what sets them."""
        graph = self.study.causal_graph.to_networkx()
        for part in self.parts:
            if part.setting is not None and part.name == part.node:
                reads = set(reads_of(part.setting))
                if part.node not in reads:  # nothing is left of what it would have been
                    graph.remove_edges_from([*graph.in_edges(part.node)])
                graph.add_edges_from((read, part.node) for read in reads - {part.node})
        return graph

    def up_to(self, names: Collection[str]) -> "World":
        """Return the parts that some depend on, and these."""
        needed, waiting = set[str](), list(names)
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed.add(name)
                waiting.extend(self.by_name[name].parents)
        return replace(self, parts=tuple(part for part in self.parts if part.name in needed))

    def placement_of(self, node: str) -> Placement | None:
        """Return where the values of a node lie in their bins."""
        return self.placements.get(base_name(node))

    def compiled(self, draw: int | None) -> tuple[WorldNode, ...]:
        """Return the parts ready to be drawn, by the point estimate or by a parameter draw."""
        return compile_world(self.study, self.parts, self.placements, draw)

    def shared_with(self, other: "World") -> dict[int, int]:
        """Return the places of parts that are the same in another world, with their places there.

        Of the same mechanism, noise and setting, over parts that are the same themselves.
        """
        found: dict[int, int] = {}
        same: set[str] = set()
        for at, part in enumerate(self.parts):
            twin = other.by_name.get(part.name)
            if twin is not None and part.is_like(twin) and same.issuperset(part.parents):
                same.add(part.name)
                found[at] = other.place[part.name]
        return found
