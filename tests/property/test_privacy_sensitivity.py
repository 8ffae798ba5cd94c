"""L2 sensitivity by brute force: all neighbours of a table, on small domains."""

from itertools import combinations_with_replacement, product
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.privacy.plan import compile_plan
from protocol.privacy.residuals import Counts, residual_table
from tests.support.studies import measured_study


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("sizes", [(2, 2), (2, 3), (3, 4)])
def test_no_unit_moves_a_block_by_more_than_its_sensitivity_and_one_does(
    sizes: tuple[int, int], rows: int
) -> None:
    """Every unit of up to `rows` rows is added to a table, and taken away from it again."""
    study = measured_study(
        {"a": sizes[0], "b": sizes[1]}, ["a -> b"], rows=rows, budget="rho = 0.001"
    )
    joint = np.arange(prod(sizes), dtype=np.int64).reshape(sizes) ** 2
    for block in compile_plan(study).blocks:
        before = residual_table(_marginal(joint, block.clique))
        moves = [
            residual_table(_marginal(joint + unit, block.clique)) - before
            for unit in _units(sizes, rows)
        ]
        assert max(int((move**2).sum()) for move in moves) == block.squared_sensitivity


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.integers(2, 5), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_single_row_moves_a_residual_table_by_the_same_norm(
    sizes: list[int], seed: int
) -> None:
    table = np.random.default_rng(seed).integers(0, 1000, size=tuple(sizes))
    cell = tuple(int(seed // (position + 1)) % size for position, size in enumerate(sizes))
    neighbour = table.copy()
    neighbour[cell] += 1
    move = residual_table(neighbour) - residual_table(table)
    assert int((move**2).sum()) == prod(size * (size - 1) for size in sizes)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(sizes=st.lists(st.integers(2, 5), min_size=1, max_size=3), data=st.data())
def test_no_element_of_a_residual_table_exceeds_what_the_overflow_check_allows(
    sizes: list[int], data: st.DataObject
) -> None:
    cells = prod(sizes)
    counts = data.draw(st.lists(st.integers(0, 1000), min_size=cells, max_size=cells))
    table = np.array(counts, dtype=np.int64).reshape(sizes)
    most = int(table.sum()) * prod(size - 1 for size in sizes)
    assert int(np.abs(residual_table(table)).max()) <= most


def _units(sizes: tuple[int, int], rows: int) -> list[Counts]:
    """The tables of all units with at most `rows` rows, none included."""
    cells = list(product(*(range(size) for size in sizes)))
    units = []
    for count in range(rows + 1):
        for chosen in combinations_with_replacement(cells, count):
            table = np.zeros(sizes, dtype=np.int64)
            for cell in chosen:
                table[cell] += 1
            units.append(table)
    return units


def _marginal(joint: Counts, clique: tuple[str, ...]) -> Counts:
    return np.asarray(joint.sum(axis=tuple(axis for axis in (0, 1) if "ab"[axis] not in clique)))
