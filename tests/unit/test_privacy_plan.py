"""The compiled plan: layout, accounting, limits, and the same bytes everywhere."""

import os
import re
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from math import prod
from pathlib import Path

import pytest

from protocol.canonical import decode, fraction_text
from protocol.errors import UsageError
from protocol.privacy import plan as plan_module
from protocol.privacy.conversion import epsilon_of, rho_of
from protocol.privacy.expectation import cell_variance, expected_errors
from protocol.privacy.limits import check_overflow
from protocol.privacy.plan import StatisticsPlan, check_within_budget, compile_plan
from protocol.privacy.residuals import subsets
from protocol.study.document import parse_study
from protocol.study.graph import Clique
from protocol.study.study import Study
from tests.support.studies import STUDY_TEXT, edited, measured_study

ROOT = Path(__file__).resolve().parents[2]
STUDY = parse_study(STUDY_TEXT)
PLAN = compile_plan(STUDY)
CHAIN = ["a -> b", "b -> c"]


def test_blocks_are_every_subset_of_every_family_once_the_smaller_first() -> None:
    assert [block.clique for block in compile_plan(_chain()).blocks] == [
        (),
        ("a",),
        ("b",),
        ("c",),
        ("a", "b"),
        ("b", "c"),
    ]


def test_blocks_fill_the_flat_vector_without_a_gap() -> None:
    offset = 0
    for block in PLAN.blocks:
        assert block.span == slice(offset, offset + block.size)
        assert block.shape == STUDY.sizes(block.clique)
        offset += block.size
    assert offset == PLAN.length


def test_a_block_is_found_by_its_clique() -> None:
    assert PLAN.block(("quit",)).clique == ("quit",)
    with pytest.raises(KeyError):
        PLAN.block(("exercise", "weight"))


def test_families_are_one_per_node_in_the_order_of_the_graph() -> None:
    assert PLAN.families == STUDY.families
    assert PLAN.tables() == STUDY.causal_graph.families()


@pytest.mark.parametrize(
    "budget",
    ["epsilon = 3, delta = 1e-6", "epsilon = 0.01, delta = 1e-9", "rho = 0.05", "rho = 1e-9"],
)
@pytest.mark.parametrize(("n_min", "rows"), [(3, 1), (20, 1), (3, 50)])
def test_the_costs_of_the_blocks_add_up_to_the_budget_and_never_above(
    budget: str, n_min: int, rows: int
) -> None:
    study = _chain(budget=budget, n_min=n_min, rows=rows)
    allowed, _ = plan_module.budget_of(study.budget)
    plan = compile_plan(study)
    assert plan.rho == sum(block.rho for block in plan.blocks)
    assert allowed * Fraction(9999, 10_000) <= plan.rho <= allowed


def test_the_epsilon_of_a_plan_is_within_the_studys() -> None:
    assert 2.999 < PLAN.epsilon <= 3.0
    assert PLAN.rho <= rho_of(Fraction(3), PLAN.delta)


def test_a_budget_in_rho_reads_epsilon_off_at_one_in_a_million() -> None:
    plan = compile_plan(_chain(budget="rho = 0.05"))
    assert plan.delta == Fraction(1, 10**6)
    assert plan.epsilon == epsilon_of(plan.rho, plan.delta)


def test_more_rows_per_unit_need_as_many_times_the_noise() -> None:
    one, five = compile_plan(_chain()), compile_plan(_chain(rows=5))
    for single, bounded in zip(one.blocks, five.blocks, strict=True):
        assert bounded.squared_sensitivity == 25 * single.squared_sensitivity
        assert float(bounded.site_scale) == pytest.approx(5 * float(single.site_scale), rel=1e-4)


def test_colluders_are_made_up_for_by_the_noise_of_the_others() -> None:
    trusting, wary = compile_plan(_chain(n_min=4)), compile_plan(_chain(n_min=4, colluders=2))
    assert (trusting.noise_shares, wary.noise_shares) == (4, 2)
    for few, many in zip(wary.blocks, trusting.blocks, strict=True):
        assert float(few.variance(2)) == pytest.approx(float(many.variance(4)), rel=1e-4)


def test_a_question_takes_noise_from_the_families_that_it_needs() -> None:
    asked, unasked = _deviations(_chain(questions=[("b", "c")])), _deviations(_chain())
    assert asked["c"] < unasked["c"]
    assert asked["a"] > unasked["a"]


def test_expected_errors_follow_from_the_variances_of_the_subsets() -> None:
    study = _chain()
    plan = compile_plan(study)
    by_node = {error.node: error for error in expected_errors(study, plan)}
    assert by_node["b"].family == ("a", "b")
    assert by_node["b"].cells == 6
    expected = 0.0
    for clique, share in (
        ((), 1 / 4 / 9),
        (("a",), 1 / 2 / 9),
        (("b",), 2 / 3 / 4),
        (("a", "b"), 1 / 2 * 2 / 3),
    ):
        block = plan.block(clique)
        expected += 3 * float(block.site_scale) ** 2 / prod(block.shape) ** 2 * share
    assert by_node["b"].cell_deviation == pytest.approx(expected**0.5)
    assert cell_variance(plan, ("a", "b"), 6) == 2 * cell_variance(plan, ("a", "b"), 3)


def test_scales_are_on_the_grid_and_at_least_three() -> None:
    plan = compile_plan(_chain(budget="rho = 0.8"))
    assert all((block.site_scale * 2**16).denominator == 1 for block in plan.blocks)
    assert min(block.site_scale for block in plan.blocks) == 3  # held, the others got the rest
    assert max(block.site_scale for block in plan.blocks) > 3


