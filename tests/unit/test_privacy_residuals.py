"""Residual tables, components and rebuilt marginals: exact without noise."""

from itertools import combinations

import numpy as np
import pytest

from protocol.privacy.residuals import Counts, components, rebuild, residual_table, subsets

SIZES = {"a": 2, "b": 3, "c": 4}


def test_the_residual_of_nothing_is_the_row_count() -> None:
    assert residual_table(np.array(41, dtype=np.int64)) == 41
    assert components(np.array(41.0)) == 41.0


def test_a_residual_table_is_the_kronecker_product_of_centrings() -> None:
    table = np.arange(12).reshape(3, 4) ** 2
    centring = [size * np.eye(size) - 1 for size in table.shape]
    expected = np.kron(*centring) @ table.ravel()
    assert residual_table(table).ravel().tolist() == expected.tolist()


def test_a_residual_table_sums_to_zero_along_every_axis_and_leaves_its_argument_alone() -> None:
    table = np.arange(24).reshape(2, 3, 4)
    residual = residual_table(table)
    assert all(not residual.sum(axis=axis).any() for axis in range(3))
    assert table.tolist() == np.arange(24).reshape(2, 3, 4).tolist()


def test_components_drop_noise_that_no_table_could_have_caused() -> None:
    residual = residual_table(np.arange(12).reshape(3, 4)).astype(float)
    shifted = residual + np.arange(4.0)  # constant along the first axis
    assert components(shifted) == pytest.approx(components(residual))


def test_the_marginal_is_rebuilt_exactly_from_the_components_of_its_subsets() -> None:
    generator = np.random.default_rng(11)
    joint = generator.integers(0, 50, size=tuple(SIZES.values()))
    parts = {
        clique: components(residual_table(_marginal(joint, clique)).astype(float))
        for clique in subsets(("a", "b", "c"))
    }
    for family in (("a", "b", "c"), ("b", "c"), ("c",), ()):
        rebuilt = rebuild(parts, family, [SIZES[name] for name in family])
        assert rebuilt == pytest.approx(_marginal(joint, family))


def test_subsets_come_with_the_smaller_first() -> None:
    assert subsets(("a", "b")) == ((), ("a",), ("b",), ("a", "b"))
    assert subsets(()) == ((),)
    assert set(subsets(("x", "y", "z"))) >= set(combinations(("x", "y", "z"), 2))


def _marginal(joint: Counts, clique: tuple[str, ...]) -> Counts:
    dropped = tuple(axis for axis, name in enumerate(SIZES) if name not in clique)
    return np.asarray(joint.sum(axis=dropped))
