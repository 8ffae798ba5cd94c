"""From zCDP to (epsilon, delta) and back."""

from fractions import Fraction
from math import log, sqrt

import pytest

from protocol.errors import UsageError
from protocol.privacy.conversion import RHO_GRID, epsilon_of, rho_of

DELTA = Fraction(1, 10**6)
RHOS = [Fraction(numerator, 7200) for numerator in (1, 4, 40, 400, 4000, 40_000)]


def test_a_rho_of_1_in_1800_is_worth_epsilon_0_134_at_1e_6() -> None:
    assert epsilon_of(Fraction(1, 1800), DELTA) == pytest.approx(0.1338, abs=5e-5)


@pytest.mark.parametrize("rho", RHOS)
def test_the_tight_curve_lies_below_the_textbook_bound(rho: Fraction) -> None:
    textbook = float(rho) + 2 * sqrt(float(rho) * log(float(1 / DELTA)))
    assert 0 < epsilon_of(rho, DELTA) < textbook


def test_epsilon_rises_with_rho_and_falls_with_delta() -> None:
    epsilons = [epsilon_of(rho, DELTA) for rho in RHOS]
    assert epsilons == sorted(epsilons)
    assert epsilon_of(RHOS[2], DELTA / 10) > epsilon_of(RHOS[2], DELTA)


@pytest.mark.parametrize("epsilon", [Fraction(1, 100), Fraction(1), Fraction(3), Fraction(100)])
def test_rho_of_is_the_last_step_of_the_grid_within_epsilon(epsilon: Fraction) -> None:
    rho = rho_of(epsilon, DELTA)
    assert rho % RHO_GRID == 0
    assert epsilon_of(rho, DELTA) <= epsilon < epsilon_of(rho + RHO_GRID, DELTA)


@pytest.mark.parametrize("delta", [Fraction(0), Fraction(1), Fraction(-1)])
def test_a_delta_that_is_no_probability_is_refused(delta: Fraction) -> None:
    for convert in (epsilon_of, rho_of):
        with pytest.raises(UsageError) as refusal:
            convert(Fraction(1), delta)
        assert refusal.value.code == "delta-out-of-range"


def test_a_rho_that_is_not_positive_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        epsilon_of(Fraction(0), DELTA)
    assert refusal.value.code == "rho-not-positive"


@pytest.mark.parametrize(
    ("epsilon", "code"),
    [(Fraction(0), "epsilon-not-positive"), (Fraction(1, 10**4), "epsilon-too-small")],
)
def test_an_epsilon_that_is_worth_nothing_is_refused(epsilon: Fraction, code: str) -> None:
    with pytest.raises(UsageError) as refusal:
        rho_of(epsilon, DELTA)
    assert refusal.value.code == code
