"""Graphs in DOT, the language of Graphviz: read by pydot (extra `formats`), written here.

Nodes, chains of `->`, subgraphs (for their nodes only) and the edge attribute `dir` are read: back
turns an arrow, both is `a <-> b`. In DOT only the double quote is escaped in names, so that a
backslash cannot be told from what it escapes: such names are refused.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import networkx as nx

from server.causal.exchange.drawing import Drawing
from server.causal.exchange.latent import LATENT, OBSERVED, is_latent, is_marked_latent
from server.causal.exchange.refusals import INSTALL_PYDOT, graph_refusal, needed

MAX_DOT_CHARACTERS = 1_000_000

_DEFAULTS = ("graph", "node", "edge")  # statements about all that follow, not nodes
_QUOTED = re.compile(r'"((?:\\.|[^"\\])*)"')
_UNDIRECTED = re.compile(
    r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/|^\s*#[^\n]*|(--)', re.DOTALL | re.MULTILINE
)
_EXAMPLE = 'Write digraph { "a" -> "b" }.'


def read_dot(text: str) -> Drawing:
    """Return what a DOT text draws.

    Raises:
        UsageError: it is not one directed graph in DOT, or pydot is not installed.
    """
    if len(text) > MAX_DOT_CHARACTERS:
        raise graph_refusal(
            f"DOT of at most {MAX_DOT_CHARACTERS:,} characters", f"{len(text):,}", "Write GML."
        )
    graph = _parsed(text)
    if graph.get_type() != "digraph" or any(found[1] for found in _UNDIRECTED.finditer(text)):
        raise graph_refusal("arrows", "undirected edges", _EXAMPLE)
    defaults = {one.get_name(): one.get_attributes() for one in graph.get_nodes()}
    drawing = Drawing()
    _add(drawing, graph.obj_dict, defaults.get("edge", {}))
    if graph.get_strict():
        drawing.arrows = list(dict.fromkeys(drawing.arrows))
        drawing.confounded = list(dict.fromkeys(drawing.confounded))
    return drawing


def _parsed(text: str) -> Any:  # noqa: ANN401 - pydot's own graph
    parser = needed("pydot.dot_parser", "to read DOT", INSTALL_PYDOT)
    try:
        graphs = parser.GraphParser.parser.parse_string(text, parse_all=True)
    except RecursionError as error:
        raise graph_refusal("DOT", "braces without end inside braces", _EXAMPLE) from error
    except parser.ParseException as error:
        raise graph_refusal("DOT", f"line {error.lineno}: {error.line}", _EXAMPLE) from error
    if len(graphs) != 1:
        raise graph_refusal("one graph", f"{len(graphs)} of them", "Write one file for each.")
    return graphs[0]


def _add(drawing: Drawing, content: Mapping[str, Any], arrows: Mapping[str, Any]) -> list[str]:
    """Add what a graph or subgraph holds, and return its nodes.

    `arrows` are the attributes that arrows have by default.
    """
    names: dict[str, None] = {}
    for node in _entries(content, "nodes"):
        if node["name"] not in _DEFAULTS:
            name = _name(node["name"])
            drawing.add_node(name, latent=is_marked_latent(node["attributes"]))
            names[name] = None
    for edge in _entries(content, "edges"):
        causes, effects = (_end(drawing, point, arrows) for point in edge["points"])
        names.update(dict.fromkeys([*causes, *effects]))
        direction = _direction({**arrows, **edge["attributes"]})
        for cause, effect in product(causes, effects):
            _draw(drawing, direction, cause, effect)
    for subgraph in _entries(content, "subgraphs"):
        names.update(dict.fromkeys(_add(drawing, subgraph, arrows)))
    return list(names)


def _entries(content: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    for entries in content[kind].values():
        yield from entries


def _end(drawing: Drawing, point: Any, arrows: Mapping[str, Any]) -> list[str]:  # noqa: ANN401
    """Return the nodes at one end of an arrow: one, or all of a subgraph."""
    if isinstance(point, str):
        return [_name(point)]
    if point["edges"]:
        raise graph_refusal("nodes alone in a group", "arrows in it too", "Draw them outside.")
    return _add(drawing, point, arrows)


def _direction(attributes: Mapping[str, Any]) -> str:
    return str(attributes.get("dir") or "forward").strip('"').lower()


def _draw(drawing: Drawing, direction: str, cause: str, effect: str) -> None:
    match direction:
        case "forward":
            drawing.add_arrow(cause, effect)
        case "back":
            drawing.add_arrow(effect, cause)
        case "both":
            drawing.add_common_cause(cause, effect)
        case _:
            raise graph_refusal(
                "dir = forward, back or both", f"dir = {direction}", "Say which is the cause."
            )


def _name(text: str) -> str:
    """Return the name in a DOT identifier, without its quotes and its port."""
    quoted = _QUOTED.match(text)
    if quoted is None and text.startswith("<"):
        raise graph_refusal("names of plain text", text, "Write it in double quotes.")
    name = text.partition(":")[0] if quoted is None else quoted[1].replace('\\"', '"')
    _check_backslash(name)
    return name


def _check_backslash(name: str) -> None:
    if "\\" in name:
        raise graph_refusal("names without backslashes", name, "Write another format.")


def write_dot(graph: "nx.DiGraph[str]") -> str:
    """Return the DOT text of a graph; latent nodes have `latent` and `observed`, and are dashed.

    Raises:
        UsageError: a name holds a backslash.
    """
    marks = f' [{LATENT}=true, {OBSERVED}="no", style=dashed]'
    lines = [f"  {_quoted(name)}{marks if is_latent(graph, name) else ''};" for name in graph]
    lines += [f"  {_quoted(cause)} -> {_quoted(effect)};" for cause, effect in graph.edges]
    return "\n".join(["digraph {", *lines, "}"]) + "\n"


def _quoted(name: str) -> str:
    _check_backslash(name)
    return '"' + name.replace('"', '\\"') + '"'
