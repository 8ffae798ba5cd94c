"""An attacker who knows all but one unit proves no more epsilon than is claimed, and nearly that.

docs/privacy-audit.md explains the attack. Bounds hold with probability 1 - ALPHA = 1 - 1e-7. Noise
from a seed makes most tests repeat exactly. The noise that sites add cannot be seeded: the four
tests of it (three of `site_releases`, one of remainders) fail of themselves with a probability of
5e-7 together, once in two million runs.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.random import default_rng
from scipy import stats

from client.measure.noise import gaussian
from protocol.privacy.plan import Block, StatisticsPlan, compile_plan
from protocol.study.study import Study
from tests.support.audit import (
    ALPHA,
    Game,
    Integers,
    epsilon_of_gaussian,
    play,
    prove,
    rate_above,
)
from tests.support.audit_broken import FAULTS
from tests.support.audit_games import block_game, plan_game, site_game, worth
from tests.support.audit_noise import discrete_gaussian, fast_noise, scales_of
from tests.support.audit_units import audited_studies
from tests.support.reference_statistics import Record, reference_statistics
from tests.support.studies import measured_study

RUNS = 8_000
BLOCK_RUNS = 150_000
BLOCK_ELEMENTS = 1_300_000
SITE_RUNS = 3_000
SEED = 20_260_501
STUDIES = audited_studies()


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Statistics without and with the unit, as a site measures them."""

    plan: StatisticsPlan
    absent: Integers
    present: Integers


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Neighbours]:
    return {
        name: Neighbours(audited.plan, *audited.vectors(tmp_path_factory.mktemp("audit")))
        for name, audited in STUDIES.items()
    }


@pytest.mark.parametrize("name", list(STUDIES))
def test_the_unit_that_moves_all_blocks_costs_each_what_the_plan_says_and_no_more(
    name: str, neighbours: dict[str, Neighbours]
) -> None:
    """A rule's dose does not reach both ends of its range: those moments have slack."""
    pair = neighbours[name]
    for block in pair.plan.blocks:
        share = worth(pair.plan, block, pair.absent, pair.present) / float(block.rho)
        reached = 0.7 if "dose" in block.clique and block.kind == "moments" else 1 - 1e-9
        assert reached <= share <= 1, (block.kind, block.clique)


@pytest.mark.parametrize("name", list(STUDIES))
def test_releases_of_a_plan_prove_no_more_than_is_claimed_and_at_least_half_of_it(
    name: str, neighbours: dict[str, Neighbours]
) -> None:
    plan, pair = neighbours[name].plan, neighbours[name]
    game = plan_game(plan, pair.absent, pair.present)
    found = play(game, RUNS, float(plan.delta), default_rng(SEED))
    assert found.rho <= plan.rho
    assert found.epsilon <= plan.epsilon
    assert plan.epsilon / 2 <= found.gaussian_epsilon <= plan.epsilon


