"""Graphs in node-link JSON, as networkx and d3 write it.

An object with `directed`, `nodes` (each with its `id`) and `edges`, or `links` as it was called
before networkx 3.4 (each with `source` and `target`).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx

from server.causal.exchange.drawing import Drawing
from server.causal.exchange.latent import LATENT, OBSERVED, is_latent, is_marked_latent
from server.causal.exchange.networkx_graphs import name_of
from server.causal.exchange.refusals import graph_refusal

_EXAMPLE = '{"directed": true, "nodes": [{"id": "a"}, ...], "edges": [{"source": "a", ...}, ...]}'


def read_node_link(text: str) -> Drawing:
    """Return what a node-link text draws.

    Raises:
        UsageError: it is not JSON, not of this form, or not directed.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise graph_refusal("node-link JSON", str(error), f"Write {_EXAMPLE}.") from error
    if not isinstance(document, dict):
        raise graph_refusal("an object", type(document).__name__, f"Write {_EXAMPLE}.")
    if document.get("directed") is not True:
        raise graph_refusal("a directed graph", "none said so", 'Write "directed": true.')
    drawing = Drawing()
    for node in _objects(document, "nodes"):
        name = name_of(_field(node, "id", "nodes"))
        if name in drawing.latent:
            raise graph_refusal("each node once", name, "Give every node its own id.")
        drawing.add_node(name, latent=is_marked_latent(node))
    _add_edges(drawing, document)
    return drawing


def _add_edges(drawing: Drawing, document: Mapping[str, Any]) -> None:
    (place, *others) = [name for name in ("edges", "links") if name in document] or ["edges"]
    if others:
        raise graph_refusal("either edges or links", "both", "Keep one of them.")
    for edge in _objects(document, place):
        ends = [name_of(_field(edge, end, place)) for end in ("source", "target")]
        strangers = [end for end in ends if end not in drawing.latent]
        if strangers:
            raise graph_refusal(f"{place} between nodes", strangers[0], "Add it to the nodes.")
        drawing.add_arrow(*ends)


def _objects(document: Mapping[str, Any], place: str) -> Sequence[Mapping[str, Any]]:
    found = document.get(place)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise graph_refusal(f"{place}: a list of objects", type(found).__name__, _EXAMPLE)
    return found


def _field(entry: Mapping[str, Any], name: str, place: str) -> object:
    if name not in entry:
        raise graph_refusal(f"the field {name!r} in each of {place}", str(entry), _EXAMPLE)
    return entry[name]


def write_node_link(graph: "nx.DiGraph[str]") -> str:
    """Return the node-link text of a graph; latent nodes have `latent` and `observed`."""
    nodes = [
        {"id": name, **({LATENT: True, OBSERVED: "no"} if is_latent(graph, name) else {})}
        for name in graph
    ]
    edges = [{"source": cause, "target": effect} for cause, effect in graph.edges]
    document = {"directed": True, "multigraph": False, "graph": {}, "nodes": nodes, "edges": edges}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
