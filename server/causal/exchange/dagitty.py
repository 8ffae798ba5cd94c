"""Graphs in dagitty's notation: read as the study reads it, written as dagitty writes it."""

import re

import networkx as nx

from protocol.errors import UsageError
from protocol.study.dagitty import parse_dagitty
from protocol.study.problems import StudyProblems
from server.causal.exchange.drawing import Drawing, drawing_of
from server.causal.exchange.refusals import graph_refusal

_BARE = re.compile(r"[A-Za-z0-9_.]+")


def read_dagitty(text: str) -> Drawing:
    """Return what `dag { ... }` draws.

    Raises:
        UsageError: it is not in the notation of `protocol/study/dagitty.py`.
    """
    try:
        drawn = parse_dagitty(text)
    except StudyProblems as error:
        (problem, *_) = error.problems
        raise UsageError(
            "graph-invalid",
            f"Expected {problem.expected}, found {problem.found}.",
            f"Write {problem.remedy}.",
        ) from error
    drawing = Drawing()
    for name in drawn.nodes:
        drawing.add_node(name, latent=name in drawn.latent)
    drawing.arrows.extend(drawn.edges)
    for one, other in drawn.pairs:
        drawing.add_common_cause(one, other)
    return drawing


def write_dagitty(graph: "nx.DiGraph[str]") -> str:
    """Return the text of a graph: every node, then every arrow.

    Raises:
        UsageError: a name holds a double quote, which names in quotes cannot.
    """
    drawing = drawing_of(graph)
    lines = [
        f"  {_quoted(name)}" + (" [latent]" if latent else "")
        for name, latent in drawing.latent.items()
    ]
    lines += [f"  {_quoted(cause)} -> {_quoted(effect)}" for cause, effect in drawing.arrows]
    lines += [f"  {_quoted(one)} <-> {_quoted(other)}" for one, other in drawing.confounded]
    return "\n".join(["dag {", *lines, "}"]) + "\n"


def _quoted(name: str) -> str:
    if _BARE.fullmatch(name):
        return name
    if '"' in name:
        raise graph_refusal("names without double quotes", name, "Write another format.")
    return f'"{name}"'
