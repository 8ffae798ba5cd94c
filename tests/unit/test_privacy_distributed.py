"""Proposition 14 of Kairouz, Liu, Steinke 2021 against exact convolution of the shares."""

from fractions import Fraction
from math import exp, log, pi, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.privacy.distributed import divergence_bound, sum_rho, tau_above

ALPHAS = (1.01, 2.0, 8.0)


@pytest.mark.parametrize("scale", [Fraction(1, 2), Fraction(7, 10), Fraction(1), Fraction(2)])
@pytest.mark.parametrize("shares", [1, 2, 7, 50])
def test_tau_is_bounded_from_above_and_within_a_factor_of_two(scale: Fraction, shares: int) -> None:
    exact = 10 * sum(exp(-2 * pi**2 * float(scale) ** 2 * k / (k + 1)) for k in range(1, shares))
    assert exact <= float(tau_above(scale, shares)) <= 2 * exact


def test_tau_of_a_huge_scale_is_still_a_cheap_upper_bound() -> None:
    assert 0 < tau_above(Fraction(2**40), 200) < Fraction(1, 2**140)


@pytest.mark.parametrize("scale", [Fraction(1, 2), Fraction(7, 10), Fraction(1), Fraction(3)])
@pytest.mark.parametrize(("shares", "shift"), [(1, 1), (2, 1), (7, 1), (7, 3)])
def test_the_bound_lies_above_the_exact_divergence(
    scale: Fraction, shares: int, shift: int
) -> None:
    bound = float(divergence_bound(shift**2, 1, scale, shares))
    for alpha in ALPHAS:
        assert _renyi(_sum_of_shares(float(scale), shares), shift, alpha) / alpha <= bound * (
            1 + 1e-9
        )


def test_the_bound_holds_for_vectors_too() -> None:
    one = _renyi(_sum_of_shares(0.6, 5), 1, 2.0) / 2
    assert 10 * one <= float(divergence_bound(10, 10, Fraction(6, 10), 5))


def test_without_much_rounding_the_bound_is_that_of_one_gaussian() -> None:
    rho = sum_rho(12, 1000, Fraction(3), 100)
    assert 0 <= rho - Fraction(12, 2 * 100 * 9) < Fraction(1, 2**90)


def test_one_share_costs_no_tau() -> None:
    assert divergence_bound(4, 10, Fraction(1), 1) == 2


def test_the_bound_is_the_least_of_the_three_forms() -> None:
    scale, shares, dimension, squared = Fraction(1, 2), 7, 10_000, 4
    tau = float(tau_above(scale, shares))
    l2 = sqrt(squared / (shares * float(scale) ** 2))
    l1 = squared / sqrt(shares * float(scale) ** 2)
    forms = (
        l2**2 / 2 + tau * dimension,
        (l2**2 + 2 * l1 * tau + tau**2 * dimension) / 2,
        (l2 + tau * sqrt(dimension)) ** 2 / 2,
    )
    assert float(divergence_bound(squared, dimension, scale, shares)) == pytest.approx(min(forms))


@pytest.mark.parametrize("scale", [Fraction(0), Fraction(1), 3 - Fraction(1, 2**16)])
def test_a_site_scale_below_3_is_refused(scale: Fraction) -> None:
    with pytest.raises(UsageError) as refusal:
        sum_rho(1, 1, scale, 3)
    assert refusal.value.code == "noise-scale-too-small"
    assert "smaller epsilon" in refusal.value.remedy


def _sum_of_shares(scale: float, shares: int) -> NDArray[np.float64]:
    """Probabilities of the sum of discrete Gaussians, by convolution; centred."""
    reach = int(12 * scale) + 8
    one = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * scale**2))
    one /= one.sum()
    total = one
    for _ in range(shares - 1):
        total = np.convolve(total, one)
    return total


def _renyi(density: NDArray[np.float64], shift: int, alpha: float) -> float:
    """Renyi divergence of order alpha between a density and its shift, where both are sizeable."""
    left, right = density[shift:], density[:-shift]
    sizeable = (left > 1e-200) & (right > 1e-200)
    terms = alpha * np.log(left[sizeable]) + (1 - alpha) * np.log(right[sizeable])
    return log(float(np.exp(terms).sum())) / (alpha - 1)
