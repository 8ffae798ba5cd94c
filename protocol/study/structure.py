"""What a graph must be like for its mechanisms to be fitted and to mean what they say."""

from collections.abc import Iterator, Mapping

from protocol.study.families import REGRESSOR_KINDS
from protocol.study.graph import CausalGraph
from protocol.study.mechanisms import Mechanism, default_mechanism
from protocol.study.problems import Problem, nearest, quote
from protocol.study.time import base_name
from protocol.study.variables import Missingness, Variable

Variables = Mapping[str, Variable]


def structure_problems(
    graph: CausalGraph, variables: Variables, mechanisms: Mapping[str, Mechanism]
) -> list[Problem]:
    """Return what does not fit between the arrows and the kinds of nodes and mechanisms."""
    resolved = {
        name: mechanisms.get(name) or default_mechanism(variable.kind)
        for name, variable in variables.items()
    }
    return [
        *_survival_problems(graph, variables),
        *_indicator_problems(variables),
        *_selection_problems(graph, variables),
        *_moment_problems(graph, variables, resolved),
    ]


def _survival_problems(graph: CausalGraph, variables: Variables) -> Iterator[Problem]:
    for node in graph.nodes:
        if variables[base_name(node)].kind == "survival" and graph.children(node):
            child = min(graph.children(node))
            yield Problem(
                ("variables", base_name(node)),
                "a survival node that causes nothing in the graph",
                quote(f"{node} -> {child}"),
                "the graph without that arrow: a time to an event is an outcome",
            )


def _indicator_problems(variables: Variables) -> Iterator[Problem]:
    taken: dict[str, str] = {}
    for name, variable in variables.items():
        if not isinstance(variable, Missingness):
            continue
        where = ("variables", name, "of")
        target = variables.get(variable.of)
        if target is None:
            found = quote(variable.of)
            yield Problem(where, "a declared variable", found, nearest(variable.of, variables))
        elif not target.missing:
            found = f"{variable.of!r}, which is never missing"
            yield Problem(where, "a variable with missing = true", found, "missing = true there")
        elif variable.of in taken:
            found = f"{taken[variable.of]!r} and {name!r} for {variable.of!r}"
            yield Problem(where, "one indicator per variable", found, "one of them")
        taken.setdefault(variable.of, name)


def _selection_problems(graph: CausalGraph, variables: Variables) -> Iterator[Problem]:
    """Rows without missing values must speak for all rows, given the parents.

    P(v | parents) is fitted to the rows in which v and its parents are known. By the local Markov
    property v is independent of what does not descend from it, given its parents; so no indicator
    of the family may descend from v (Mohan and Pearl 2021, theorem 1).
    """
    indicator = {
        variable.of: name
        for name, variable in variables.items()
        if isinstance(variable, Missingness)
    }
    for node in graph.nodes:
        later = {base_name(name) for name in graph.descendants(node)}
        for member in graph.family(node):
            name = indicator.get(base_name(member))
            if name is not None and name in later:
                yield Problem(
                    ("graph",),
                    f"whether {base_name(member)!r} is missing not to depend on {node!r}",
                    f"a path from {node!r} to {name!r}",
                    "the graph without that path: rows without missing values would mislead",
                )


def _moment_problems(
    graph: CausalGraph, variables: Variables, mechanisms: Mapping[str, Mechanism]
) -> Iterator[Problem]:
    hidden = {variable.of for variable in variables.values() if isinstance(variable, Missingness)}
    for node in graph.nodes:
        if mechanisms[base_name(node)].uses != "moments":
            continue
        for member in graph.family(node):
            variable = variables[base_name(member)]
            number = member == node or variable.kind in REGRESSOR_KINDS
            if number and variable.missing and base_name(member) not in hidden:
                yield Problem(
                    ("variables", base_name(member)),
                    f"an indicator of {base_name(member)!r}, a number in the mechanism of {node!r}",
                    "none",
                    f'[variables.{base_name(member)}_missing] with kind = "missingness"',
                )
