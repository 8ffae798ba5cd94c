"""Missing values in the model: as a level like another, or hidden behind an indicator.

A variable with `missing = true` has the level MISSING in the model. One with an indicator has not:
the model holds its true value, and hides it where the indicator is 1. Its mechanisms are fitted
to the rows in which it is known, so these must speak for all rows.
"""

from collections.abc import Iterator, Mapping

from protocol.study.expression import Apply, Name, Node
from protocol.study.families import visit_of
from protocol.study.problems import Problem, nearest, quote
from protocol.study.structure import Structure
from protocol.study.time import base_name
from protocol.study.variables import Missingness, Variable


def indicators_of(variables: Mapping[str, Variable]) -> dict[str, str]:
    """Return, per variable that has one, the variable that says whether it is missing."""
    return {
        variable.of: name
        for name, variable in variables.items()
        if isinstance(variable, Missingness)
    }


def hidden_variables(structure: Structure) -> frozenset[str]:
    """Return the variables that are never MISSING in the model, though they are in data.

    Those with an indicator, and rules that are missing only where such variables are.
    """
    indicators = indicators_of(structure.variables)
    return frozenset(
        name
        for name, sources in _sources(structure).items()
        if sources and sources <= set(indicators)
    )


def missingness_problems(structure: Structure) -> list[Problem]:
    """Return what is wrong with indicators, with rules that read what they hide, and selection."""
    problems = [*_indicator_problems(structure)]
    if not problems:
        problems += [*_rule_problems(structure), *_selection_problems(structure)]
    return problems


def _sources(structure: Structure) -> dict[str, frozenset[str]]:
    """Return, per variable, the recorded variables whose missing values make it missing."""
    found: dict[str, frozenset[str]] = {}
    for name in structure.order():
        variable, rule = structure.variables[name], structure.mechanisms[name].expression
        if not variable.missing:
            found[name] = frozenset()
        elif rule is None:
            found[name] = frozenset({name})
        else:
            reads = (found.get(base_name(column), frozenset()) for column in rule.names)
            found[name] = frozenset().union(*reads)
    return found


def _indicator_problems(structure: Structure) -> Iterator[Problem]:
    taken: dict[str, str] = {}
    for name, variable in structure.variables.items():
        if not isinstance(variable, Missingness):
            continue
        where = ("variables", name, "of")
        target = structure.variables.get(variable.of)
        if target is None:
            known = nearest(variable.of, structure.variables)
            yield Problem(where, "a declared variable", quote(variable.of), known)
        elif structure.mechanisms[variable.of].kind == "rule":
            found = f"{variable.of!r}, which a rule computes"
            yield Problem(where, "a variable that sites record", found, "what its rule reads")
        elif not target.missing:
            found = f"{variable.of!r}, which is never missing"
            yield Problem(where, "a variable with missing = true", found, "missing = true there")
        elif variable.of in taken:
            found = f"{taken[variable.of]!r} and {name!r} for {variable.of!r}"
            yield Problem(where, "one indicator per variable", found, "one of them")
        elif structure.is_static(name) != structure.is_static(variable.of):
            expected = "both or neither of an indicator and its variable in time.static"
            yield Problem(where, expected, f"one of {name!r} and {variable.of!r}", "both there")
        taken.setdefault(variable.of, name)


def _rule_problems(structure: Structure) -> Iterator[Problem]:
    """Yield rules whose value at a site is not the one in the model, given what is hidden."""
    indicators, hidden = indicators_of(structure.variables), hidden_variables(structure)
    all_sources = _sources(structure)
    for name, sources in all_sources.items():
        rule, where = structure.mechanisms[name].expression, ("mechanisms", name, "value")
        if rule is None:
            continue
        behind = sorted(sources & set(indicators))
        if behind and name not in hidden:
            other = min(sources - set(indicators))
            yield Problem(
                where,
                "a rule whose parents that may be missing all have an indicator, or none",
                f"{behind[0]!r} with and {other!r} without",
                f'[variables.{other}_missing] with kind = "missingness" and of = "{other}"',
            )
        for column in sorted(_asked_if_missing(rule.root)):
            if base_name(column) in hidden:
                source = min(all_sources[base_name(column)])
                yield Problem(
                    where,
                    f"no is_missing of {column!r}, which the model never misses",
                    quote(f"is_missing({column})"),
                    f"{indicators[source]!r} itself, and an arrow from it",
                )


def _asked_if_missing(node: Node) -> set[str]:
    match node:
        case Apply("is_missing", (Name(name),)):
            return {name}
        case Apply(operands=operands):
            return set().union(*map(_asked_if_missing, operands))
    return set()


def _selection_problems(structure: Structure) -> Iterator[Problem]:
    """Rows without missing values must speak for all rows, given the parents.

    P(v | parents) is fitted to the rows in which v and its parents are known. By the local Markov
    property v is independent of what does not descend from it, given its parents; so no indicator
    of the family may descend from v, on a path that no parent could block, and none may be in the
    family itself, where it would always be 0 (Mohan and Pearl 2021, theorem 1). All visits but
    the first are alike, so that the second stands for them.
    """
    graph, hiding = structure.graph, _indicators_by_variable(structure)
    causes: dict[str, frozenset[str]] = {}
    for node in graph.nodes:
        if (visit_of(node) or 0) > 1 or structure.mechanisms[base_name(node)].uses == "none":
            continue
        family = graph.family(node)
        for member in family:
            for variable in hiding[base_name(member)]:
                indicator = structure.beside(member, variable)
                if indicator not in causes:
                    causes[indicator] = graph.ancestors(indicator)
                if node in causes[indicator]:
                    yield _dependence(node, member, indicator)
                elif indicator in graph.parents[node]:
                    yield _company(node, member, indicator)


def _indicators_by_variable(structure: Structure) -> dict[str, list[str]]:
    """Return for each variable the indicators that say whether it is known."""
    indicators = indicators_of(structure.variables)
    return {
        name: sorted(indicators[source] for source in sources & set(indicators))
        for name, sources in _sources(structure).items()
    }


def _dependence(node: str, member: str, indicator: str) -> Problem:
    return Problem(
        ("graph",),
        f"whether {member!r} is missing not to depend on {node!r}",
        f"a path from {node!r} to {indicator!r}",
        "the graph without that path: rows without missing values would mislead",
    )


def _company(node: str, member: str, indicator: str) -> Problem:
    return Problem(
        ("graph",),
        f"{member!r} or its indicator in the mechanism of {node!r}",
        f"{indicator!r} too, which is 1 where {member!r} is unknown",
        f"the graph with only one of them as a cause of {node!r}",
    )