def test_a_budget_that_would_push_noise_below_scale_3_is_refused_with_one_that_would_not() -> None:
    with pytest.raises(UsageError) as refusal:
        compile_plan(_chain(budget="epsilon = 60, delta = 1e-6"))
    assert refusal.value.code == "noise-scale-too-small"
    assert "all 6 blocks at that scale" in refusal.value.cause
    rho, epsilon = re.findall(r"(?:rho|epsilon) = ([0-9.]+) or less", refusal.value.remedy)
    for budget in (f"rho = {rho}", f"epsilon = {epsilon}, delta = 1e-6"):
        assert compile_plan(_chain(budget=budget)).rho > 0


def test_a_family_of_too_many_cells_is_refused() -> None:
    study = measured_study({"a": 2000, "b": 600, "c": 2}, CHAIN)
    assert _refusal_of(study).code == "family-too-large"


def test_a_family_with_too_many_subsets_is_refused_before_they_are_listed() -> None:
    parents = [f"p{number}" for number in range(16)]
    study = measured_study(dict.fromkeys([*parents, "node"], 2), [f"{p} -> node" for p in parents])
    assert _refusal_of(study).code == "plan-too-large"


def test_a_plan_of_too_many_subsets_is_refused_before_those_of_all_families_are_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"v{number:02}" for number in range(40)]
    edges = [f"{a} -> {b}" for at, b in enumerate(names) for a in names[max(0, at - 14) : at]]
    listed: list[Clique] = []

    def counted(family: Clique) -> tuple[Clique, ...]:
        listed.append(family)
        return subsets(family)

    monkeypatch.setattr("protocol.privacy.statistics.subsets", counted)
    assert _refusal_of(measured_study(dict.fromkeys(names, 2), edges)).code == "plan-too-large"
    assert len(listed) < 20


def test_a_plan_of_too_many_cells_is_refused() -> None:
    sizes = {f"v{number}": 1000 for number in range(18)}
    names = list(sizes)
    edges = [f"{a} -> {b}" for a, b in pairwise(names)]
    assert _refusal_of(measured_study(sizes, edges)).code == "plan-too-large"


def test_sums_that_could_leave_the_ring_are_refused() -> None:
    refusal = _refusal_of(measured_study({"a": 600, "b": 2}, ["a -> b"], rows=1_000_000))
    assert refusal.code == "sum-could-overflow"
    check_overflow((), Fraction(2**62 - 1))
    with pytest.raises(UsageError, match="the row count"):
        check_overflow((), Fraction(2**62))


def test_noise_beyond_what_a_float_holds_exactly_is_refused() -> None:
    sizes = {f"v{number}": 2 for number in range(20)}
    edges = [f"{a} -> {b}" for a, b in pairwise(sizes)]
    study = measured_study(sizes, edges, budget="rho = 1e-9", rows=1_000_000, n_min=2)
    assert _refusal_of(study).code == "noise-scale-too-large"


def test_every_scale_of_a_plan_is_exactly_a_float() -> None:
    plan = compile_plan(_chain(budget="rho = 1e-9", rows=50))
    assert all(Fraction(float(block.site_scale)) == block.site_scale for block in plan.blocks)


def test_blocks_that_cost_more_than_the_budget_are_a_bug_that_is_caught() -> None:
    check_within_budget(PLAN, PLAN.rho)
    for budget in (PLAN.rho * Fraction(999_999, 10**6), PLAN.rho * Fraction(1001, 1000)):
        with pytest.raises(AssertionError, match="of a budget of"):
            check_within_budget(PLAN, budget)


def test_the_hash_covers_every_block_and_the_study() -> None:
    document = decode(PLAN.canonical)
    assert isinstance(document, dict)
    assert document["study"] == STUDY.hash.hex()
    assert document["rho"] == fraction_text(PLAN.rho)
    blocks = document["blocks"]
    assert isinstance(blocks, list)
    assert len(blocks) == len(PLAN.blocks)
    other = compile_plan(parse_study(edited("n_min = 3", "n_min = 3 # three")))
    assert (other, other.hash) == (PLAN, PLAN.hash)
    assert compile_plan(parse_study(edited("seed = 1", "seed = 2", _seeded()))).hash != PLAN.hash


@pytest.mark.parametrize("seed", ["1", "2024"])
def test_another_process_with_another_hash_seed_makes_the_same_bytes(seed: str) -> None:
    program = (
        "import sys; from protocol.study.document import parse_study;"
        "from protocol.privacy.plan import compile_plan;"
        "sys.stdout.buffer.write(compile_plan(parse_study(sys.stdin.read())).canonical)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=STUDY_TEXT.encode(),
        capture_output=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == PLAN.canonical


def _chain(
    *,
    budget: str = "rho = 0.05",
    rows: int = 1,
    n_min: int = 3,
    colluders: int = 0,
    questions: list[tuple[str, str]] | None = None,
) -> Study:
    return measured_study(
        {"a": 2, "b": 3, "c": 4},
        CHAIN,
        budget=budget,
        rows=rows,
        n_min=n_min,
        colluders=colluders,
        questions=questions or (),
    )


def _seeded() -> str:
    return STUDY_TEXT + "\n[synthetic]\nseed = 1\n"


def _deviations(study: Study) -> dict[str, float]:
    plan: StatisticsPlan = compile_plan(study)
    return {error.node: error.cell_deviation for error in expected_errors(study, plan)}


def _refusal_of(study: Study) -> UsageError:
    with pytest.raises(UsageError) as refusal:
        compile_plan(study)
    return refusal.value
