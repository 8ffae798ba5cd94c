"""Graphs in GML (Himsolt 1997), as networkx reads and writes them."""

import networkx as nx

from server.causal.exchange.drawing import Drawing
from server.causal.exchange.latent import LATENT, OBSERVED, is_latent
from server.causal.exchange.networkx_graphs import drawing_of_networkx
from server.causal.exchange.refusals import graph_refusal

_EXAMPLE = 'graph [ directed 1 node [ id 0 label "a" ] ... edge [ source 0 target 1 ] ... ]'
_FAULTS = (nx.NetworkXException, ValueError, TypeError, KeyError, AttributeError, IndexError)


def read_gml(text: str) -> Drawing:
    """Return what a GML text draws; a node's name is its label, or its id if it has none.

    Raises:
        UsageError: it is not GML, or not directed.
    """
    try:
        graph = nx.parse_gml(text, label="id")
    except RecursionError as error:
        raise graph_refusal("GML", "lists without end inside lists", f"Write {_EXAMPLE}") from error
    except _FAULTS as error:
        raise graph_refusal("GML", str(error), f"Write {_EXAMPLE}") from error
    return drawing_of_networkx(
        graph, {node: graph.nodes[node].get("label", node) for node in graph}
    )


def write_gml(graph: "nx.DiGraph[str]") -> str:
    """Return the GML text of a graph; latent nodes have `latent 1` and `observed "no"`."""
    plain: nx.DiGraph[str] = nx.DiGraph()
    for name in graph:
        plain.add_node(name, **({LATENT: 1, OBSERVED: "no"} if is_latent(graph, name) else {}))
    plain.add_edges_from(graph.edges)
    return "\n".join(nx.generate_gml(plain)) + "\n"
