"""A masked vector looks uniform, whatever it hides.

Every test rejects at ALPHA. The seeds are fixed, so a run never flakes; were they drawn
anew, each test would fail by chance once in 1 / ALPHA runs, all nine of them once in about 1,100.
"""

import numpy as np
import pytest
from scipy import stats

from protocol.secagg.messages import MaskedVector
from protocol.secagg.ring import Residues
from protocol.secagg.site import AwaitingContribution, Contribution, advance
from tests.support.secagg_network import Consortium, at_step, consortium, request_for

ALPHA = 1e-4
LENGTH = 40_000
WORLD = consortium(3, length=LENGTH, narrow=0)
NEXT = WORLD.issue(counter=2)


def counts() -> Residues:
    """Return what a site really has: small integers, most of them zero."""
    source = np.random.default_rng(7)
    return source.poisson(0.5, LENGTH).astype(np.uint64)


def masked(world: Consortium, position: int, vector: Residues) -> Residues:
    """Return what leaves a site that contributes `vector`."""
    network = at_step(world, 2)
    state = network.states[position]
    assert state is not None
    state, _ = advance(state, request_for(network, position))
    assert isinstance(state, AwaitingContribution)
    _, (sent,) = advance(state, Contribution(vector))
    assert isinstance(sent, MaskedVector)
    return world.residues(sent.vector)


ZEROS = np.zeros(LENGTH, np.uint64)
SENT = {
    "zeros": masked(WORLD, 0, ZEROS),
    "counts": masked(WORLD, 1, counts()),
    "all ones": masked(WORLD, 2, np.full(LENGTH, 2**64 - 1, np.uint64)),
}


def bytes_p_value(vector: Residues) -> float:
    """Return the chi-squared p-value of the byte histogram against the uniform one."""
    histogram = np.bincount(np.frombuffer(vector.tobytes(), np.uint8), minlength=256)
    return float(stats.chisquare(histogram).pvalue)


def elements_p_value(vector: Residues) -> float:
    """Return the Kolmogorov-Smirnov p-value of the elements against the uniform ones."""
    return float(stats.kstest(vector / 2.0**64, "uniform").pvalue)


@pytest.mark.parametrize("hidden", SENT)
def test_the_bytes_of_a_masked_vector_are_uniform(hidden: str) -> None:
    assert bytes_p_value(SENT[hidden]) > ALPHA


@pytest.mark.parametrize("hidden", SENT)
def test_the_elements_of_a_masked_vector_are_uniform(hidden: str) -> None:
    assert elements_p_value(SENT[hidden]) > ALPHA


def test_neighbouring_elements_of_a_masked_vector_are_independent() -> None:
    scaled = SENT["zeros"] / 2.0**64
    assert stats.pearsonr(scaled[:-1], scaled[1:]).pvalue > ALPHA


def test_the_masks_of_two_rounds_are_independent() -> None:
    again = masked(NEXT, 0, ZEROS)
    difference = SENT["zeros"] - again
    assert elements_p_value(difference) > ALPHA


def test_the_masked_vectors_of_two_sites_are_uncorrelated() -> None:
    left, right = SENT["zeros"] / 2.0**64, SENT["counts"] / 2.0**64
    assert stats.pearsonr(left, right).pvalue > ALPHA


def test_these_tests_would_notice_an_unmasked_vector() -> None:
    assert bytes_p_value(counts()) < ALPHA
    assert elements_p_value(counts()) < ALPHA


def test_these_tests_would_notice_a_mask_of_the_wrong_width() -> None:
    narrow = np.random.default_rng(1).integers(0, 2**63, LENGTH, np.uint64)
    assert bytes_p_value(narrow) < ALPHA
    assert elements_p_value(narrow) < ALPHA
