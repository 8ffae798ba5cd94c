"""Causal graphs from and for other tools: `read_graph` and `write_graph`.

Formats: dagitty, DOT, GML, node-link JSON, and BIF for networks of tables. A graph is a
networkx.DiGraph of names; which attributes it has say `drawing.py` and `latent.py`.
"""

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path

import networkx as nx

from protocol.study.study import Study
from server.causal.exchange.bif_reader import read_bif
from server.causal.exchange.bif_writer import bif_text
from server.causal.exchange.dagitty import read_dagitty, write_dagitty
from server.causal.exchange.dot import read_dot, write_dot
from server.causal.exchange.drawing import LEVELS, Drawing, drawing_of, graph_of
from server.causal.exchange.gml import read_gml, write_gml
from server.causal.exchange.network import even_network
from server.causal.exchange.networkx_graphs import drawing_of_networkx
from server.causal.exchange.node_link import read_node_link, write_node_link
from server.causal.exchange.refusals import graph_refusal
from server.causal.exchange.sources import Format, format_of, read_source, write_file
from server.causal.exchange.world_tables import network_of_world
from server.causal.model import Model

_READERS: Mapping[Format, Callable[[str], Drawing]] = {
    "dagitty": read_dagitty,
    "dot": read_dot,
    "gml": read_gml,
    "json": read_node_link,
}
_WRITERS: Mapping[Format, Callable[["nx.DiGraph[str]"], str]] = {
    "dagitty": write_dagitty,
    "dot": write_dot,
    "gml": write_gml,
    "json": write_node_link,
}


def read_graph(
    source: "str | Path | nx.Graph[Hashable]",
    format: str | None = None,  # noqa: A002 - its name
) -> "nx.DiGraph[str]":
    """Return the causal graph in a file, a text, or a graph of networkx.

    A text is known by a brace, a bracket or the end of a line in it, and needs the format; of a
    file it is that of its ending, unless it is given. The nodes are names; latent ones have the
    attribute `latent`, and those of BIF have `levels`.

    Raises:
        UsageError: an unknown format, no such file, or no directed acyclic graph in that format.
    """
    if isinstance(source, nx.Graph):
        return _checked(source)
    known = format_of(source, format)
    text = read_source(source)
    return read_bif(text).graph if known == "bif" else graph_of(_READERS[known](text))


def _checked(graph: "nx.Graph[Hashable]") -> "nx.DiGraph[str]":
    found = graph_of(drawing_of_networkx(graph))
    levels = {str(node): own for node, own in graph.nodes(data=LEVELS) if own is not None}
    nx.set_node_attributes(found, levels, LEVELS)
    return found


def write_graph(
    graph: "nx.Graph[Hashable] | Study | Model",
    path: str | Path | None = None,
    format: str | None = None,  # noqa: A002 - as of read_graph
) -> str:
    """Return the text of a graph, and write it to a file if a path is given.

    Of a model it is the graph of the world that it is a view of. BIF needs levels: of a model it
    has the tables, of anything else even ones in their place.

    Raises:
        UsageError: an unknown format, a graph that `read_graph` would refuse, a name that the
            format cannot hold, or no levels for BIF.
        StorageError: the disk did not take it.
    """
    known = format_of("" if path is None else path, format)
    text = _bif(graph) if known == "bif" else _WRITERS[known](_plain(graph))
    if path is not None:
        write_file(path, text)
    return text


def _plain(graph: "nx.Graph[Hashable] | Study | Model") -> "nx.DiGraph[str]":
    match graph:
        case Study():
            return _with_pairs(graph.causal_graph.to_networkx(), graph)
        case Model():
            return _with_pairs(graph.graph, graph.study)
    return _checked(graph)


def _with_pairs(graph: "nx.DiGraph[str]", study: Study) -> "nx.DiGraph[str]":
    """Return a graph with the unmeasured causes that a study draws between its variables."""
    drawing = drawing_of(graph)
    for one, other in study.mixed_graph.pairs:
        drawing.add_common_cause(one, other)
    return graph_of(drawing)


def _bif(graph: "nx.Graph[Hashable] | Study | Model") -> str:
    if isinstance(graph, Model):
        return bif_text(network_of_world(graph.world, "BIF"), graph.study.name)
    plain = _plain(graph)
    name = "unknown"
    if isinstance(graph, Study):
        name = graph.name
        nx.set_node_attributes(plain, {node: graph.model_labels(node) for node in plain}, LEVELS)
    without = [node for node in plain if LEVELS not in plain.nodes[node]]
    if without:
        raise graph_refusal(
            "the levels of every node", f"none of {without[0]}", "Write a study or a model."
        )
    return bif_text(even_network(plain), name)
