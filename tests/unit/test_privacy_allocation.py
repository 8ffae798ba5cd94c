"""The allocation is optimal, and the weights come from the questions."""

from fractions import Fraction
from math import prod

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, minimize

from protocol.privacy.allocation import WeightedFamily, allocate, cell_share, cost, objective
from protocol.privacy.roots import root_above, root_below
from protocol.privacy.weights import family_weights
from protocol.study.document import parse_study
from protocol.study.graph import Clique
from tests.support.studies import VISITS_TEXT, edited, measured_study

SIZES = {"a": 2, "b": 3, "c": 4}
FAMILIES = (
    WeightedFamily(("a",), (2,), Fraction(1)),
    WeightedFamily(("a", "b"), (2, 3), Fraction(4)),
    WeightedFamily(("b", "c"), (3, 4), Fraction(1)),
)
TOTAL = Fraction(1, 5)
NO_FLOOR = Fraction(0)


def test_the_closed_form_is_what_a_general_optimiser_finds() -> None:
    assert _objective_at(_closed_form(NO_FLOOR)) == pytest.approx(_optimum(NO_FLOOR), rel=1e-6)


@pytest.mark.parametrize("floor", [Fraction(12), Fraction(15), Fraction(18)])
def test_with_floors_it_is_still_what_a_general_optimiser_finds(floor: Fraction) -> None:
    variances = _closed_form(floor)
    assert min(variances.values()) == floor
    assert _objective_at(variances) == pytest.approx(_optimum(floor), rel=1e-5)


def test_the_whole_budget_is_spent_and_no_more() -> None:
    for floor in (NO_FLOOR, Fraction(15)):
        variances = _closed_form(floor)
        spent = sum(_cost(clique) / variance for clique, variance in variances.items())
        assert spent == TOTAL


def test_a_budget_beyond_what_the_floors_allow_leaves_everything_at_its_floor() -> None:
    assert set(_closed_form(Fraction(60)).values()) == {Fraction(60)}


def test_an_empty_clique_costs_its_full_share() -> None:
    assert cost(()) == 1
    assert cost((2, 3)) == Fraction(1, 3)
    assert cell_share(("a", "b"), (2, 3), ("b",)) == Fraction(1, 4) * Fraction(2, 3)


def test_a_shared_subset_is_counted_once_with_the_weight_of_all_its_families() -> None:
    coefficients = objective(FAMILIES)
    assert set(coefficients) == {(), ("a",), ("b",), ("c",), ("a", "b"), ("b", "c")}
    assert coefficients["b",] == 4 * 6 * Fraction(2, 3) / 4 + 12 * Fraction(2, 3) / 16


@pytest.mark.parametrize(
    "value", [Fraction(2), Fraction(1, 3), Fraction(1, 10**40), Fraction(10**40, 7), Fraction(0)]
)
def test_roots_enclose_the_real_root_closely(value: Fraction) -> None:
    low, high = root_below(value), root_above(value)
    assert low**2 <= value <= high**2
    assert high <= low * (1 + Fraction(1, 2**63))


def test_the_root_of_a_square_is_exact() -> None:
    assert root_below(Fraction(9, 4)) == root_above(Fraction(9, 4)) == Fraction(3, 2)


def test_families_that_a_question_needs_weigh_more_and_the_treatments_own_does_not() -> None:
    study = measured_study(
        dict.fromkeys(["cause", "treatment", "mediator", "outcome", "effect", "lone"], 2),
        [
            "cause -> treatment",
            "cause -> outcome",
            "treatment -> mediator",
            "mediator -> outcome",
            "outcome -> effect",
        ],
        questions=[("treatment", "outcome")],
    )
    assert family_weights(study) == {
        **dict.fromkeys(["cause", "mediator", "outcome"], 4),
        **dict.fromkeys(["treatment", "effect", "lone"], 1),
    }


def test_a_treatment_counts_where_another_question_needs_it() -> None:
    study = measured_study(
        dict.fromkeys(["a", "b", "c"], 2),
        ["a -> b", "b -> c"],
        questions=[("b", "c"), ("a", "c")],
    )
    assert family_weights(study) == {"a": 1, "b": 4, "c": 7}


def test_a_question_whose_answer_is_zero_by_the_graph_gets_no_weight() -> None:
    study = measured_study({"a": 2, "b": 2, "c": 2}, ["a -> b", "a -> c"], questions=[("b", "c")])
    assert family_weights(study) == {"a": 1, "b": 1, "c": 1}


def test_visits_share_the_weight_of_their_family_which_a_question_counts_once() -> None:
    """Drug is set at every visit; death at visit 2 has death at visits 1 and 0 behind it."""
    weights = family_weights(parse_study(VISITS_TEXT))
    assert {name for name, weight in weights.items() if weight > 1} == {"dead[0]", "dead[t]"}
    assert set(weights.values()) == {1, 4}
    once = parse_study(edited('treatment = "drug"', 'treatment = "drug[0]"', VISITS_TEXT))
    assert family_weights(once)["load[t]"] == family_weights(once)["drug[t]"] == 4


def _closed_form(floor: Fraction) -> dict[Clique, Fraction]:
    coefficients = objective(FAMILIES)
    costs = {clique: _cost(clique) for clique in coefficients}
    return allocate(coefficients, costs, dict.fromkeys(coefficients, floor), TOTAL)


def _cost(clique: Clique) -> Fraction:
    return cost(SIZES[name] for name in clique)


def _objective_at(variances: dict[Clique, Fraction]) -> float:
    """The weighted sum of cell variances, written out family by family."""
    return float(
        sum(
            family.weight
            * prod(family.sizes)
            * cell_share(family.clique, family.sizes, clique)
            * variance
            for family in FAMILIES
            for clique, variance in variances.items()
            if set(clique) <= set(family.clique)
        )
    )


def _optimum(floor: Fraction) -> float:
    """The same by SLSQP over 1 / sigma^2, from an even start."""
    cliques = sorted(objective(FAMILIES))
    costs = np.array([float(_cost(clique)) for clique in cliques])
    most = float(1 / floor) if floor else float(TOTAL) * 10

    def value(precisions: NDArray[np.float64]) -> float:
        pairs = zip(cliques, precisions.tolist(), strict=True)
        return _objective_at({clique: 1 / Fraction(precision) for clique, precision in pairs}) / 1e3

    found = minimize(
        value,
        np.full(len(cliques), min(most, float(TOTAL) / costs.sum()) * 0.9),
        method="SLSQP",
        bounds=[(1e-6, most)] * len(cliques),
        constraints=LinearConstraint(costs, ub=float(TOTAL)),
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert found.success
    return float(found.fun) * 1e3
