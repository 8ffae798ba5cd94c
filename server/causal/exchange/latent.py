"""Nodes that nobody measures, and how formats mark them.

A latent node of a graph has the attribute `latent` = True. `a <-> b` is a latent node of that
name, with an arrow to each of the two: this is what it means, and no tool misreads it.
"""

from collections.abc import Mapping

import networkx as nx

from protocol.study.graph import Edge

LATENT, OBSERVED = "latent", "observed"
BETWEEN = " <-> "

_YES = {"1", "true", "yes", "none"}  # none: an attribute without a value
_NO = {"0", "false", "no"}


def is_latent(graph: "nx.DiGraph[str]", name: str) -> bool:
    """Return whether a node of a graph is latent."""
    return bool(graph.nodes[name].get(LATENT, False))


def latent_nodes(graph: "nx.DiGraph[str]") -> tuple[str, ...]:
    """Return the latent nodes, in the order of the graph."""
    return tuple(name for name in graph if is_latent(graph, name))


def confounded_pair(graph: "nx.DiGraph[str]", name: str) -> Edge | None:
    """Return the two effects of a latent node that stands for `a <-> b`, None of another."""
    if not is_latent(graph, name) or graph.in_degree(name) or graph.out_degree(name) != 2:
        return None
    one, other = sorted(graph.successors(name))
    return (one, other) if name == one + BETWEEN + other else None


def is_marked_latent(attributes: Mapping[str, object]) -> bool:
    """Return whether attributes of a node say that it is latent, in any tool's words.

    `latent` is dagitty's; DoWhy says `observed = "no"`. What we write says both.
    """
    marked = LATENT in attributes and _word(attributes[LATENT]) in _YES
    return marked or _word(attributes.get(OBSERVED, "yes")) in _NO


def _word(value: object) -> str:
    return str(value).strip('"').lower()
