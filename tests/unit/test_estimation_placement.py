"""Where values lie inside their bins."""

import numpy as np
import pytest
from numpy.random import default_rng

from server.estimation.placement import fit_placements, part_shares
from tests.support.mixed_rounds import release_columns, simulated

TEXT = """\
[variables]
crp = { kind = "numeric", edges = [0.1, 1, 10, 100], detail = 4, spacing = "log" }
age = { kind = "numeric", edges = [20, 50, 80] }
[graph]
edges = ["age -> crp"]
"""


def test_shares_without_noise_are_those_of_the_values() -> None:
    study, plan = simulated(TEXT)
    generator = default_rng(1)
    values = np.clip(np.exp(generator.normal(1.0, 1.0, 300_000)), 0.1, 100)
    columns = {"crp": values, "age": generator.uniform(20, 80, len(values))}
    noisy = release_columns(study, plan, columns, None)
    placements = fit_placements(study, [noisy], 20, default_rng(2))
    assert set(placements) == {"crp"}
    found = placements["crp"]
    counts = np.histogram(values, found.edges)[0].reshape(3, 4)
    expected = counts / counts.sum(axis=1, keepdims=True)
    assert found.edges[[0, 4, 8, 12]] == pytest.approx([0.1, 1, 10, 100])
    assert found.shares.shape == (21, 3, 4)
    assert found.shares[0] == pytest.approx(expected, abs=0.01)


def test_two_rounds_are_taken_together() -> None:
    study, plan = simulated(TEXT)
    values = np.full(40_000, 2.0)
    columns = {"crp": values, "age": np.full(len(values), 30.0)}
    spread = []
    for rounds in (1, 8):
        sums = [release_columns(study, plan, columns, default_rng(seed)) for seed in range(rounds)]
        shares = fit_placements(study, sums, 400, default_rng(3))["crp"].shares
        spread.append(shares[1:, 1].std(axis=0).max())
    assert spread[1] < 0.6 * spread[0]


def test_shares_of_noise_alone_are_even_and_their_draws_are_not_certain() -> None:
    generator = default_rng(4)
    found = part_shares(50.0 * generator.standard_normal((40, 5)), 2500.0, 500, generator)
    assert np.median(np.abs(found[0] - 0.2)) < 0.03
    assert np.median(found[1:].std(axis=0)) > 0.03


@pytest.mark.parametrize("fill", [0.0, -1e6, 1e6])
def test_any_counts_give_shares(fill: float) -> None:
    found = part_shares(np.full((2, 3), fill), 100.0, 50, default_rng(5))
    assert (found >= 0).all()
    assert found.sum(axis=-1) == pytest.approx(1.0)


@pytest.mark.parametrize("persons", [500, 5000])
def test_intervals_of_shares_cover(persons: int) -> None:
    truth, hits = np.array([[0.4, 0.3, 0.2, 0.1], [0.25, 0.3, 0.25, 0.2]]), []
    for seed in range(300):
        generator = default_rng(seed)
        exact = np.array([generator.multinomial(persons, row) for row in truth])
        found = part_shares(exact + 40 * generator.standard_normal((2, 4)), 1600.0, 100, generator)
        apart = np.abs(found[0] - truth) < 1.96 * found[1:].std(axis=0)
        hits.append(apart)
    assert 0.92 <= np.mean(hits) <= 0.99
