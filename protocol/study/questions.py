"""Questions against the study: endpoints that exist, levels that can be set, an order in time."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from protocol.errors import UsageError
from protocol.graphs.identification import identify, prevented_by
from protocol.graphs.mixed import MixedGraph
from protocol.study.graph import CausalGraph
from protocol.study.problems import Problem, nearest, quote
from protocol.study.quantities import decimal_text
from protocol.study.sections import Level, Question
from protocol.study.time import base_name
from protocol.study.variables import Count, Numeric, Variable

Variables = Mapping[str, Variable]


def treated_nodes(graph: CausalGraph, treatment: str) -> tuple[str, ...]:
    """Return the nodes that a question sets: of a variable without index, every visit."""
    if treatment in graph.nodes:
        return (treatment,)
    return tuple(node for node in graph.nodes if base_name(node) == treatment)


def repeated_names(questions: Sequence[Question]) -> Iterator[Problem]:
    """Yield names that more than one question has."""
    for name, count in Counter(question.name for question in questions).items():
        if count > 1:
            yield Problem(("questions",), "a name per question", f"{name!r} twice", f"'{name}-2'")


def question_problems(
    variables: Variables, mixed: MixedGraph | None, question: Question
) -> list[Problem]:
    """Return what is wrong with one question; without a graph, as far as can be told."""
    graph = None if mixed is None else mixed.arrows
    problems = [*_endpoint_problems(variables, graph, question)]
    if not problems:
        problems += _kind_problems(variables, question)
        problems += _contrast_problems(variables[base_name(question.treatment)], question)
        problems += _order_problems(graph, question)
    if not problems and mixed is not None:
        problems += _identification_problems(mixed, question)
    return problems


def _endpoint_problems(
    variables: Variables, graph: CausalGraph | None, question: Question
) -> Iterator[Problem]:
    nodes = tuple(variables) if graph is None else graph.nodes
    for role, known in (("treatment", {*nodes, *variables}), ("outcome", {*nodes})):
        name = getattr(question, role)
        if name in known or (graph is None and base_name(name) in variables):
            continue
        visits = [node for node in nodes if base_name(node) == name]
        remedy = quote(visits[-1]) if visits else nearest(name, sorted(known))
        yield Problem((role,), "a declared variable", quote(name), remedy)
    if question.treatment == question.outcome:
        yield Problem(("outcome",), "another variable than the treatment", "the same", "another")


def _kind_problems(variables: Variables, question: Question) -> Iterator[Problem]:
    outcome = variables[base_name(question.outcome)]
    if outcome.kind == "categorical":
        yield Problem(
            ("outcome",),
            "an outcome with a mean (boolean, ordinal or numeric)",
            f"the categorical {question.outcome!r}",
            'kind = "ordinal" if its levels have an order, or another outcome',
        )
    if (question.measure != "mean") != (outcome.kind == "survival"):
        yield Problem(
            ("measure",),
            "risk, restricted-mean or hazard-ratio of a survival outcome, mean of another",
            f"{quote(question.measure)} of a {outcome.kind}",
            "measure = 'risk'" if outcome.kind == "survival" else "measure = 'mean'",
        )
    if variables[base_name(question.treatment)].kind == "survival":
        expected = "a treatment that somebody could set"
        yield Problem(("treatment",), expected, "a time to an event", "another variable")


def level_text(treatment: Variable, level: Level) -> str:
    """Return the one text of a level that is set: its label, or the number of a numeric variable.

    Raises:
        UsageError: it is outside the domain.
    """
    label = treatment.labels[treatment.code_of(level)]
    if isinstance(treatment, Numeric | Count) and level not in treatment.labels:
        return decimal_text(Decimal(level))
    return label


def _contrast_problems(treatment: Variable, question: Question) -> Iterator[Problem]:
    levels = []
    for role in ("treated", "reference"):
        level = getattr(question, role)
        try:
            levels.append(level_text(treatment, level))
        except UsageError:
            known = nearest(str(level), treatment.labels)
            yield Problem((role,), f"a value of {question.treatment!r}", quote(level), known)
            continue
        if treatment.code_of(level) == treatment.missing_code:
            yield Problem((role,), "a value to set", "'MISSING'", "a level that can be set")
    if len(levels) == 2 and levels[0] == levels[1]:
        found = f"{quote(question.reference)} as treated and as reference"
        yield Problem(("reference",), "two different levels", found, "another level")


def _order_problems(graph: CausalGraph | None, question: Question) -> Iterator[Problem]:
    """Yield a treatment that cannot come before the outcome.

    Of a treatment at every visit, those after the outcome change nothing; one has to come before.
    """
    if graph is None:
        return
    treated = treated_nodes(graph, question.treatment)
    if question.outcome in treated:
        found = f"{question.outcome!r}, which the treatment at every visit sets"
        yield Problem(("outcome",), "another variable than the treatment", found, "another")
    elif set(treated) <= graph.descendants(question.outcome):
        yield Problem(
            ("treatment",),
            "a treatment that the outcome does not cause",
            f"a path from {question.outcome!r} to {question.treatment!r} in the graph",
            "treatment and outcome exchanged, or the graph without that path",
        )


def _identification_problems(graph: MixedGraph, question: Question) -> Iterator[Problem]:
    """Yield an effect that no fitted model has, since unmeasured causes are in the way."""
    if not graph.pairs:
        return
    found = identify(graph, treated_nodes(graph.arrows, question.treatment), question.outcome)
    if found.identified:
        return
    remedy = {
        "": "the cause on that path as a measured variable, or another question",
        "order": "the graph without it, or its collider as a cause of neither",
        "formula": "another question: a formula for this one exists, but no mechanism has it",
    }
    yield Problem(
        ("outcome",),
        f"an effect on {question.outcome!r} that the graph identifies",
        prevented_by(found.path),
        remedy[found.otherwise],
    )
