"""The noise is what the plan promises: variance and mean of a sum over sites, and its law.

Noise comes from the operating system and cannot be seeded. Each test below therefore fails of
itself, with nothing amiss, with a probability of at most ALPHA = 1e-6 (bounds over several
blocks share it by Bonferroni): once in about 300,000 runs of the three.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from client.measure.noise import add_noise, gaussian
from protocol.privacy.distributed import SMALLEST_SITE_SCALE
from protocol.privacy.plan import compile_plan
from tests.support.tables_study import ward_study

ALPHA = 1e-6
SITES = 4  # one more than the smallest cohort
ROUNDS = 60
DRAWS = 40_000
PLAN = compile_plan(ward_study())


@pytest.fixture(scope="module")
def sums() -> NDArray[np.int64]:
    """Noise alone of a whole round, shape (ROUNDS, plan.length): summed over the sites."""
    zeros = np.zeros(PLAN.length, np.int64)
    rounds = [sum(add_noise(PLAN, zeros) for _ in range(SITES)) for _ in range(ROUNDS)]
    return np.stack(rounds)


def test_the_noise_of_the_sum_has_the_promised_variance(sums: NDArray[np.int64]) -> None:
    tail = ALPHA / len(PLAN.blocks) / 2
    for block in PLAN.blocks:
        draws = sums[:, block.span].astype(float).ravel()
        ratio = (draws**2).sum() / float(block.variance(SITES))
        assert stats.chi2.ppf(tail, draws.size) < ratio < stats.chi2.isf(tail, draws.size)


def test_the_noise_of_the_sum_has_no_bias(sums: NDArray[np.int64]) -> None:
    limit = stats.norm.isf(ALPHA / len(PLAN.blocks) / 2)
    for block in PLAN.blocks:
        draws = sums[:, block.span].astype(float).ravel()
        deviation = math.sqrt(float(block.variance(SITES)) / draws.size)
        assert abs(draws.mean()) < limit * deviation


def test_the_noise_of_one_site_follows_the_discrete_gaussian_law() -> None:
    scale = SMALLEST_SITE_SCALE
    draws = np.array(gaussian(Fraction(scale))([0] * DRAWS))
    edge = 4 * scale  # beyond it the expected counts are pooled into two tails
    support = np.arange(-40 * edge, 40 * edge + 1)
    law = np.exp(-(support**2) / (2 * scale**2))
    law /= law.sum()
    bins = np.clip(support, -edge, edge) + edge
    expected = DRAWS * np.bincount(bins, weights=law)
    observed = np.bincount(np.clip(draws, -edge, edge) + edge, minlength=expected.size)
    assert stats.chisquare(observed, expected).pvalue > ALPHA
