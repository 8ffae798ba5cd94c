"""Scores of families: how much one record can change them, and what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from protocol.privacy.scores import PER_FAMILY, STEPS, family_score

EXAMPLES = settings(max_examples=300, deadline=None, derandomize=True)
shapes = st.sampled_from([(2, 2), (3, 2), (2, 2, 3), (4, 5), (3, 2, 2, 2), (1, 4)])


@st.composite
def tables(draw: st.DrawFn) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Return a table, and the cell of one more record."""
    shape = draw(shapes)
    size = int(np.prod(shape))
    few, many = st.integers(0, 3), st.integers(0, 10**6)
    counts = draw(st.lists(st.one_of(st.just(0), few, many), min_size=size, max_size=size))
    cell = tuple(draw(st.integers(0, length - 1)) for length in shape)
    return np.array(counts, np.int64).reshape(shape), cell


@EXAMPLES
@given(tables())
def test_one_record_changes_a_score_by_no_more_than_is_charged(
    case: tuple[NDArray[np.int64], tuple[int, ...]],
) -> None:
    table, cell = case
    more = table.copy()
    more[cell] += 1
    assert abs(family_score(more) - family_score(table)) <= PER_FAMILY


def test_the_bound_is_of_the_right_size() -> None:
    """A record in an empty row and an empty column of a large diagonal moves it by nearly all."""
    largest = 0
    for size in (2, 3, 5, 9):
        for count in (10, 1000, 100_000):
            table = np.zeros((size, size), np.int64)
            table[0, 0] = count
            more = table.copy()
            more[1, 1] += 1
            largest = max(largest, abs(family_score(more) - family_score(table)))
    assert PER_FAMILY / 2 < largest <= PER_FAMILY


@pytest.mark.parametrize("shape", [(2, 2), (6, 3), (4, 4, 3)])
def test_arrows_between_what_is_independent_gain_nothing(shape: tuple[int, ...]) -> None:
    source = np.random.default_rng(1)
    for _ in range(20):
        codes = np.stack([source.integers(0, size, 2000) for size in shape])
        table = np.zeros(shape, np.int64)
        np.add.at(table, tuple(codes), 1)
        assert family_score(table) < 0.3 * STEPS * np.sqrt(2000 * np.prod(shape))


def test_dependence_is_seen() -> None:
    table = np.array([[900, 100], [100, 900]], np.int64)
    assert family_score(table) > STEPS * 1000


def test_a_site_without_records_scores_below_zero_and_the_same_as_everybody_else() -> None:
    assert family_score(np.zeros((3, 2), np.int64)) == int(
        np.floor(-STEPS * np.sqrt(2 * 2 * 2 / np.pi))
    )
