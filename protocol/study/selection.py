"""Selections: studies that ask which of several graphs fits best, and for nothing else."""

from collections.abc import Mapping, Sequence

from pydantic import Field

from protocol.study.dagitty import MAX_EDGES
from protocol.study.drawing import Variables, mixed_graph_of
from protocol.study.graph import CausalGraph, Clique
from protocol.study.problems import Problem, StudyProblems, quote
from protocol.study.quantities import Slug
from protocol.study.sections import GraphSource, Section, Time, Trust

MAX_CANDIDATES = 64
KINDS = ("boolean", "categorical", "ordinal", "numeric", "count")


class Candidate(Section):
    """One graph over the study's variables, by its arrows."""

    name: Slug
    edges: tuple[str, ...] = Field(max_length=MAX_EDGES)


class Selection(Section):
    """The graphs to choose from; where two are equally good, the first."""

    candidates: tuple[Candidate, ...] = Field(min_length=2, max_length=MAX_CANDIDATES)


def candidate_graph(variables: Variables, candidate: Candidate) -> CausalGraph:
    """Return the graph of a candidate.

    Raises:
        StudyProblems: it is not an acyclic graph over the variables, without `<->`.
    """
    mixed = mixed_graph_of(variables, GraphSource(edges=candidate.edges), None)
    if mixed.arrows != mixed.markov:
        raise StudyProblems([Problem((), "arrows alone", "a pair joined by <->", '"a -> b"')])
    return mixed.arrows


def differing_families(graphs: Mapping[str, CausalGraph]) -> dict[str, tuple[Clique, ...]]:
    """Return, by candidate, its families with parents that not all candidates have."""
    families = {
        name: {clique for clique in _sorted_families(graph) if len(clique) > 1}
        for name, graph in graphs.items()
    }
    common = set.intersection(*families.values())
    return {name: tuple(sorted(found - common)) for name, found in families.items()}


def selection_problems(
    variables: Variables,
    selection: Selection,
    trust: Trust,
    time: Time | None,
    others: Sequence[str],
) -> list[Problem]:
    """Return what does not fit; `others` names sections that a selection has no use for."""
    problems = [
        Problem((name,), "nothing beside [selection]", "some", "a study of its own")
        for name in others
    ]
    if time is not None:
        problems.append(Problem(("time",), "no [time] beside [selection]", "one", "it removed"))
    if trust.aggregation != "aggregators":
        problems.append(
            Problem(
                ("trust", "aggregation"),
                "'aggregators', who alone can choose",
                quote(trust.aggregation),
                'aggregation = "aggregators"',
            )
        )
    problems += [
        Problem(
            ("variables", name, "kind"),
            f"one of {', '.join(KINDS)} beside [selection]",
            variable.kind,
            "another variable",
        )
        for name, variable in variables.items()
        if variable.kind not in KINDS
    ]
    return problems or _candidate_problems(variables, selection)


def _candidate_problems(variables: Variables, selection: Selection) -> list[Problem]:
    problems, graphs = [], {}
    for place, candidate in enumerate(selection.candidates):
        where = ("selection", "candidates", place)
        if candidate.name in graphs:
            name = quote(candidate.name)
            problems.append(Problem((*where, "name"), "another name", name, "each name once"))
        try:
            graphs[candidate.name] = candidate_graph(variables, candidate)
        except StudyProblems as refusal:
            problems += [
                Problem((*where, "edges", *it.where), it.expected, it.found, it.remedy)
                for it in refusal.problems
            ]
    if not problems and not any(differing_families(graphs).values()):
        what = "candidates whose families differ"
        problems.append(Problem(("selection",), what, "none", "another candidate"))
    return problems


def _sorted_families(graph: CausalGraph) -> list[Clique]:
    """Return every family: parents by name, then the node."""
    return [(*sorted(graph.parents[node]), node) for node in graph.nodes]
