"""The causal graph of a study as its text draws it: arrows, causes that nobody measures, visits.

From `[graph]` to the graph of the measured variables: their arrows, and pairs that share an
unmeasured cause (`protocol/graphs/projection.py`).
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from protocol.graphs.mixed import MixedGraph, pair_of
from protocol.graphs.projection import latent_projection
from protocol.study.dagitty import Drawing, parse_dagitty, parse_link
from protocol.study.graph import Edge, build_graph
from protocol.study.problems import Path, Problem, StudyProblems, nearest, quote, refuse_any
from protocol.study.sections import GraphSource, Time
from protocol.study.time import edge_problems, parse_lagged_edge, unrolled
from protocol.study.variables import Variable

Variables = Mapping[str, Variable]
Read = TypeVar("Read")


def mixed_graph_of(variables: Variables, source: GraphSource, time: Time | None) -> MixedGraph:
    """Return the causal graph that `source` draws over all `variables`, at all visits.

    Raises:
        StudyProblems: the text or the graph is not well formed.
    """
    drawing = drawing_of(variables, source, time)
    if time is not None:
        return MixedGraph(unrolled(drawing.edges, variables, time), {})
    if not (drawing.pairs or drawing.latent):
        return MixedGraph(build_graph(variables, drawing.edges), {})
    whole = build_graph([*variables, *drawing.latent], drawing.edges)
    pairs = [pair_of(*pair) for pair in drawing.pairs]
    return latent_projection(whole, drawing.latent, pairs, _priority(variables))


def _priority(variables: Variables) -> list[str]:
    """Return the variables by name, times to events last: nothing is fitted to them."""
    return sorted(variables, key=lambda name: (variables[name].kind == "survival", name))


def drawing_of(variables: Variables, source: GraphSource, time: Time | None) -> Drawing:
    """Return what is drawn: between variables and unmeasured causes, or between columns of visits.

    Raises:
        StudyProblems: the text is not well formed, or names something unknown.
    """
    if time is not None:
        edges = _lagged_edges(source)
        refuse_any([*edge_problems(edges, variables, time), *_visit_problems(source)])
        return Drawing(edges, ())
    drawing = _plain(source)
    refuse_any([*_name_problems(variables, drawing), *_pair_problems(drawing)])
    return drawing


def texts_of(drawing: Drawing) -> list[str]:
    """Return arrows and pairs as texts, in one order whatever the notation."""
    arrows = [f"{cause} -> {effect}" for cause, effect in drawing.edges]
    pairs = [f"{one} <-> {other}" for one, other in (pair_of(*pair) for pair in drawing.pairs)]
    return [*sorted(arrows), *sorted(pairs)]


def _plain(source: GraphSource) -> Drawing:
    if source.dagitty is not None:
        drawn = parse_dagitty(source.dagitty)
    else:
        links = _each(source.edges or (), parse_link)
        edges = tuple(edge for link in links for edge in link.edges)
        names = dict.fromkeys(name for link in links for name in link.nodes)
        pairs = tuple(pair for link in links for pair in link.pairs)
        drawn = Drawing(edges, tuple(names), pairs)
    return drawn._replace(latent=tuple(sorted({*source.latent, *drawn.latent})))


def _name_problems(variables: Variables, drawing: Drawing) -> Iterator[Problem]:
    known: Collection[str] = {*variables, *drawing.latent}
    for name in drawing.nodes:
        if name not in known:
            yield Problem((), "declared variables", quote(name), nearest(name, sorted(variables)))
    for name in drawing.latent:
        if name in variables:
            yield Problem(
                ("latent",),
                "causes that nobody measures",
                f"the variable {name!r}",
                "it as a variable or as latent, not as both",
            )
        elif name not in drawing.nodes:
            yield Problem(
                ("latent",),
                "causes that the graph draws",
                f"none called {name!r}",
                f"an arrow out of {name!r}, or the list without it",
            )


def _pair_problems(drawing: Drawing) -> Iterator[Problem]:
    for pair, count in Counter(pair_of(*pair) for pair in drawing.pairs).items():
        shown = quote(" <-> ".join(pair))
        if pair[0] == pair[1]:
            yield Problem((), "two different variables", shown, "no such pair")
        if count > 1:
            yield Problem((), "each pair once", f"{shown} twice", "it once")


def _visit_problems(source: GraphSource) -> Iterator[Problem]:
    if source.latent:
        yield Problem(
            ("latent",),
            "no unmeasured causes where there is [time]",
            quote(source.latent[0]),
            "the graph of a study without visits, or without latent",
        )


def _lagged_edges(source: GraphSource) -> tuple[Edge, ...]:
    if source.edges is None:
        raise StudyProblems(
            [Problem((), "edges, where there is [time]", "dagitty", "edges = ['a[t-1] -> b[t]']")]
        )
    return tuple(_each(source.edges, parse_lagged_edge))


def _each(texts: Sequence[str], parse: Callable[[str], Read]) -> list[Read]:
    found, problems = [], list[Problem]()
    for position, text in enumerate(texts):
        try:
            found.append(parse(text))
        except StudyProblems as refusal:
            problems += [_at((position,), problem) for problem in refusal.problems]
    refuse_any(problems)
    return found


def _at(where: Path, problem: Problem) -> Problem:
    return Problem((*where, *problem.where), problem.expected, problem.found, problem.remedy)
