"""Longitudinal studies: arrows between visits, unrolled into a graph over all visits.

Arrows are drawn once. `x[0]` is a variable at the first visit, `x[t]` at any later one and
`x[t-1]` at the visit before that; a static variable has no index. The causal graph has a node
`x[k]` for every visit k. What is measured has two populations of rows: units, by their first
visit, and transitions, each a visit with the one before it; all transitions of a unit together
weigh as much as a unit.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import lcm

from protocol.study.graph import CausalGraph, Edge, build_graph
from protocol.study.problems import Problem, StudyProblems, nearest, quote
from protocol.study.sections import Time

FIRST, NOW, BEFORE = "[0]", "[t]", "[t-1]"

_END = r"\s*([A-Za-z_][A-Za-z0-9_.]*)(\[0\]|\[t\]|\[t-1\])?\s*"
_ARROW = re.compile(rf"{_END}(->|<-){_END}")
_INDEXED = re.compile(r"(.+)\[(?:\d+|t|t-1)\]")


@lru_cache(maxsize=2**16)  # asked of every node, for every question
def base_name(name: str) -> str:
    """Return the variable of a node or column: "cd4" of "cd4[2]", "cd4[t]" and "cd4"."""
    found = _INDEXED.fullmatch(name)
    return found[1] if found else name


def transition_unit(time: Time) -> int:
    """Return the weight of a unit: divisible by any number of transitions that it may have."""
    return lcm(*range(1, time.visits))


def template_of(node: str) -> str:
    """Return the column that a node is fitted from: "cd4[t]" of "cd4[2]", itself of others."""
    return node if node.endswith(FIRST) or "[" not in node else base_name(node) + NOW


def parse_lagged_edge(text: str) -> Edge:
    """Return (cause, effect) of 'a[t-1] -> b[t]', as columns.

    Raises:
        StudyProblems: the text is not one arrow between two columns.
    """
    found = _ARROW.fullmatch(text)
    if found is None:
        raise StudyProblems(
            [Problem((), "one arrow such as 'a[t-1] -> b[t]'", quote(text), "one arrow per entry")]
        )
    left, right = found[1] + (found[2] or ""), found[4] + (found[5] or "")
    return (left, right) if found[3] == "->" else (right, left)


def edge_problems(edges: Iterable[Edge], variables: Iterable[str], time: Time) -> list[Problem]:
    """Return what is wrong with arrows between columns: names, indices and directions in time."""
    names, static, arrows = tuple(variables), frozenset(time.static), list(edges)
    problems = [
        Problem((), "each edge once", f"{cause + ' -> ' + effect!r} twice", "it once")
        for (cause, effect), count in Counter(arrows).items()
        if count > 1
    ]
    for cause, effect in arrows:
        arrow = f"{cause} -> {effect}"
        for column in (cause, effect):
            problems += _column_problems(column, arrow, names, static)
        if effect.endswith(BEFORE):
            problems.append(
                Problem((), "an effect at [0] or [t]", quote(arrow), "the arrow one visit later")
            )
        if effect.endswith(FIRST) and cause.endswith((NOW, BEFORE)):
            problems.append(
                Problem((), "causes of [0] at [0] or static", quote(arrow), "a cause at [0]")
            )
        if effect.endswith(NOW) and cause.endswith(FIRST):
            problems.append(
                Problem((), "causes of [t] at [t], [t-1] or static", quote(arrow), "one at [t-1]")
            )
        if "[" not in effect and "[" in cause:
            problems.append(
                Problem((), "static causes of a static variable", quote(arrow), "no such arrow")
            )
    return problems


def unrolled(edges: Sequence[Edge], variables: Iterable[str], time: Time) -> CausalGraph:
    """Return the graph over all visits: static nodes, then visit by visit, in one order within.

    Precondition: `edge_problems` finds none.

    Raises:
        StudyProblems: the arrows within a visit run in a circle.
    """
    names = tuple(sorted(variables))
    within = build_graph(names, _within(edges)).nodes
    order = [name for name in within if name in time.static]
    order += [
        f"{name}[{visit}]"
        for visit in range(time.visits)
        for name in within
        if name not in time.static
    ]
    arrows = [
        arrow for edge in edges for visit in range(time.visits) for arrow in _at_visit(edge, visit)
    ]
    return build_graph(order, list(dict.fromkeys(arrows)), order)


def _within(edges: Iterable[Edge]) -> list[Edge]:
    """Return the arrows that stay within a visit, between variables, each once."""
    pairs = (
        (base_name(cause), base_name(effect))
        for cause, effect in edges
        if not cause.endswith(BEFORE)
    )
    return list(dict.fromkeys(pairs))


def _at_visit(edge: Edge, visit: int) -> list[Edge]:
    """Return the arrow as it stands at a visit; none if it does not stand there."""
    cause, effect = edge
    if effect.endswith(NOW) != (visit > 0):
        return []
    return [(_node(cause, visit), _node(effect, visit))]


def _node(column: str, visit: int) -> str:
    if "[" not in column:
        return column
    return f"{base_name(column)}[{visit - 1 if column.endswith(BEFORE) else visit}]"


def _column_problems(
    column: str, arrow: str, names: Sequence[str], static: frozenset[str]
) -> list[Problem]:
    name = base_name(column)
    if name not in names:
        return [Problem((), f"declared variables in {arrow!r}", quote(name), nearest(name, names))]
    if (name in static) == ("[" in column):
        expected = "no index on a static variable" if name in static else "an index [0], [t], [t-1]"
        written = name if name in static else f"{name}[t]"
        return [Problem((), expected, quote(arrow), quote(written))]
    return []


def time_problems(time: Time, variables: Iterable[str]) -> list[Problem]:
    """Return what is wrong with [time] itself."""
    names = tuple(variables)
    problems = [
        Problem(("static",), "declared variables", quote(name), nearest(name, names))
        for name in time.static
        if name not in names
    ]
    problems += [
        Problem(("static",), "each variable once", f"{name!r} twice", "it once")
        for name, count in Counter(time.static).items()
        if count > 1
    ]
    if set(names) <= set(time.static):
        problems.append(
            Problem(("static",), "a variable that changes over time", "none", "fewer static ones")
        )
    return problems
