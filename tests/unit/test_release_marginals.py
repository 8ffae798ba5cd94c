"""Noisy marginals are unbiased, and their whiskers are as long as the noise is large."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.privacy.residuals import residual_table
from server.estimation.evidence import NoisySum
from server.release.basis import Basis
from server.release.marginals import Marginal, compare_marginals, noisy_rows
from tests.support.release_rounds import basis_of, play_round

COUNTS = {"shift": [6000, 4000], "coffee": [2500, 7500], "sleep": [1000, 7000, 2000]}
TALLIES = {node: np.array(counts, dtype=np.int64) for node, counts in COUNTS.items()}


@pytest.fixture(scope="module")
def basis() -> Basis:
    return basis_of(play_round())


def exact_sum(basis: Basis) -> NDArray[np.int64]:
    """The sum of data with the one-way counts of COUNTS, without noise."""
    values = np.zeros(basis.plan.length, dtype=np.int64)
    values[basis.plan.block(()).offset] = 10_000
    for node, counts in COUNTS.items():
        values[basis.plan.block((node,)).span] = residual_table(np.array(counts, dtype=np.int64))
    return values


def compare(basis: Basis, values: NDArray[np.int64]) -> tuple[Marginal, ...]:
    noisy = NoisySum(plan=basis.plan, values=values, contributors=3)
    return compare_marginals(basis.study, noisy, TALLIES)


def test_without_noise_the_released_shares_are_those_of_the_data(basis: Basis) -> None:
    for marginal in compare(basis, exact_sum(basis)):
        shares = np.array(COUNTS[marginal.node]) / 10_000
        np.testing.assert_allclose(marginal.released, shares, atol=1e-12)
        np.testing.assert_allclose(marginal.synthetic, shares, atol=1e-12)
        assert marginal.distance == pytest.approx(0.0, abs=1e-12)


def test_marginals_come_in_topological_order_with_the_labels_of_the_study(basis: Basis) -> None:
    marginals = compare(basis, exact_sum(basis))
    assert tuple(it.node for it in marginals) == basis.study.causal_graph.nodes
    assert all(it.labels == basis.study.variables[it.node].labels for it in marginals)


def test_whiskers_are_as_long_as_the_noise_is_large(basis: Basis) -> None:
    rng = np.random.default_rng(5)
    exact = exact_sum(basis)
    deviations = np.zeros(basis.plan.length)
    for block in basis.plan.blocks:
        deviations[block.span] = float(block.variance(3)) ** 0.5
    runs = [
        compare(basis, exact + np.rint(rng.normal(0, deviations)).astype(np.int64))
        for _ in range(600)
    ]
    for index, promised in enumerate(compare(basis, exact)):
        seen = np.std([run[index].released for run in runs], axis=0)
        np.testing.assert_allclose(seen, promised.deviation, rtol=0.15)


def test_without_a_positive_row_count_there_is_nothing_to_compare(basis: Basis) -> None:
    values = exact_sum(basis)
    values[basis.plan.block(()).offset] = -3
    assert compare(basis, values) == ()


def test_the_row_count_comes_with_the_deviation_of_its_noise(basis: Basis) -> None:
    rows, deviation = noisy_rows(replace(basis.noisy, values=exact_sum(basis)))
    assert rows == 10_000
    assert deviation == pytest.approx(float(basis.plan.block(()).site_scale) * 3**0.5)
