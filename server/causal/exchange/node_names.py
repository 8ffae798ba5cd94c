"""Graphs of networkx, whose nodes may be anything, as graphs of names."""

from collections.abc import Hashable

import networkx as nx

from server.causal.exchange.refusals import graph_refusal


def name_of(node: object) -> str:
    """Return the name of a node: a text, or a whole number written out.

    Raises:
        UsageError: something else.
    """
    if isinstance(node, bool) or not isinstance(node, str | int):
        raise graph_refusal("texts as the names of nodes", node, "Rename the nodes.")
    return str(node)


def check_directed(graph: "nx.Graph[Hashable]") -> None:
    """Check that a graph of networkx is directed.

    Raises:
        UsageError: it is not.
    """
    if not graph.is_directed():
        raise graph_refusal(
            "a directed graph", "an undirected one", "Draw arrows: nx.DiGraph, or directed 1."
        )
