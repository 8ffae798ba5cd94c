"""Families without the codes that only data have."""

import numpy as np
import pytest
from numpy.random import default_rng

from server.estimation.contrasts import helmert
from server.estimation.family import NoisyFamily
from server.estimation.selection import restricted


def family(parents: tuple[int, ...], codes: int) -> NoisyFamily:
    rows = int(np.prod(parents))
    table = default_rng(1).uniform(10, 20, (rows, codes))
    return NoisyFamily(
        table=table + default_rng(2).standard_normal(table.shape),
        totals=table.sum(axis=1),
        base=table.sum(axis=0) / table.sum(),
        parent_sizes=parents,
        contrast_variance=4.0,
        total_variance=9.0,
        scores=tuple(float(code) for code in range(codes)),
        consistent=table,
        possible=np.arange(rows)[:, None] % 2 + np.arange(codes) != 1,
    )


def test_family_without_such_codes_stays_as_it_is() -> None:
    whole = family((2, 3), 4)
    assert restricted(whole, (2, 3, 4)) is whole


def test_codes_of_parents_and_node_are_cut_away() -> None:
    whole = family((2, 3), 4)
    part = restricted(whole, (2, 2, 3))
    rows = [0, 1, 3, 4]  # the last parent runs fastest
    assert (part.table == whole.table[rows][:, :3]).all()
    assert whole.consistent is not None
    assert part.consistent is not None
    assert whole.possible is not None
    assert part.possible is not None
    assert (part.consistent == whole.consistent[rows][:, :3]).all()
    assert (part.possible == whole.possible[rows][:, :3]).all()
    assert part.parent_sizes == (2, 2)
    assert part.scores == (0.0, 1.0, 2.0)
    assert part.base.sum() == pytest.approx(1)
    assert part.base[0] / part.base[1] == pytest.approx(whole.base[0] / whole.base[1])


def test_totals_are_those_of_what_is_left() -> None:
    whole = family((2, 3), 4)
    part = restricted(whole, (2, 3, 3))
    assert whole.consistent is not None
    assert part.totals == pytest.approx(whole.consistent[:, :3].sum(axis=1))


def test_totals_without_a_consistent_table_are_never_negative() -> None:
    whole = family((2,), 3)
    bare = NoisyFamily(
        table=-whole.table,
        totals=whole.totals,
        base=whole.base,
        parent_sizes=(2,),
        contrast_variance=4.0,
        total_variance=9.0,
        scores=None,
    )
    assert (restricted(bare, (2, 2)).totals == 0).all()


def test_cutting_parents_alone_keeps_the_noise() -> None:
    whole = family((2, 3), 4)
    part = restricted(whole, (2, 2, 4))
    assert part.contrast_variance == whole.contrast_variance
    assert part.total_variance == pytest.approx(whole.total_variance)


def test_noise_of_a_total_over_fewer_codes_is_exact() -> None:
    whole = family((1,), 5)
    basis = helmert(5)
    deviations = np.sqrt([whole.total_variance / 5, *[whole.contrast_variance] * 4])
    rows = (default_rng(3).standard_normal((200_000, 5)) * deviations) @ basis
    assert rows.sum(axis=1).var() == pytest.approx(whole.total_variance, rel=0.02)
    part = restricted(whole, (1, 3))
    assert rows[:, :3].sum(axis=1).var() == pytest.approx(part.total_variance, rel=0.02)
    inside = rows[:, :3] @ np.array([1.0, -1.0, 0.0]) / np.sqrt(2)
    assert inside.var() == pytest.approx(part.contrast_variance, rel=0.02)
