"""The accounting over studies of all shapes."""

from fractions import Fraction
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.privacy.plan import compile_plan
from tests.support.studies import measured_study

NAMES = ("a", "b", "c", "d", "e")
PAIRS = [f"{cause} -> {effect}" for cause, effect in combinations(NAMES, 2)]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.integers(2, 6), min_size=5, max_size=5),
    edges=st.lists(st.sampled_from(PAIRS), unique=True, max_size=8),
    rho=st.integers(1, 400_000),  # in millionths
    n_min=st.integers(2, 60),
    rows=st.integers(1, 20),
)
def test_the_sum_of_costs_is_the_budget_less_rounding_and_scales_stay_above_three(
    sizes: list[int], edges: list[str], rho: int, n_min: int, rows: int
) -> None:
    budget = Fraction(rho, 10**6 * n_min)
    study = measured_study(
        dict(zip(NAMES, sizes, strict=True)),
        edges,
        budget=f"rho = {float(budget):.12f}",
        n_min=n_min,
        rows=rows,
    )
    plan = compile_plan(study)
    allowed = Fraction(study.budget.rho or 0)
    assert allowed * Fraction(9999, 10_000) <= plan.rho <= allowed
    assert all(block.site_scale >= 3 for block in plan.blocks)
    for block in plan.blocks:
        gaussian = block.squared_sensitivity / (2 * plan.noise_shares * block.site_scale**2)
        assert gaussian <= block.rho < gaussian + Fraction(1, 2**80)
