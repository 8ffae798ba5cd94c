"""Two rounds over the same records, read as one."""

from functools import cache

import numpy as np
import pytest
from numpy.random import default_rng

from protocol.errors import UsageError
from protocol.privacy.plan import compile_plan
from protocol.study.document import parse_study
from protocol.study.study import Study
from server.causal.mechanisms.mechanism import TableMechanism
from server.estimation.combination import check_follows, combined
from server.estimation.contrasts import coordinates_of, plan_layout
from server.estimation.evidence import NoisySum
from server.estimation.fit import fit
from tests.support.networks import mixed, release
from tests.support.studies import STUDY_TEXT, edited, measured_study

MADE = mixed()
FIRST = parse_study(STUDY_TEXT)


@cache
def two_sums() -> tuple[NoisySum, NoisySum]:
    generator, plan = default_rng(5), compile_plan(MADE.study)
    records = MADE.records(2000, generator)
    first = release(plan, records, MADE.study, generator)
    return first, release(plan, records, MADE.study, generator)


def following(text: str = STUDY_TEXT, follows: str = FIRST.hash.hex()) -> Study:
    return parse_study(f'{text}\n[plan]\nfollows = "{follows}"\n')


def test_combined_coordinates_are_weighted_by_their_precision() -> None:
    first, second = two_sums()
    layout = plan_layout(first.plan)
    (one, variance), (two, _) = coordinates_of(first, layout), coordinates_of(second, layout)
    values, left = combined([first, second], layout)
    assert values == pytest.approx((one + two) / 2)
    assert left == pytest.approx(variance / 2)


def test_a_sum_alone_is_left_as_it_is() -> None:
    first, _ = two_sums()
    layout = plan_layout(first.plan)
    for found, expected in zip(
        combined([first], layout), coordinates_of(first, layout), strict=True
    ):
        assert found == pytest.approx(expected)


def test_a_precise_earlier_round_decides_a_vague_later_one() -> None:
    edges, sizes = ["a -> b"], {"a": 2, "b": 3}
    vague, precise = (
        measured_study(sizes, edges, budget=budget) for budget in ("rho = 0.0001", "rho = 0.3")
    )
    counts = np.array([[30, 50, 20], [60, 30, 10]]) * 100
    sums = []
    for study, seed in ((vague, 1), (precise, 2)):
        plan = compile_plan(study)
        records = np.repeat(np.array(list(np.ndindex(2, 3))), counts.ravel(), axis=0)
        sums.append(release(plan, records, study, default_rng(seed)))
    model = fit(vague, sums[0].plan, sums[0], earlier=[sums[1]], draws=20, seed=1)
    expected = counts / counts.sum(axis=1, keepdims=True)
    found = model.mechanisms["b"]
    assert isinstance(found, TableMechanism)
    assert found.table == pytest.approx(expected, abs=0.02)


def test_sums_of_another_graph_are_not_combined() -> None:
    first, _ = two_sums()
    other = compile_plan(measured_study({"a": 2, "b": 3}, ["a -> b"]))
    zeros = NoisySum(other, np.zeros(other.length, dtype=np.int64), 3)
    with pytest.raises(UsageError) as refusal:
        combined([first, zeros], plan_layout(first.plan))
    assert refusal.value.code == "other-measures"


def test_sums_of_other_domains_are_not_combined() -> None:
    plans = [compile_plan(measured_study({"a": 2, "b": size}, ["a -> b"])) for size in (3, 4)]
    sums = [NoisySum(plan, np.zeros(plan.length, dtype=np.int64), 3) for plan in plans]
    with pytest.raises(UsageError) as refusal:
        combined(sums, plan_layout(plans[0]))
    assert refusal.value.code == "other-measures"


def test_sums_over_other_survivors_are_not_combined() -> None:
    first, second = two_sums()
    fewer = NoisySum(second.plan, second.values, 2)
    with pytest.raises(UsageError) as refusal:
        fit(MADE.study, first.plan, first, earlier=[fewer], draws=20, seed=1)
    assert refusal.value.code == "other-survivors"


def test_a_study_follows_the_one_that_it_names() -> None:
    check_follows(following(), FIRST)
    check_follows(following(edited("epsilon = 3.0", "epsilon = 1.0")), FIRST)


@pytest.mark.parametrize("study", [FIRST, following(follows="0" * 64)], ids=["none", "another"])
def test_a_study_that_names_another_does_not_follow(study: Study) -> None:
    with pytest.raises(UsageError) as refusal:
        check_follows(study, FIRST)
    assert refusal.value.code == "does-not-follow"


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ('levels = ["female", "male"]', 'levels = ["male", "female"]', "variables"),
        ('    "sex -> weight",\n', "", "graph"),
        ("[cohort]", "[unit]\nmax_rows_per_unit = 2\n\n[cohort]", "unit"),
        ("[graph]", '[mechanisms]\nage = "gaussian"\n\n[graph]', "mechanisms"),
    ],
)
def test_a_study_that_counts_something_else_does_not_follow(old: str, new: str, part: str) -> None:
    with pytest.raises(UsageError, match=part) as refusal:
        check_follows(following(edited(old, new)), FIRST)
    assert refusal.value.code == "other-measures"
