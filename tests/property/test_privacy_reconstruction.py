"""From noisy residuals back to marginals: exact without noise, unbiased with it, known variance.

Statistical checks draw 4000 tables from a fixed seed and allow five standard errors: with about
40 cells, a change of seed fails by chance less than once in 10,000.
"""

from itertools import combinations
from math import prod, sqrt

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from protocol.privacy.expectation import cell_variance
from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.privacy.residuals import Counts, components, rebuild, residual_table, subsets
from tests.support.studies import measured_study

DRAWS = 4000
SIZES = {"a": 2, "b": 3, "c": 4}
STUDY = measured_study(SIZES, ["a -> b", "b -> c", "a -> c"], n_min=5, colluders=1)
PLAN = compile_plan(STUDY)
FAMILY = ("a", "b", "c")
JOINT = np.random.default_rng(5).integers(0, 100, size=tuple(SIZES.values()))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(sizes=st.lists(st.integers(2, 5), min_size=0, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_without_noise_every_marginal_is_rebuilt_exactly(sizes: list[int], seed: int) -> None:
    names = tuple("abcd"[: len(sizes)])
    joint = np.random.default_rng(seed).integers(0, 10**6, size=tuple(sizes))
    parts = {
        clique: components(residual_table(_marginal(joint, names, clique)).astype(float))
        for clique in subsets(names)
    }
    for count in range(len(names) + 1):
        for family in combinations(names, count):
            rebuilt = rebuild(parts, family, [sizes[names.index(name)] for name in family])
            assert np.allclose(rebuilt, _marginal(joint, names, family), rtol=1e-9, atol=1e-6)


def test_rebuilt_marginals_are_unbiased() -> None:
    draws = _rebuilt_draws()
    error = sqrt(cell_variance(PLAN, FAMILY, 5) / DRAWS)
    assert np.abs(draws.mean(axis=0) - JOINT).max() < 5 * error


def test_the_variance_formula_is_what_simulation_finds_in_every_cell() -> None:
    observed = _rebuilt_draws().var(axis=0, ddof=1)
    expected = float(cell_variance(PLAN, FAMILY, 5))
    assert np.abs(observed / expected - 1).max() < 5 * sqrt(2 / DRAWS)


def _rebuilt_draws() -> NDArray[np.float64]:
    """Tables of `FAMILY` rebuilt from residuals with the noise of five sites; shape (4000, ...)."""
    generator = np.random.default_rng(7)
    return np.stack([rebuild(_noisy(PLAN, generator), FAMILY, (2, 3, 4)) for _ in range(DRAWS)])


def _noisy(
    plan: StatisticsPlan, generator: np.random.Generator
) -> dict[tuple[str, ...], NDArray[np.float64]]:
    return {
        block.clique: components(
            residual_table(_marginal(JOINT, FAMILY, block.clique))
            + generator.normal(0, sqrt(block.variance(5)), size=block.shape)
        )
        for block in plan.blocks
        if prod(block.shape) > 0
    }


def _marginal(joint: Counts, names: tuple[str, ...], clique: tuple[str, ...]) -> Counts:
    dropped = tuple(axis for axis, name in enumerate(names) if name not in clique)
    return np.asarray(joint.sum(axis=dropped))
