"""The rule for indicators, against exact distributions: what is fitted to known rows is the truth.

Random graphs over binary variables, one of them (x) with an indicator (m), and random tables.
P(v | parents) among rows in which v and its parents are known is compared with the truth.
"""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from protocol.study.consistency import structure_of
from protocol.study.graph import CausalGraph, build_graph
from protocol.study.mechanisms import Mechanism
from protocol.study.missingness import missingness_problems
from protocol.study.variables import Boolean, Missingness, Variable

Joint = NDArray[np.float64]  # an axis of size 2 per node, in the graph's order

VARIABLES: Mapping[str, Variable] = {
    "a": Boolean(kind="boolean"),
    "b": Boolean(kind="boolean"),
    "m": Missingness(kind="missingness", of="x"),
    "x": Boolean(kind="boolean", missing=True),
}
WITH_RULE = {**VARIABLES, "r": Boolean(kind="boolean", missing=True)}
RULE = {"r": Mechanism(kind="rule", value="x != a")}


@st.composite
def graphs(draw: st.DrawFn, names: tuple[str, ...], forced: tuple[str, ...] = ()) -> CausalGraph:
    """Return a random graph; `forced` are the parents of r, which comes after them."""
    order = draw(st.permutations(sorted(names)))
    if forced:
        order = [*sorted(set(forced)), *(name for name in order if name not in (*forced, "r"))]
        order.insert(draw(st.integers(len(forced), len(order))), "r")
    edges = [
        (cause, effect)
        for place, effect in enumerate(order)
        for cause in order[:place]
        if (cause in forced if effect == "r" else draw(st.booleans()))
    ]
    return build_graph(names, edges)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(graph=graphs(tuple(VARIABLES)), seed=st.integers(0, 2**32 - 1))
def test_a_graph_is_refused_exactly_where_known_rows_would_mislead(
    graph: CausalGraph, seed: int
) -> None:
    joint = _joint(graph, np.random.default_rng(seed), None)
    misled = any(_misleads(joint, graph, node, {"x"}) for node in graph.nodes)
    problems = missingness_problems(structure_of(VARIABLES, graph, None, {}))
    assert misled == bool(problems)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    graph=graphs((*VARIABLES, "r"), ("a", "x")),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_graph_is_let_through_where_a_rule_carries_missing_values_into_a_mechanism(
    graph: CausalGraph, seed: int
) -> None:
    joint = _joint(graph, np.random.default_rng(seed), "r")
    misled = any(_misleads(joint, graph, node, {"x", "r"}) for node in graph.nodes if node != "r")
    assert bool(missingness_problems(structure_of(WITH_RULE, graph, None, RULE))) or not misled


@pytest.mark.parametrize(
    ("edges", "refused"),
    [
        ([("a", "x"), ("a", "m"), ("x", "b")], False),
        ([("x", "m")], True),
        ([("x", "b"), ("b", "m")], True),
        ([("a", "b"), ("b", "m")], False),
        ([("m", "b"), ("x", "b")], True),
        ([("m", "b")], False),
        ([("m", "x")], True),
    ],
)
def test_indicators_may_depend_on_what_is_known_and_not_on_what_they_hide(
    edges: list[tuple[str, str]], refused: bool
) -> None:
    structure = structure_of(VARIABLES, build_graph(VARIABLES, edges), None, {})
    assert bool(missingness_problems(structure)) == refused


def test_a_mechanism_may_not_read_an_indicator_beside_a_rule_that_hides_with_it() -> None:
    edges = [("a", "r"), ("x", "r"), ("r", "b"), ("m", "b")]
    graph = build_graph(WITH_RULE, edges)
    assert _misleads(_joint(graph, np.random.default_rng(1), "r"), graph, "b", {"x", "r"})
    [problem] = missingness_problems(structure_of(WITH_RULE, graph, None, RULE))
    assert problem.expected == "'r' or its indicator in the mechanism of 'b'"


def _joint(graph: CausalGraph, generator: np.random.Generator, rule: str | None) -> Joint:
    joint = np.ones((2,) * len(graph.nodes))
    for place, node in enumerate(graph.nodes):
        axes = [graph.nodes.index(parent) for parent in graph.parents[node]]
        ones = generator.uniform(0.2, 0.8, size=(2,) * len(axes))
        if node == rule:
            first, second = np.indices((2, 2))
            ones = (first != second).astype(np.float64)
        table = np.stack([1 - ones, ones], axis=-1)
        shape = [2 if axis in (*axes, place) else 1 for axis in range(joint.ndim)]
        joint = joint * table.reshape(shape)  # the axes are in rising order already
    return joint


def _misleads(joint: Joint, graph: CausalGraph, node: str, hidden: set[str]) -> bool:
    family = graph.family(node)
    if not hidden & set(family):
        return False
    known = np.take(joint, [0], axis=graph.nodes.index("m"))
    known = np.concatenate([known, np.zeros_like(known)], axis=graph.nodes.index("m"))
    fitted, true = (_conditional(one, graph, node) for one in (known, joint))
    return not np.allclose(fitted, true, atol=1e-9, equal_nan=False)


def _conditional(joint: Joint, graph: CausalGraph, node: str) -> Joint:
    """Return P(node | parents), -1 where there is no such row; axes as in the graph."""
    family = graph.family(node)
    dropped = tuple(axis for axis, name in enumerate(graph.nodes) if name not in family)
    table = joint.sum(axis=dropped, keepdims=True)
    rows = table.sum(axis=graph.nodes.index(node), keepdims=True)
    conditional: Joint = np.divide(table, rows, out=np.full_like(table, -1.0), where=rows > 0)
    return conditional
