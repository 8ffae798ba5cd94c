"""Rules against the graph: a rule reads exactly the parents of its variable.

In a longitudinal study one rule serves all visits: it reads values of the same visit, as x[t],
and static variables; at the first visit x[t] is x[0].
"""

from collections.abc import Iterator, Mapping

from protocol.study import expression_types
from protocol.study.expression import (
    MAX_DEPTH,
    MAX_PARTS,
    ONE_PART,
    Expression,
    Extent,
    extent_of,
)
from protocol.study.families import Family
from protocol.study.problems import Path, Problem, listed, quote
from protocol.study.structure import Structure
from protocol.study.time import BEFORE, FIRST, NOW, base_name

MAX_PARTS_IN_ALL = 5000  # takes a query engine half a minute to plan
LABELS_PER_PART = 64
READING = 2  # how deep a query engine writes that a rule is read by another


def rule_problems(structure: Structure) -> Iterator[Problem]:
    """Yield what is wrong with rules: their names, types and places in time."""
    first = {
        base_name(family.node): family
        for family in structure.families()
        if family.node.endswith(FIRST)
    }
    yield from _extent_problems(structure)
    for family in structure.families():
        rule = family.mechanism.expression
        if rule is None or family.node.endswith(FIRST):
            continue
        name = base_name(family.node)
        in_time = [*_time_problems(family, first.get(name))]
        yield from in_time or _reading_problems(structure, family, rule)


def _extent_problems(structure: Structure) -> Iterator[Problem]:
    """Yield rules that are too much for a site's query.

    There a rule is written out wherever another reads it: a chain of short rules that read one
    another twice would double the query at every step.
    """
    extents: dict[str, Extent] = {}
    total = 0
    for name in structure.order():
        rule = structure.mechanisms[name].expression
        if rule is None:
            continue
        where: Path = ("mechanisms", name, "value")
        reads = {column: _as_read(structure, column, extents) for column in rule.names}
        found = extent_of(rule.root, reads)
        total += found.size
        if found.size > MAX_PARTS or found.depth > MAX_DEPTH:
            expected = (
                f"at most {MAX_PARTS} parts, {MAX_DEPTH} inside one another, with those of the "
                "rules that it reads"
            )
            yield Problem(where, expected, "more", "it without rules that read rules")
            return
        if total > MAX_PARTS_IN_ALL:
            expected = f"at most {MAX_PARTS_IN_ALL} parts in all rules together"
            yield Problem(where, expected, "more", "fewer, or shorter, rules")
            return
        extents[name] = Extent(found.size, found.depth + READING)


def _as_read(structure: Structure, column: str, rules: Mapping[str, Extent]) -> Extent:
    """Return the extent of a parent in a rule: with its own rule, and a list of its labels."""
    name = base_name(column)
    found = rules.get(name, ONE_PART)
    variable = structure.variables.get(name)
    if variable is None or variable.kind not in ("categorical", "ordinal"):
        return found
    return Extent(found.size + variable.size // LABELS_PER_PART, found.depth)


def _time_problems(family: Family, first: Family | None) -> Iterator[Problem]:
    """Yield arrows that make a rule read other things at the first visit than later."""
    if first is None:
        return
    for parent in family.parents:
        if parent.endswith(BEFORE):
            yield Problem(
                ("graph",),
                f"causes at the same visit of {family.node!r}, which a rule computes",
                quote(f"{parent} -> {family.node}"),
                "that arrow from [t], or another mechanism",
            )
    now = {parent for parent in family.parents if not parent.endswith(BEFORE)}
    other = now ^ {parent.replace(FIRST, NOW) for parent in first.parents}
    if other:
        column = min(other)
        node = first.node if column in now else family.node
        yield Problem(
            ("graph",),
            f"the same causes of {first.node!r} and {family.node!r}, which a rule computes",
            f"none of {node!r} from {base_name(column)!r}",
            f"an arrow into {node!r} too",
        )


def _reading_problems(structure: Structure, family: Family, rule: Expression) -> Iterator[Problem]:
    name = base_name(family.node)
    where: Path = ("mechanisms", name, "value")
    strangers = sorted(rule.names - set(family.parents))
    for column in strangers:
        yield Problem(where, *_stranger(structure, family, column))
    if not strangers:
        parents = {parent: structure.variable(parent) for parent in family.parents}
        for problem in expression_types.rule_problems(rule, parents, structure.variables[name]):
            yield Problem(where, problem.expected, problem.found, problem.remedy)


def _stranger(structure: Structure, family: Family, column: str) -> tuple[str, str, str]:
    """Return expected, found and remedy of a name in a rule that is no parent."""
    known = listed(family.parents) or "a rule without names"
    if base_name(column) not in structure.variables:
        return f"parents of {family.node!r}", quote(column), known
    right = structure.beside(family.node, base_name(column))
    if column != right:
        return f"parents of {family.node!r} at its visit", quote(column), quote(right)
    return (
        f"an arrow into {family.node!r} from all that its rule reads",
        f"none from {column!r}",
        f"{column} -> {family.node} in the graph",
    )
