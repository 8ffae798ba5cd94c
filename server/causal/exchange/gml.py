"""Graphs in GML (Himsolt 1997), as networkx reads and writes them."""

from collections.abc import Hashable, Mapping

import networkx as nx

from server.causal.exchange.drawing import Drawing
from server.causal.exchange.latent import LATENT, OBSERVED, is_latent, is_marked_latent
from server.causal.exchange.node_names import check_directed, name_of
from server.causal.exchange.refusals import graph_refusal

_FAULTS = (nx.NetworkXException, ValueError, TypeError, KeyError, AttributeError, IndexError)


def read_gml(text: str) -> Drawing:
    """Return what a GML text draws; a node's name is its label, or its id if it has none.

    Raises:
        UsageError: it is not GML, or not directed.
    """
    try:
        graph = nx.parse_gml(text, label=None)
    except RecursionError as error:
        raise graph_refusal("GML", "lists in lists without end", "Draw it flat.") from error
    except _FAULTS as error:
        raise graph_refusal("GML", str(error), "graph [ directed 1 node [ ... ] ... ]") from error
    check_directed(graph)
    return drawing_of_networkx(graph)


def drawing_of_networkx(graph: "nx.Graph[Hashable]") -> Drawing:
    """Return the drawing of a directed graph of networkx, nodes named by their labels or ids."""
    names = {node: _name(node, attributes) for node, attributes in graph.nodes(data=True)}
    drawing = Drawing()
    for node, attributes in graph.nodes(data=True):
        if names[node] in drawing.latent:
            raise graph_refusal("each node once", names[node], "Give every node its own label.")
        drawing.add_node(names[node], latent=is_marked_latent(attributes))
    for cause, effect in graph.edges():
        drawing.add_arrow(names[cause], names[effect])
    return drawing


def _name(node: Hashable, attributes: Mapping[str, object]) -> str:
    return name_of(attributes.get("label", node))


def write_gml(graph: "nx.DiGraph[str]") -> str:
    """Return the GML text of a graph; latent nodes have `latent 1` and `observed "no"`."""
    plain: nx.DiGraph[str] = nx.DiGraph()
    for name in graph:
        plain.add_node(name, **({LATENT: 1, OBSERVED: "no"} if is_latent(graph, name) else {}))
    plain.add_edges_from(graph.edges)
    return "\n".join(nx.generate_gml(plain)) + "\n"