@pytest.mark.parametrize(
    ("name", "kind", "population"),
    [
        ("categorical", "residual", "units"),
        ("mixed", "histogram", "units"),
        ("mixed, 2 of 3 rows", "moments", "units"),
        ("mixed, 2 of 3 rows", "residual", "units"),
        ("visits, 1 transition", "residual", "transitions"),
        ("visits, 3 transitions", "residual", "transitions"),
        ("visits, 3 transitions", "moments", "transitions"),
    ],
)
def test_releases_of_a_block_prove_no_more_than_it_is_charged_for_and_a_third_of_it(
    name: str, kind: str, population: str, neighbours: dict[str, Neighbours]
) -> None:
    pair = neighbours[name]
    block = _dearest(pair.plan, kind, population)
    runs = min(BLOCK_RUNS, BLOCK_ELEMENTS // block.size)
    game = block_game(pair.plan, block, pair.absent, pair.present)
    found = play(game, runs, float(pair.plan.delta), default_rng(SEED))
    assert float(block.rho) / 3 <= found.rho <= block.rho


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_broken_mechanism_is_caught_and_its_sound_twin_is_not(name: str) -> None:
    fault = FAULTS[name]()
    runs = 16_000 if fault.attack == "likelihood" else 3_000
    broken, sound = (
        play(game, runs, fault.delta, default_rng(SEED)) for game in (fault.broken, fault.sound)
    )
    assert fault.proved(broken) > fault.claim
    assert fault.proved(sound) <= fault.claim


SITE_STUDY = measured_study({"a": 4}, [], budget="rho = 1", rows=2, n_min=3, colluders=1)
SITE_PLAN = compile_plan(SITE_STUDY)


def _site_game(study: Study, plan: StatisticsPlan) -> Game:
    others = [Record(unit="old", values={"a": "v0"})]
    unit = [Record(unit="new", values={"a": "v3"}), Record(unit="new", values={"a": "v3"})]
    absent, present = (
        reference_statistics(plan, study, records) for records in (others, others + unit)
    )
    return site_game(plan, absent, present)


SITE_GAME = _site_game(SITE_STUDY, SITE_PLAN)


@pytest.fixture(scope="module")
def site_releases() -> tuple[Integers, Integers]:
    """Releases of both data sets with the noise of `client.measure.noise.add_noise`."""
    unused = default_rng(SEED)
    absent, present = (
        SITE_GAME.release(vector, SITE_RUNS, unused)
        for vector in (SITE_GAME.absent, SITE_GAME.present)
    )
    return absent, present


def test_the_noise_of_sites_proves_no_more_than_is_claimed_and_at_least_half_of_it(
    site_releases: tuple[Integers, Integers],
) -> None:
    """The lower end is more than 6 standard deviations below what is expected."""
    absent, present = (SITE_GAME.score(releases) for releases in site_releases)
    found = prove(absent, present, float(SITE_PLAN.delta))
    assert found.rho <= SITE_PLAN.rho
    assert found.epsilon <= SITE_PLAN.epsilon
    assert SITE_PLAN.epsilon / 2 <= found.gaussian_epsilon <= SITE_PLAN.epsilon


def test_every_integer_near_both_data_sets_is_released_from_either(
    site_releases: tuple[Integers, Integers],
) -> None:
    """Noise on a lattice of its own would tell a data set by what cannot be released from it.

    An integer of a probability of 0.01 is not among 3,000 releases once in 10^13 times.
    """
    deviations = np.sqrt(SITE_PLAN.noise_shares) * scales_of(SITE_PLAN)
    for element, deviation in enumerate(deviations):
        middles = [SITE_GAME.absent[element], SITE_GAME.present[element]]
        around = np.arange(min(middles) - 60, max(middles) + 61)
        likely = [stats.norm.pdf(around, middle, deviation) > 0.01 for middle in middles]
        near = set(around[np.logical_and(*likely)].tolist())
        assert len(near) >= 5
        for releases in site_releases:
            assert near <= set(releases[:, element].tolist())


def test_released_moments_keep_no_remainder_of_the_steps_that_numbers_are_rounded_to() -> None:
    """Sums of corners are multiples of 2^20; what is released is as often odd as even, and so on.

    A chi-squared test at ALPHA, of the noise that sites add.
    """
    [block, *_] = [block for block in STUDIES["mixed"].plan.blocks if block.kind == "moments"]
    drawn = np.array(gaussian(block.site_scale)([17 * block.unit] * SITE_RUNS))
    for remainders in (drawn % 16, (drawn >> 10) % 16):
        observed = np.bincount(remainders, minlength=16)
        assert stats.chisquare(observed).pvalue > ALPHA / 2


@pytest.mark.parametrize("scale", [3.0, 3.5, 20.0])
def test_noise_from_a_seed_follows_the_discrete_gaussian_law(scale: float) -> None:
    drawn = discrete_gaussian(np.full(400_000, scale), default_rng(SEED))
    edge = int(4 * scale)  # what is beyond is pooled into two tails
    support = np.arange(-10 * edge, 10 * edge + 1)
    law = np.exp(-(support**2) / (2 * scale**2))
    bins = np.clip(support, -edge, edge) + edge
    expected = drawn.size * np.bincount(bins, weights=law / law.sum())
    observed = np.bincount(np.clip(drawn, -edge, edge) + edge, minlength=expected.size)
    assert stats.chisquare(observed, expected).pvalue > 1e-4


def test_noise_from_a_seed_has_the_law_of_the_noise_that_sites_add(
    site_releases: tuple[Integers, Integers],
) -> None:
    """Kolmogorov-Smirnov on every block of a round; conservative, as values are whole numbers."""
    absent, _ = site_releases
    noise = absent - SITE_GAME.absent
    fast = fast_noise(scales_of(SITE_PLAN), SITE_PLAN.noise_shares, SITE_RUNS, default_rng(SEED))
    for block in SITE_PLAN.blocks:
        found = stats.ks_2samp(noise[:, block.span].ravel(), fast[:, block.span].ravel())
        assert found.pvalue > ALPHA / len(SITE_PLAN.blocks)


@pytest.mark.parametrize("mu", [0.2, 1.0, 3.0])
def test_what_gaussian_scores_prove_is_below_the_truth_and_near_it(mu: float) -> None:
    source = default_rng(SEED)
    found = prove(source.normal(0, 1, 40_000), source.normal(mu, 1, 40_000), 1e-6)
    assert 0.96 * mu - 0.1 < found.mu < mu
    assert 0 <= found.epsilon < found.gaussian_epsilon


def test_equal_scores_prove_nothing() -> None:
    found = prove(np.zeros(RUNS), np.zeros(RUNS), 1e-6)
    assert (found.epsilon, found.rho, found.gaussian_epsilon) == (0, 0, 0)


def test_bounds_on_rates_are_those_of_clopper_and_pearson() -> None:
    """No error in n runs: (1 - bound)^n = ALPHA / 2; and the binomial tail at any other count."""
    none, some, all_of_them = rate_above(np.array([0, 300, 1000]), 1000)
    assert (1 - none) ** 1000 == pytest.approx(ALPHA / 2)
    assert stats.binom.cdf(300, 1000, some) == pytest.approx(ALPHA / 2)
    assert all_of_them == 1


@pytest.mark.parametrize(("mu", "epsilon"), [(0.5, 1.0), (1.0, 4.0), (2.0, 10.0)])
def test_the_epsilon_of_a_gaussian_mechanism_is_where_its_curve_meets_delta(
    mu: float, epsilon: float
) -> None:
    """Integrated: delta is the largest P(S) - e^epsilon Q(S), where that is positive."""
    points = np.linspace(-40, 40, 800_001)
    excess = stats.norm.pdf(points, mu) - np.exp(epsilon) * stats.norm.pdf(points)
    delta = float(np.trapezoid(np.maximum(excess, 0), points))
    assert epsilon_of_gaussian(mu, delta) == pytest.approx(epsilon, rel=1e-4)


def _dearest(plan: StatisticsPlan, kind: str, population: str) -> Block:
    """Return the block of a kind that costs the most."""
    blocks = [one for one in plan.blocks if (one.kind, one.population) == (kind, population)]
    return max(blocks, key=lambda block: block.rho)
