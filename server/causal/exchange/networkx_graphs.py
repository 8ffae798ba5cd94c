"""Graphs of networkx, whose nodes and attributes may be anything, as drawings."""

from collections.abc import Hashable, Mapping

import networkx as nx

from server.causal.exchange.drawing import Drawing
from server.causal.exchange.latent import is_marked_latent
from server.causal.exchange.refusals import graph_refusal


def drawing_of_networkx(
    graph: "nx.Graph[Hashable]", names: Mapping[Hashable, object] | None = None
) -> Drawing:
    """Return the drawing of a graph whose nodes are called as `names` say, or are names.

    Raises:
        UsageError: an undirected graph, two nodes of one name, or a name that is no text.
    """
    if not graph.is_directed():
        raise graph_refusal(
            "a directed graph", "an undirected one", "Draw arrows: nx.DiGraph, or directed 1."
        )
    called = {node: name_of(node if names is None else names[node]) for node in graph}
    drawing = Drawing()
    for node, attributes in graph.nodes(data=True):
        if called[node] in drawing.latent:
            raise graph_refusal("each node once", called[node], "Give every node its own name.")
        drawing.add_node(called[node], latent=is_marked_latent(attributes))
    for edge in graph.edges():
        drawing.add_arrow(called[edge[0]], called[edge[1]])
    return drawing


def name_of(node: object) -> str:
    """Return the name of a node: a text, or a whole number written out.

    Raises:
        UsageError: something else.
    """
    if isinstance(node, bool) or not isinstance(node, str | int):
        raise graph_refusal("texts as the names of nodes", node, "Rename the nodes.")
    return str(node)
