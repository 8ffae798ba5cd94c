"""Edges at quantiles: as full as each other, as short as their distances allow, always rising."""

from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng

from protocol.errors import UsageError
from server.causal.model import Model
from server.causal.synthetic.quantile_edges import distinct, edges_of, quantiles, rounded
from tests.support.causal_models import mixed_model, visits_model

UNIT = (Decimal(0), Decimal(1))


def shares(model: Model, node: str, edges: tuple[Decimal, ...]) -> list[float]:
    values = model.sample(20_000, seed=9)[node].dropna().to_numpy(dtype=float)
    found, _ = np.histogram(values, [float(edge) for edge in edges])
    return [float(share) for share in found / len(values)]


@pytest.mark.parametrize(("name", "bins"), [("age", 4), ("crp", 5), ("pressure", 6)])
def test_bins_have_equal_shares_and_keep_their_outer_edges(name: str, bins: int) -> None:
    model = mixed_model()
    found = edges_of(model, name, bins)
    variable = model.study.variables[name]
    assert (found.edges[0], found.edges[-1]) == (variable.edges[0], variable.edges[-1])  # type: ignore[union-attr]
    assert found.bins == bins
    assert shares(model, name, found.edges) == pytest.approx([1 / bins] * bins, abs=0.03)


def test_edges_of_visits_are_those_of_all_visits_together() -> None:
    model = visits_model()
    found = edges_of(model, "cd4", 4)
    each = [shares(model, f"cd4[{visit}]", found.edges) for visit in range(3)]
    assert np.mean(each, axis=0) == pytest.approx([0.25] * 4, abs=0.03)


def test_edges_of_a_count_are_whole_numbers() -> None:
    found = edges_of(mixed_model(), "visits", 3)
    assert all(edge == int(edge) for edge in found.edges)
    assert all(low < high for low, high in pairwise(found.edges))


@pytest.mark.parametrize(
    ("name", "bins", "code"),
    [
        ("sex", 4, "not-numeric"),
        ("stay", 4, "not-numeric"),
        ("tea", 4, "not-numeric"),
        ("age", 1, "too-few-bins"),
    ],
)
def test_what_has_no_quantiles_is_refused(name: str, bins: int, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        edges_of(mixed_model(), name, bins)
    assert caught.value.code == code


def test_a_point_mass_merges_the_bins_that_it_fills() -> None:
    values = np.concatenate([np.full(600, 0.3), np.linspace(0, 1, 400)])
    inner = quantiles(values, 10, whole=False)
    edges = rounded(distinct(inner, UNIT), UNIT)
    assert len(edges) < 11
    assert [float(edge) for edge in edges].count(0.3) == 1


def test_a_count_that_is_mostly_none_keeps_none_apart() -> None:
    values = np.array([0.0] * 60 + [1.0] * 20 + [2.0] * 10 + [7.0] * 10)
    outer = (Decimal(0), Decimal(9))
    edges = rounded(distinct(quantiles(values, 4, whole=True), outer), outer)
    assert [int(edge) for edge in edges] == [0, 1, 2, 9]


def test_values_in_one_place_leave_no_edge_between_the_outer_ones() -> None:
    inner = quantiles(np.zeros(100), 8, whole=False)
    assert distinct(inner, UNIT) == [0.0, 1.0]


def test_edges_have_no_more_digits_than_their_distances_need() -> None:
    ages = default_rng(1).normal(50, 10, 5000).clip(20, 90)
    outer = (Decimal(20), Decimal(90))
    edges = rounded(distinct(quantiles(ages, 4, whole=False), outer), outer)
    assert [str(edge) for edge in edges] == ["20", "43", "50", "57", "90"]


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50),
    st.integers(2, 12),
    st.sampled_from([(Decimal("-1e6"), Decimal("1e6")), (Decimal("0.001"), Decimal(1000))]),
)
def test_edges_rise_whatever_the_values_are(
    values: list[float], bins: int, outer: tuple[Decimal, Decimal]
) -> None:
    clipped = np.clip(np.array(values), float(outer[0]), float(outer[1]))
    edges = rounded(distinct(quantiles(clipped, bins, whole=False), outer), outer)
    assert edges[0] == outer[0]
    assert edges[-1] == outer[1]
    assert all(low < high for low, high in pairwise(edges))
    assert len(edges) <= bins + 1
