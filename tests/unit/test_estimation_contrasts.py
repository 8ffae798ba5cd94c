from functools import cache

import numpy as np
import pytest
from numpy.random import default_rng

from protocol.errors import UsageError
from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.privacy.residuals import rebuild, subsets
from server.estimation.consistency import consistent_tables
from server.estimation.contrasts import (
    FamilyMap,
    Layout,
    coordinates_of,
    family_map,
    helmert,
    layout_of,
)
from server.estimation.evidence import NoisySum
from tests.support.networks import Network, counts, mixed, release

MADE: Network = mixed()
SIZES = {name: variable.size for name, variable in MADE.study.variables.items()}


@cache
def plan() -> StatisticsPlan:
    return compile_plan(MADE.study)


def noisy_sum(seed: int) -> NoisySum:
    generator = default_rng(seed)
    return release(plan(), MADE.records(400, generator), MADE.study, generator)


def maps(layout: Layout) -> list[FamilyMap]:
    return [family_map(family, layout) for family in MADE.study.causal_graph.families()]


@pytest.mark.parametrize("size", [2, 3, 7, 40])
def test_helmert_matrix_is_orthonormal_with_a_constant_first_row(size: int) -> None:
    matrix = helmert(size)
    assert matrix @ matrix.T == pytest.approx(np.eye(size), abs=1e-12)
    assert matrix[0] == pytest.approx(np.full(size, size**-0.5))


def test_tables_of_coordinates_are_those_that_components_rebuild() -> None:
    noisy = noisy_sum(1)
    layout = layout_of(noisy, SIZES)
    observed, _ = coordinates_of(noisy, layout)
    for one in maps(layout):
        parts = {clique: noisy.component(clique) for clique in subsets(one.family)}
        expected = rebuild(parts, one.family, MADE.study.sizes(one.family))
        assert one.table(observed) == pytest.approx(expected, abs=1e-8)


def test_tables_without_noise_are_the_data() -> None:
    records = MADE.records(400, default_rng(2))
    noisy = release(plan(), records, MADE.study, None)
    layout = layout_of(noisy, SIZES)
    observed, _ = coordinates_of(noisy, layout)
    for one in maps(layout):
        assert one.table(observed) == pytest.approx(counts(records, one.family, MADE.study))


def test_adjoint_is_the_transpose_of_the_map() -> None:
    layout = layout_of(noisy_sum(1), SIZES)
    generator = default_rng(3)
    for one in maps(layout):
        coordinates = generator.normal(size=layout.length)
        table = generator.normal(size=one.places.shape)
        there = (one.table(coordinates) * table).sum()
        back = coordinates @ one.adjoint(table, layout.length)
        assert there == pytest.approx(back)


def test_coordinates_carry_noise_of_the_promised_variance() -> None:
    exact = release(plan(), MADE.records(300, default_rng(4)), MADE.study, None)
    layout = layout_of(exact, SIZES)
    truth, variance = coordinates_of(exact, layout)
    standard = []
    for seed in range(300):
        noise = default_rng(seed).normal(size=plan().length)
        scales = np.concatenate(
            [np.full(block.size, float(block.variance(3)) ** 0.5) for block in plan().blocks]
        )
        values = exact.values + np.rint(noise * scales).astype(np.int64)
        observed, _ = coordinates_of(NoisySum(plan(), values, 3), layout)
        standard.append((observed - truth) / np.sqrt(variance))
    spread = np.array(standard)
    # 300 draws of about 70 coordinates: each variance within 5 standard errors of 1
    assert np.abs(spread.var(axis=0) - 1).max() < 5 * (2 / 300) ** 0.5
    correlation = np.corrcoef(spread.T) - np.eye(layout.length)
    assert np.abs(correlation).max() < 6 / 300**0.5


def test_cell_variance_is_that_of_the_rebuilt_table() -> None:
    layout = layout_of(noisy_sum(1), SIZES)
    _, variance = coordinates_of(noisy_sum(1), layout)
    for one in maps(layout):
        identity = np.eye(one.places.size).reshape(-1, *one.places.shape)
        columns = np.array([one.adjoint(cell, layout.length) for cell in identity])
        covariance = (columns * variance) @ columns.T
        assert one.cell_variance(variance).mean() == pytest.approx(np.diag(covariance).mean())


def test_consistent_tables_are_non_negative_and_agree_with_each_other() -> None:
    noisy = noisy_sum(5)
    layout = layout_of(noisy, SIZES)
    observed, variance = coordinates_of(noisy, layout)
    tables = consistent_tables(maps(layout), observed, variance)
    total = observed[0]
    by_node = dict(zip(MADE.nodes, tables, strict=True))
    assert all((table >= 0).all() for table in tables)
    assert [table.sum() for table in tables] == pytest.approx([total] * 5, rel=1e-3)
    dose = by_node["dose"].sum(axis=(0, 1))
    assert by_node["event"].sum(axis=1) == pytest.approx(dose, abs=1e-3 * total)
    assert by_node["fever"].sum(axis=(1, 2)) == pytest.approx(dose, abs=1e-3 * total)


def test_consistent_tables_of_exact_counts_are_the_counts() -> None:
    records = MADE.records(50_000, default_rng(6))
    noisy = release(plan(), records, MADE.study, None)
    layout = layout_of(noisy, SIZES)
    observed, variance = coordinates_of(noisy, layout)
    tables = consistent_tables(maps(layout), observed, variance)
    for one, table in zip(maps(layout), tables, strict=True):
        expected = counts(records, one.family, MADE.study)
        assert np.abs(table - expected).sum() < 1e-3 * len(records)


@pytest.mark.parametrize("sign", [0, -1], ids=["no data", "all negative"])
def test_consistent_tables_exist_without_any_signal(sign: int) -> None:
    values = np.full(plan().length, sign * 10_000, dtype=np.int64)
    noisy = NoisySum(plan(), values, 3)
    layout = layout_of(noisy, SIZES)
    tables = consistent_tables(maps(layout), *coordinates_of(noisy, layout))
    assert all(np.isfinite(table).all() and (table >= 0).all() for table in tables)


@pytest.mark.parametrize(
    ("values", "contributors", "code"),
    [
        (np.zeros(3, dtype=np.int64), 3, "not-the-plan"),
        (np.zeros(plan().length), 3, "not-the-plan"),
        (np.zeros(plan().length, dtype=np.int64), 0, "no-contributors"),
    ],
    ids=["another length", "floats", "nobody"],
)
def test_sum_that_no_round_gives_is_refused(
    values: np.ndarray, contributors: int, code: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        NoisySum(plan(), values, contributors)
    assert refusal.value.code == code
