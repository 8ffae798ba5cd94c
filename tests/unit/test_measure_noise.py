"""The noise: on every element, at its block's scale, fresh each time, from OpenDP alone."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from client.measure.noise import add_noise, check_cost, gaussian
from protocol.privacy.plan import compile_plan
from tests.support.tables_study import ward_study

PLAN = compile_plan(ward_study())


def test_noise_is_integer_and_leaves_the_statistics_as_they_were() -> None:
    statistics = np.arange(PLAN.length, dtype=np.int64)
    noisy = add_noise(PLAN, statistics)
    assert noisy.dtype == np.int64
    assert noisy.shape == (PLAN.length,)
    assert statistics.tolist() == list(range(PLAN.length))


def test_noise_is_added_to_the_statistics_and_not_in_their_place() -> None:
    statistics = np.full(PLAN.length, 10**12, np.int64)
    largest = float(max(block.site_scale for block in PLAN.blocks))
    assert np.abs(add_noise(PLAN, statistics) - 10**12).max() < 64 * largest


def test_every_block_is_noised() -> None:
    noise = add_noise(PLAN, np.zeros(PLAN.length, np.int64))
    tables = [noise[block.span] for block in PLAN.blocks if block.size >= 3]
    assert len(tables) > 5
    assert all(table.any() for table in tables)


def test_two_calls_draw_different_noise() -> None:
    zeros = np.zeros(PLAN.length, np.int64)
    assert not np.array_equal(add_noise(PLAN, zeros), add_noise(PLAN, zeros))


def test_opendps_privacy_map_agrees_with_the_plans_cost_of_every_block() -> None:
    for block in PLAN.blocks:
        check_cost(gaussian(block.site_scale), block, PLAN.noise_shares)


@pytest.mark.parametrize("factor", [Fraction(99, 100), Fraction(101, 100)])
def test_noise_at_another_scale_than_the_plan_charges_for_is_a_bug(factor: Fraction) -> None:
    block = PLAN.blocks[-1]
    with pytest.raises(AssertionError, match="OpenDP finds rho"):
        check_cost(gaussian(block.site_scale * factor), block, PLAN.noise_shares)


def test_a_plan_with_a_wrong_sensitivity_releases_nothing() -> None:
    first, *others = PLAN.blocks
    wrong = replace(first, squared_sensitivity=first.squared_sensitivity * 2)
    with pytest.raises(AssertionError, match="OpenDP finds rho"):
        add_noise(replace(PLAN, blocks=(wrong, *others)), np.zeros(PLAN.length, np.int64))


def test_every_scale_of_a_plan_is_a_double() -> None:
    assert all(Fraction(float(b.site_scale)) == b.site_scale for b in PLAN.blocks)
