"""The sampler's draws against the law of the discrete Gaussian, and beside OpenDP's.

Bytes come from the operating system, so each test fails of itself with a chance of at most ALPHA,
one of them in about 40,000 runs.
"""

from fractions import Fraction
from math import exp, pi, sqrt
from os import urandom

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from client.measure.noise import gaussian
from protocol.privacy.discrete_gaussian import sample

ALPHA = 1e-6
DRAWS = 400_000
REFERENCE = 60_000  # OpenDP's, which take 15 microseconds each
SMALL = [Fraction(1), Fraction(3), Fraction(2**18 + 1, 2**16), Fraction(15, 2), Fraction(200)]
LARGE = [Fraction(12345 * 2**16 + 1, 2**16), Fraction(2**36 + 2**20 + 1)]


def law_of(scale: Fraction, edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the probability of each bin [edge, next), and of what lies outside, first and last."""
    reach = int(12 * scale) + 1
    support = np.arange(-reach, reach + 1)
    weights = np.exp(-(support.astype(float) ** 2) / (2 * float(scale) ** 2))
    bins = np.searchsorted(edges, support, side="right")
    return np.bincount(bins, weights / weights.sum(), minlength=edges.size + 1).astype(np.float64)


def counted(draws: NDArray[np.int64], edges: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(np.searchsorted(edges, draws, side="right"), minlength=edges.size + 1)


def edges_of(scale: Fraction) -> NDArray[np.int64]:
    """Return every integer within four scales, at most 200 of them."""
    reach = int(4 * scale)
    return np.arange(-reach, reach + 2, max(1, reach // 100))


@pytest.mark.parametrize("scale", SMALL, ids=str)
def test_draws_follow_the_law_integer_by_integer(scale: Fraction) -> None:
    edges = edges_of(scale)
    observed = counted(sample(scale, DRAWS, urandom), edges)
    assert stats.chisquare(observed, DRAWS * law_of(scale, edges)).pvalue > ALPHA


@pytest.mark.parametrize("scale", SMALL, ids=str)
def test_draws_have_the_law_of_opendps(scale: Fraction) -> None:
    edges = edges_of(scale)
    ours = counted(sample(scale, REFERENCE, urandom), edges)
    theirs = counted(np.array(gaussian(scale)([0] * REFERENCE)), edges)
    seen = ours + theirs >= 10
    table = np.stack([np.append(each[seen], each[~seen].sum()) for each in (ours, theirs)])
    assert stats.chi2_contingency(table[:, table.sum(0) > 0]).pvalue > ALPHA


@pytest.mark.parametrize("scale", LARGE, ids=str)
def test_draws_of_a_large_scale_are_those_of_a_gaussian_rounded(scale: Fraction) -> None:
    """At such a scale both laws differ by less than 1e-9 in any bin (Poisson summation)."""
    draws = sample(scale, DRAWS, urandom)
    edges = np.linspace(-4, 4, 161)
    probabilities = np.diff(stats.norm.cdf(np.concatenate([[-np.inf], edges, [np.inf]])))
    bins = np.searchsorted(edges, draws / float(scale), side="right")
    observed = np.bincount(bins, minlength=probabilities.size)
    assert stats.chisquare(observed, DRAWS * probabilities).pvalue > ALPHA


@pytest.mark.parametrize("scale", LARGE, ids=str)
def test_the_lowest_bits_of_draws_are_uniform(scale: Fraction) -> None:
    lowest = sample(scale, DRAWS, urandom) & 255
    assert stats.chisquare(np.bincount(lowest, minlength=256)).pvalue > ALPHA


@pytest.mark.parametrize("scale", [*SMALL, *LARGE], ids=str)
def test_tails_are_as_heavy_as_they_should_be(scale: Fraction) -> None:
    draws = np.abs(sample(scale, DRAWS, urandom))
    for deviations in (2, 3, 4):
        least = int(deviations * scale) + 1
        beyond = int((draws >= least).sum())
        chance = 2 * _upper_tail(scale, least)
        assert stats.binomtest(beyond, DRAWS, chance).pvalue > ALPHA / 3


def _upper_tail(scale: Fraction, least: int) -> float:
    if scale > 10_000:
        return float(stats.norm.sf((least - 0.5) / float(scale)))
    support = np.arange(least, least + int(12 * scale) + 2)
    total = 1 + 2 * sum(exp(-(x**2) / (2 * float(scale) ** 2)) for x in range(1, int(12 * scale)))
    assert total == pytest.approx(sqrt(2 * pi) * float(scale), rel=1e-6)
    return float(np.exp(-(support**2) / (2 * float(scale) ** 2)).sum() / total)


@pytest.mark.parametrize("scale", [Fraction(3), LARGE[1]], ids=str)
def test_neighbouring_draws_are_independent(scale: Fraction) -> None:
    draws = sample(scale, DRAWS, urandom)
    signs, large = draws > 0, np.abs(draws) > float(scale)
    for one in (signs, large):
        table = np.histogram2d(one[:-1:2], one[1::2], bins=2)[0]
        assert stats.chi2_contingency(table).pvalue > ALPHA / 2
