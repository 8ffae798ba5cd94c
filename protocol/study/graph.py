"""The causal graph: a directed acyclic graph over the study's variables.

Edges are read by `protocol/study/dagitty.py`; what the arrows mean is the study's assumption.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import networkx as nx

from protocol.study.problems import Problem, nearest, quote, refuse_any

Clique: TypeAlias = tuple[str, ...]  # variables in the order of `CausalGraph.nodes`
Edge: TypeAlias = tuple[str, str]  # (cause, effect)


@dataclass(frozen=True, slots=True)
class CausalGraph:
    """Nodes in topological order, each with its parents in that same order.

    Nodes that the edges do not order are ordered by name, so that the order is a function of
    what the study says, not of where its tables stand in the file.
    """

    nodes: tuple[str, ...]
    parents: Mapping[str, tuple[str, ...]]

    def family(self, node: str) -> Clique:
        """Return the parents of `node`, then `node`."""
        return (*self.parents[node], node)

    def families(self) -> tuple[Clique, ...]:
        """Return the family of every node, in the order of `nodes`."""
        return tuple(self.family(node) for node in self.nodes)

    def children(self, node: str) -> frozenset[str]:
        """Return the direct effects of `node`."""
        return frozenset(child for child in self.nodes if node in self.parents[child])

    def ancestors(self, node: str) -> frozenset[str]:
        """Return all direct and indirect causes of `node`, without `node`."""
        found: set[str] = set()
        waiting = list(self.parents[node])
        while waiting:
            cause = waiting.pop()
            if cause not in found:
                found.add(cause)
                waiting.extend(self.parents[cause])
        return frozenset(found)

    def descendants(self, node: str) -> frozenset[str]:
        """Return all direct and indirect effects of `node`, without `node`."""
        found: set[str] = set()
        for other in self.nodes:  # topological order: parents are decided before children
            if any(parent == node or parent in found for parent in self.parents[other]):
                found.add(other)
        return frozenset(found)

    def edges(self) -> tuple[Edge, ...]:
        """Return (cause, effect) pairs, sorted."""
        return tuple(sorted((cause, node) for node in self.nodes for cause in self.parents[node]))

    def to_networkx(self) -> "nx.DiGraph[str]":
        """Return the graph as networkx, nodes in topological order."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from(self.edges())
        return graph


def build_graph(
    variables: Iterable[str], edges: Sequence[Edge], priority: Sequence[str] | None = None
) -> CausalGraph:
    """Return the graph of `edges` over all `variables`; one without an edge is a root.

    Nodes that edges do not order stand in the order of `priority`, by default of their names.

    Raises:
        StudyProblems: an edge names an undeclared variable, joins a variable to itself, or is
            there twice, or the edges run in a circle. A UsageError by way of `parse_study`.
    """
    names = tuple(sorted(variables)) if priority is None else tuple(priority)
    refuse_any(_edge_problems(names, edges))
    causes: dict[str, set[str]] = {name: set() for name in names}
    for cause, effect in edges:
        causes[effect].add(cause)
    order = _topological_order(causes)
    if len(order) < len(names):
        refuse_any([_cycle_problem({name: causes[name] - set(order) for name in causes})])
    rank = {name: position for position, name in enumerate(order)}
    parents = {name: tuple(sorted(causes[name], key=rank.__getitem__)) for name in order}
    return CausalGraph(tuple(order), MappingProxyType(parents))


def _edge_problems(names: tuple[str, ...], edges: Sequence[Edge]) -> list[Problem]:
    problems: list[Problem] = []
    known, seen = set(names), set[Edge]()
    for edge in edges:
        arrow = f"{edge[0]} -> {edge[1]}"
        problems.extend(
            Problem((), f"declared variables in {arrow!r}", quote(name), nearest(name, names))
            for name in edge
            if name not in known
        )
        if edge[0] == edge[1]:
            problems.append(Problem((), "two different variables", quote(arrow), "no such edge"))
        if edge in seen:
            problems.append(Problem((), "each edge once", f"{arrow!r} twice", "it once"))
        seen.add(edge)
    return problems


def _topological_order(causes: Mapping[str, set[str]]) -> list[str]:
    """Return the nodes in order, the first of `causes` first; short if there is a cycle."""
    names = list(causes)
    rank = {name: position for position, name in enumerate(names)}
    effects: dict[str, list[str]] = {name: [] for name in causes}
    for name, direct in causes.items():
        for cause in direct:
            effects[cause].append(name)
    missing = {name: len(direct) for name, direct in causes.items()}
    ready = [rank[name] for name, count in missing.items() if count == 0]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        order.append(names[heapq.heappop(ready)])
        for effect in effects[order[-1]]:
            missing[effect] -= 1
            if missing[effect] == 0:
                heapq.heappush(ready, rank[effect])
    return order


def _cycle_problem(causes: Mapping[str, set[str]]) -> Problem:
    """Name one cycle; every node left in `causes` with a cause has a cause that is left."""
    node = min(name for name, direct in causes.items() if direct)
    path = [node]
    while (node := min(causes[node])) not in path:
        path.append(node)
    cycle = path[path.index(node) :][::-1]
    start = cycle.index(min(cycle))
    cycle = cycle[start:] + cycle[:start]
    shown = " -> ".join([*cycle, cycle[0]])
    return Problem((), "a graph without cycles", shown, "the edges without one of these arrows")
