"""Variable elimination against the joint distribution, on networks made at random."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from server.causal.answers.contraction import distribution, relevant
from server.causal.answers.derivatives import parent_shares, trace
from tests.support.networks import Network, network

NODES = tuple("abcdef")


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Networks of 2 to 6 nodes with 2 or 3 levels and any acyclic graph."""
    nodes = NODES[: draw(st.integers(2, 6))]
    sizes = {node: draw(st.integers(2, 3)) for node in nodes}
    edges = [pair for pair in combinations(nodes, 2) if draw(st.booleans())]
    generator = default_rng(draw(st.integers(0, 2**32)))
    tables = {}
    for node in nodes:
        shape = tuple(sizes[cause] for cause, effect in edges if effect == node)
        tables[node] = generator.dirichlet(np.full(sizes[node], 0.5), size=shape)
    levels = {node: [f"v{code}" for code in range(sizes[node])] for node in nodes}
    variables = {node: f'kind = "ordinal"\nlevels = {levels[node]}' for node in nodes}
    return network(variables, [f"{cause} -> {effect}" for cause, effect in edges], tables)


@settings(max_examples=60, deadline=None)
@given(made=networks(), data=st.data())
def test_distribution_is_that_of_the_joint(made: Network, data: st.DataObject) -> None:
    graph = made.study.causal_graph
    query = data.draw(st.sampled_from(made.nodes))
    chosen = data.draw(st.lists(st.sampled_from(made.nodes), unique=True, max_size=3))
    fixed = {node: data.draw(st.integers(0, 1)) for node in chosen}
    order = {node: made.tables[node][None] for node in made.nodes}
    (found,) = distribution(graph, order, query, fixed)
    assert found == pytest.approx(made.marginal(query, fixed), abs=1e-12)
    assert set(relevant(graph, query, fixed)) <= {query, *graph.ancestors(query)}


@settings(max_examples=40, deadline=None)
@given(made=networks(), data=st.data())
def test_derivatives_are_the_slopes_of_a_distribution_in_every_entry(
    made: Network, data: st.DataObject
) -> None:
    graph, generator = made.study.causal_graph, default_rng(data.draw(st.integers(0, 99)))
    query = data.draw(st.sampled_from(made.nodes))
    fixed = dict.fromkeys(data.draw(st.lists(st.sampled_from(made.nodes), max_size=2)), 1)
    tables = {node: np.stack([table, table[::-1]]) for node, table in made.tables.items()}
    traced = trace(graph, tables, query, fixed)
    assert traced.distribution == pytest.approx(distribution(graph, tables, query, fixed))
    direction = generator.normal(size=traced.distribution.shape)
    derivatives = traced.pull_back(direction)
    assert set(derivatives) == set(relevant(graph, query, fixed)) - set(fixed)
    for node, slope in derivatives.items():  # linear in each table: a difference is exact
        step = generator.normal(size=slope.shape)
        moved = {**tables, node: tables[node] + step}
        there = distribution(graph, moved, query, fixed) - traced.distribution
        expected = (there * direction).sum(axis=1)
        assert (slope * step).reshape(2, -1).sum(axis=1) == pytest.approx(expected, abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(made=networks())
def test_parent_shares_are_those_of_the_joint(made: Network) -> None:
    tables = {node: table[None] for node, table in made.tables.items()}
    shares = parent_shares(made.study.causal_graph, tables, made.nodes)
    joint = made.joint()
    for node in made.nodes:
        parents = made.study.causal_graph.parents[node]
        others = tuple(axis for axis, name in enumerate(made.nodes) if name not in parents)
        assert shares[node][0] == pytest.approx(joint.sum(axis=others), abs=1e-12)
