"""What must hold between the parts of a study: graph, mechanisms and questions against variables.

All problems are collected before any is reported, so that one look mends the file.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from protocol.errors import UsageError
from protocol.study.dagitty import Drawing, parse_dagitty, parse_edge
from protocol.study.graph import CausalGraph, build_graph
from protocol.study.problems import Path, Problem, StudyProblems, nearest, quote
from protocol.study.sections import GraphSource, Level, Question
from protocol.study.variables import Variable

Variables = Mapping[str, Variable]


def graph_of(variables: Variables, source: GraphSource) -> CausalGraph:
    """Return the causal graph that `source` draws over all `variables`.

    Raises:
        StudyProblems: the text or the graph is not well formed.
    """
    drawing = _drawing(source)
    unknown = [name for name in drawing.nodes if name not in variables]
    if unknown:
        raise StudyProblems(
            Problem((), "declared variables", quote(name), nearest(name, sorted(variables)))
            for name in unknown
        )
    return build_graph(variables, drawing.edges)


def problems_of(
    variables: Variables,
    source: GraphSource,
    mechanisms: Mapping[str, str],
    questions: Sequence[Question],
) -> list[Problem]:
    """Return everything that does not fit together."""
    problems = [*_mechanism_problems(variables, mechanisms), *_repeated_names(questions)]
    graph = None
    try:
        graph = graph_of(variables, source)
    except StudyProblems as refusal:
        place = "edges" if source.edges is not None else "dagitty"
        problems += [_at(("graph", place), problem) for problem in refusal.problems]
    for position, question in enumerate(questions):
        found = [*_endpoint_problems(variables, question)]
        if not found:
            found += _contrast_problems(variables[question.treatment], question)
            found += _order_problems(graph, question)
        problems += [_at(("questions", position), problem) for problem in found]
    return problems


def _drawing(source: GraphSource) -> Drawing:
    if source.dagitty is not None:
        return parse_dagitty(source.dagitty)
    edges, problems = [], list[Problem]()
    for position, text in enumerate(source.edges or ()):
        try:
            edges.append(parse_edge(text))
        except StudyProblems as refusal:
            problems += [_at((position,), problem) for problem in refusal.problems]
    if problems:
        raise StudyProblems(problems)
    return Drawing(tuple(edges), ())


def _at(where: Path, problem: Problem) -> Problem:
    return Problem((*where, *problem.where), problem.expected, problem.found, problem.remedy)


def _mechanism_problems(variables: Variables, mechanisms: Mapping[str, str]) -> Iterator[Problem]:
    for node, mechanism in mechanisms.items():
        where = ("mechanisms", node)
        if node not in variables:
            yield Problem(where, "a declared variable", quote(node), nearest(node, variables))
            continue
        kind = variables[node].kind
        fitting = "binned" if kind == "numeric" else "categorical"
        if mechanism != fitting:
            yield Problem(where, f"{fitting!r} for a {kind} variable", quote(mechanism), fitting)


def _repeated_names(questions: Sequence[Question]) -> Iterator[Problem]:
    for name, count in Counter(question.name for question in questions).items():
        if count > 1:
            yield Problem(("questions",), "a name per question", f"{name!r} twice", f"'{name}-2'")


def _endpoint_problems(variables: Variables, question: Question) -> Iterator[Problem]:
    for role in ("treatment", "outcome"):
        name = getattr(question, role)
        if name not in variables:
            yield Problem((role,), "a declared variable", quote(name), nearest(name, variables))
    outcome = variables.get(question.outcome)
    if outcome is not None and outcome.kind == "categorical":
        yield Problem(
            ("outcome",),
            "an outcome with a mean (boolean, ordinal or numeric)",
            f"the categorical {question.outcome!r}",
            'kind = "ordinal" if its levels have an order, or another outcome',
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
    if graph is not None and question.treatment in graph.descendants(question.outcome):
        yield Problem(
            ("treatment",),
            "a treatment that the outcome does not cause",
            f"a path from {question.outcome!r} to {question.treatment!r} in the graph",
            "treatment and outcome exchanged, or the graph without that path",
        )
