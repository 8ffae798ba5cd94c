"""What must hold between the parts of a study: graph, mechanisms and questions against variables.

All problems are collected before any is reported, so that one look mends the file.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from protocol.errors import UsageError
from protocol.study.dagitty import Drawing, parse_dagitty, parse_edge
from protocol.study.graph import CausalGraph, Edge, build_graph
from protocol.study.mechanisms import FITTING, Mechanism
from protocol.study.problems import (
    Path,
    Problem,
    StudyProblems,
    either,
    nearest,
    quote,
    refuse_any,
)
from protocol.study.sections import GraphSource, Level, Question, Time
from protocol.study.structure import structure_problems
from protocol.study.time import (
    base_name,
    edge_problems,
    parse_lagged_edge,
    time_problems,
    unrolled,
)
from protocol.study.variables import Variable

Variables = Mapping[str, Variable]


def graph_of(variables: Variables, source: GraphSource, time: Time | None) -> CausalGraph:
    """Return the causal graph that `source` draws over all `variables`, at all visits.

    Raises:
        StudyProblems: the text or the graph is not well formed.
    """
    edges = declared_edges(variables, source, time)
    return build_graph(variables, edges) if time is None else unrolled(edges, variables, time)


def declared_edges(
    variables: Variables, source: GraphSource, time: Time | None
) -> tuple[Edge, ...]:
    """Return the arrows as they are drawn: between variables, or between columns of visits.

    Raises:
        StudyProblems: the text is not well formed, or names something unknown.
    """
    if time is None:
        drawing = _drawing(source)
        refuse_any(
            Problem((), "declared variables", quote(name), nearest(name, sorted(variables)))
            for name in drawing.nodes
            if name not in variables
        )
        return drawing.edges
    edges = _lagged_edges(source)
    refuse_any(edge_problems(edges, variables, time))
    return edges


def problems_of(
    variables: Variables,
    source: GraphSource,
    time: Time | None,
    mechanisms: Mapping[str, Mechanism],
    questions: Sequence[Question],
) -> list[Problem]:
    """Return everything that does not fit together."""
    problems = [*_mechanism_problems(variables, mechanisms), *_repeated_names(questions)]
    if time is not None:
        problems += [_at(("time",), problem) for problem in time_problems(time, variables)]
    graph = None
    try:
        graph = graph_of(variables, source, time)
    except StudyProblems as refusal:
        place = "edges" if source.edges is not None else "dagitty"
        problems += [_at(("graph", place), problem) for problem in refusal.problems]
    if graph is not None and not problems:
        problems += structure_problems(graph, variables, mechanisms)
    for position, question in enumerate(questions):
        found = [*_endpoint_problems(variables, graph, question)]
        if not found:
            found += _contrast_problems(variables[base_name(question.treatment)], question)
            found += _order_problems(graph, question)
        problems += [_at(("questions", position), problem) for problem in found]
    return problems


def _lagged_edges(source: GraphSource) -> tuple[Edge, ...]:
    if source.edges is None:
        raise StudyProblems(
            [Problem((), "edges, where there is [time]", "dagitty", "edges = ['a[t-1] -> b[t]']")]
        )
    return tuple(_each(source.edges, parse_lagged_edge))


def _each(texts: Sequence[str], parse: Callable[[str], Edge]) -> list[Edge]:
    edges, problems = [], list[Problem]()
    for position, text in enumerate(texts):
        try:
            edges.append(parse(text))
        except StudyProblems as refusal:
            problems += [_at((position,), problem) for problem in refusal.problems]
    refuse_any(problems)
    return edges


def _drawing(source: GraphSource) -> Drawing:
    if source.dagitty is not None:
        return parse_dagitty(source.dagitty)
    return Drawing(tuple(_each(source.edges or (), parse_edge)), ())


def _at(where: Path, problem: Problem) -> Problem:
    return Problem((*where, *problem.where), problem.expected, problem.found, problem.remedy)


def _mechanism_problems(
    variables: Variables, mechanisms: Mapping[str, Mechanism]
) -> Iterator[Problem]:
    for node, mechanism in mechanisms.items():
        where = ("mechanisms", node)
        if node not in variables:
            yield Problem(where, "a declared variable", quote(node), nearest(node, variables))
            continue
        kind = variables[node].kind
        fitting = FITTING[kind]
        if mechanism.kind not in fitting:
            expected = f"{either(fitting)} for a {kind} variable"
            yield Problem(where, expected, quote(mechanism.kind), quote(fitting[0]))


def _repeated_names(questions: Sequence[Question]) -> Iterator[Problem]:
    for name, count in Counter(question.name for question in questions).items():
        if count > 1:
            yield Problem(("questions",), "a name per question", f"{name!r} twice", f"'{name}-2'")


def _endpoint_problems(
    variables: Variables, graph: CausalGraph | None, question: Question
) -> Iterator[Problem]:
    nodes = variables if graph is None else graph.nodes
    for role, known in (("treatment", {*nodes, *variables}), ("outcome", nodes)):
        name = getattr(question, role)
        if name not in known and (graph is not None or base_name(name) not in variables):
            yield Problem((role,), "a declared variable", quote(name), nearest(name, sorted(known)))
    outcome = variables.get(base_name(question.outcome))
    if outcome is not None and outcome.kind == "categorical":
        yield Problem(
            ("outcome",),
            "an outcome with a mean (boolean, ordinal or numeric)",
            f"the categorical {question.outcome!r}",
            'kind = "ordinal" if its levels have an order, or another outcome',
        )
    if outcome is not None and (question.measure != "mean") != (outcome.kind == "survival"):
        yield Problem(
            ("measure",),
            "risk, restricted-mean or hazard-ratio of a survival outcome, mean of another",
            f"{quote(question.measure)} of a {outcome.kind}",
            "measure = 'risk'" if outcome.kind == "survival" else "measure = 'mean'",
        )
    if question.treatment == question.outcome:
        yield Problem(("outcome",), "another variable than the treatment", "the same", "another")


def _contrast_problems(treatment: Variable, question: Question) -> Iterator[Problem]:
    codes = []
    for role in ("treated", "reference"):
        level: Level = getattr(question, role)
        try:
            codes.append(treatment.code_of(level))
        except UsageError:
            known = nearest(str(level), treatment.labels)
            yield Problem((role,), f"a value of {question.treatment!r}", quote(level), known)
            continue
        if codes[-1] == treatment.missing_code:
            yield Problem((role,), "a value to set", "'MISSING'", "a level that can be set")
    if len(codes) == 2 and codes[0] == codes[1]:
        found = f"{quote(question.reference)} as treated and as reference"
        yield Problem(("reference",), "two different levels", found, "another level")


def _order_problems(graph: CausalGraph | None, question: Question) -> Iterator[Problem]:
    if graph is None:
        return
    later = graph.descendants(question.outcome)
    if all(node in later for node in graph.nodes if _is_set_by(question, node)):
        yield Problem(
            ("treatment",),
            "a treatment that the outcome does not cause",
            f"a path from {question.outcome!r} to {question.treatment!r} in the graph",
            "treatment and outcome exchanged, or the graph without that path",
        )


def _is_set_by(question: Question, node: str) -> bool:
    return question.treatment in (node, base_name(node))
