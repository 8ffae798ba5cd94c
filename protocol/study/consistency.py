"""What must hold between the parts of a study: graph, mechanisms and questions against variables.

All problems are collected before any is reported, so that one look mends the file.
"""

from collections.abc import Iterator, Mapping, Sequence

from protocol.study.drawing import Variables, mixed_graph_of
from protocol.study.graph import CausalGraph
from protocol.study.impossible import impossible_problems
from protocol.study.mechanisms import FITTING, Mechanism, default_mechanism
from protocol.study.missingness import hidden_variables, missingness_problems
from protocol.study.problems import Path, Problem, StudyProblems, either, nearest, quote
from protocol.study.questions import question_problems, repeated_names
from protocol.study.rules import rule_problems
from protocol.study.sections import GraphSource, Question, Time, Unit
from protocol.study.structure import (
    Structure,
    number_problems,
    survival_problems,
    unmeasured_problems,
)
from protocol.study.time import time_problems


def structure_of(
    variables: Variables,
    graph: CausalGraph,
    time: Time | None,
    declared: Mapping[str, Mechanism],
) -> Structure:
    """Return variables, arrows and mechanisms together, with the mechanisms that go undeclared."""
    resolved = {
        name: declared.get(name) or default_mechanism(variable.kind)
        for name, variable in variables.items()
    }
    return Structure(variables, resolved, graph, time)


def problems_of(
    variables: Variables,
    source: GraphSource,
    time: Time | None,
    mechanisms: Mapping[str, Mechanism],
    questions: Sequence[Question],
    unit: Unit,
) -> list[Problem]:
    """Return everything that does not fit together."""
    problems = [*_mechanism_problems(variables, mechanisms), *repeated_names(questions)]
    if time is not None:
        problems += [_at(("time",), problem) for problem in time_problems(time, variables)]
        problems += _row_problems(unit)
    problems += _specific_problems(variables, source)
    mixed = None
    try:
        mixed = mixed_graph_of(variables, source, time)
    except StudyProblems as refusal:
        place = "edges" if source.edges is not None else "dagitty"
        problems += [
            _at(("graph",) if problem.where == ("latent",) else ("graph", place), problem)
            for problem in refusal.problems
        ]
    if mixed is not None and not problems:
        problems += unmeasured_problems(variables, mixed, mechanisms)
    if mixed is not None and not problems:
        problems += _structure_problems(structure_of(variables, mixed.markov, time, mechanisms))
    for position, question in enumerate(questions):
        found = question_problems(variables, mixed, question)
        problems += [_at(("questions", position), problem) for problem in found]
    return problems


def _structure_problems(structure: Structure) -> list[Problem]:
    """Return what does not fit between arrows, kinds of variables and mechanisms."""
    problems = [
        *survival_problems(structure),
        *rule_problems(structure),
        *missingness_problems(structure),
    ]
    if not problems:  # what is hidden is known only then
        hidden = hidden_variables(structure)
        problems += number_problems(structure, hidden)
        problems += impossible_problems(structure, hidden)
    return list(dict.fromkeys(problems))


def _at(where: Path, problem: Problem) -> Problem:
    return Problem((*where, *problem.where), problem.expected, problem.found, problem.remedy)


def _specific_problems(variables: Variables, source: GraphSource) -> Iterator[Problem]:
    for name in source.site_specific:
        if name not in variables:
            known = nearest(name, sorted(variables))
            yield Problem(("graph", "site_specific"), "declared variables", quote(name), known)


def _row_problems(unit: Unit) -> Iterator[Problem]:
    if unit.max_rows_per_unit != 1:
        yield Problem(
            ("unit", "max_rows_per_unit"),
            "1 where there is [time], which bounds rows to one per visit",
            str(unit.max_rows_per_unit),
            "max_rows_per_unit = 1",
        )


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
