"""Two sums in the form of one: their average by inverse variance, to be shown."""

import numpy as np
import pytest
from numpy.random import default_rng

from protocol.privacy.plan import compile_plan
from protocol.study.document import parse_study
from server.estimation.combination import combined
from server.estimation.contrasts import coordinates_of, plan_layout
from server.estimation.evidence import NoisySum
from server.release.pooling import pooled
from tests.support.networks import mixed, release
from tests.support.studies import MIXED_TEXT, edited, measured_study

EDGES, SIZES = ["a -> b", "a -> c"], {"a": 2, "b": 3, "c": 4}


def sums() -> tuple[NoisySum, NoisySum]:
    first, second = (
        measured_study(SIZES, EDGES, budget=budget) for budget in ("rho = 0.002", "rho = 0.05")
    )
    records = default_rng(1).integers(0, 2, (500, 3))
    return (
        release(compile_plan(first), records, first, default_rng(2)),
        release(compile_plan(second), records, second, default_rng(3)),
    )


def test_pooled_sums_hold_the_combined_coordinates_with_their_variance() -> None:
    first, second = sums()
    layout = plan_layout(first.plan)
    values, variances = coordinates_of(pooled(first, second), layout)
    expected, expected_variances = combined([first, second], layout)
    assert variances == pytest.approx(expected_variances)
    assert values == pytest.approx(expected, abs=1.0)  # integers again


def test_pooling_leaves_its_sums_as_they_are() -> None:
    first, second = sums()
    before = first.values.copy()
    pooled(first, second)
    assert np.array_equal(first.values, before)


def test_equal_sums_pooled_have_half_the_variance() -> None:
    made, generator = mixed(), default_rng(4)
    plan = compile_plan(made.study)
    one = release(plan, made.records(300, generator), made.study, generator)
    both = pooled(one, one)
    assert np.array_equal(both.values, one.values)
    assert both.variance(()) == pytest.approx(one.variance(()) / 2)


def test_blocks_that_are_no_residual_tables_stay_as_they_are() -> None:
    texts = (MIXED_TEXT, edited("rho = 0.5", "rho = 0.1", MIXED_TEXT))
    plans = [compile_plan(parse_study(text)) for text in texts]
    numbers = [
        NoisySum(plan, default_rng(seed).integers(-99, 99, plan.length), 3)
        for seed, plan in enumerate(plans)
    ]
    found = pooled(*numbers)
    others = [block for block in plans[0].blocks if block.kind != "residual"]
    assert others
    for block in others:
        assert np.array_equal(found.values[block.span], numbers[0].values[block.span])
        assert found.plan.block(block.clique, block.population, block.kind) == block
