"""A graph as some text draws it, and the checks that make a directed acyclic graph of it.

The graph is a networkx.DiGraph whose nodes are texts, in the order in which they are drawn. Of
attributes only `latent` is kept (`latent.py`), and of a network of tables `levels`.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import networkx as nx

from protocol.study.dagitty import MAX_EDGES
from protocol.study.graph import Edge
from server.causal.exchange.latent import BETWEEN, LATENT, confounded_pair, is_latent
from server.causal.exchange.refusals import graph_refusal

MAX_NODES = 10_000
MAX_NAME_CHARACTERS = 500
LEVELS = "levels"

_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, surrogates, ends of lines


@dataclass(slots=True)
class Drawing:
    """What a text draws, in order: whether each node is latent, `a -> b`, and `a <-> b`."""

    latent: dict[str, bool] = field(default_factory=dict)
    arrows: list[Edge] = field(default_factory=list)
    confounded: list[Edge] = field(default_factory=list)

    def add_node(self, name: str, *, latent: bool = False) -> None:
        """Add a node, or what is known of one that is there."""
        self.latent[name] = self.latent.get(name, False) or latent

    def add_arrow(self, cause: str, effect: str) -> None:
        """Add `cause -> effect`."""
        self.add_node(cause)
        self.add_node(effect)
        self.arrows.append((cause, effect))

    def add_common_cause(self, one: str, other: str) -> None:
        """Add `one <-> other`."""
        self.add_node(one)
        self.add_node(other)
        self.confounded.append((min(one, other), max(one, other)))


def graph_of(drawing: Drawing) -> "nx.DiGraph[str]":
    """Return the directed acyclic graph that is drawn.

    Raises:
        UsageError: no node, too many of them or of arrows, an unusable name, an arrow from a node
            to itself or drawn twice, or a circle.
    """
    _check_size(drawing)
    for name in drawing.latent:
        check_name(name)
    _check_once(drawing.arrows, "->")
    _check_once(drawing.confounded, "<->")
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, latent in drawing.latent.items():
        graph.add_node(name, **({LATENT: True} if latent else {}))
    graph.add_edges_from(drawing.arrows)
    for pair in drawing.confounded:
        _add_common_cause(graph, pair)
    _check_acyclic(graph)
    return graph


def drawing_of(graph: "nx.DiGraph[str]") -> Drawing:
    """Return the drawing of a graph, with `a <-> b` where a latent node of that name stands."""
    pairs = {name: pair for name in graph if (pair := confounded_pair(graph, name)) is not None}
    drawing = Drawing(confounded=[*pairs.values()])
    for name in graph:
        if name not in pairs:
            drawing.add_node(name, latent=is_latent(graph, name))
    drawing.arrows.extend(edge for edge in graph.edges if edge[0] not in pairs)
    return drawing


def check_name(name: str) -> None:
    """Check that a text can be the name of a node.

    Raises:
        UsageError: it is empty, too long, or holds control characters or spaces at its ends.
    """
    if not name or name != name.strip() or len(name) > MAX_NAME_CHARACTERS:
        raise graph_refusal(
            f"names of 1 to {MAX_NAME_CHARACTERS} characters without spaces at their ends",
            name,
            "Name the node otherwise.",
        )
    if any(unicodedata.category(character) in _UNPRINTABLE for character in name):
        raise graph_refusal("names of printable characters", name, "Name the node otherwise.")


def _check_size(drawing: Drawing) -> None:
    if not drawing.latent:
        raise graph_refusal("a graph with a node", "none", "Draw an arrow, or name a node.")
    for most, found, what in (
        (MAX_NODES, len(drawing.latent), "nodes"),
        (MAX_EDGES, len(drawing.arrows) + len(drawing.confounded), "arrows"),
    ):
        if found > most:
            raise graph_refusal(f"at most {most:,} {what}", f"{found:,}", "Draw a smaller graph.")


def _check_once(edges: Sequence[Edge], arrow: str) -> None:
    for (one, other), count in Counter(edges).items():
        shown = f"{one} {arrow} {other}"
        if one == other:
            raise graph_refusal(
                "arrows between two different nodes", shown, "Leave it out; draw feedback in time."
            )
        if count > 1:
            raise graph_refusal("each arrow once", f"{shown}, {count} times", "Draw it once.")


def _add_common_cause(graph: "nx.DiGraph[str]", pair: Edge) -> None:
    name = pair[0] + BETWEEN + pair[1]
    if name in graph:
        raise graph_refusal("another name for a node", name, "Draw the arrow or the node.")
    check_name(name)
    graph.add_node(name, **{LATENT: True})
    graph.add_edges_from((name, effect) for effect in pair)


def _check_acyclic(graph: "nx.DiGraph[str]") -> None:
    if nx.is_directed_acyclic_graph(graph):
        return
    circle = [cause for cause, _ in nx.find_cycle(graph)]
    start = circle.index(min(circle))
    circle = circle[start:] + circle[:start]
    raise graph_refusal(
        "a graph without cycles",
        " -> ".join([*circle, circle[0]]),
        "Leave one of these arrows out; draw feedback in time.",
    )
