"""Nominal 95 % intervals cover at least 90 %; estimates are not shrunk away; noise costs little.

Each replicate draws persons from a known network, adds a round's noise and fits. Seeded, so that
a run never flakes by itself. Were the seed changed: the true coverage is about 0.95 (decision
0004), and replicates are independent, effects of one replicate nearly so in pairs; fewer than
90 % of 60 (or of 24 x 18 correlated) covered happens about once in 50.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from numpy.random import default_rng

from protocol.privacy.plan import StatisticsPlan, compile_plan
from server.causal.answers.effects import Effect
from server.estimation.fit import fit
from tests.support.networks import Network, asia, release, weights

SEED = 20_240_601
LEAST_COVERED = 0.9
DRAWS = 100


def fitted_effects(
    made: Network,
    persons: int,
    replicates: int,
    pairs: list[tuple[str, str]],
    plan: StatisticsPlan | None = None,
) -> list[list[Effect]]:
    """Return, per replicate, the estimated effect of every pair."""
    plan = plan or compile_plan(made.study)
    found = []
    for replicate in range(replicates):
        generator = default_rng([SEED, replicate])
        noisy = release(plan, made.records(persons, generator), made.study, generator)
        model = fit(made.study, plan, noisy, draws=DRAWS, seed=replicate)
        found.append([model.effect(*pair) for pair in pairs])
    return found


def covered(effects: list[list[Effect]], truths: list[float]) -> float:
    """Return the share of intervals that hold the truth; rounding counts as inside."""
    hits = [
        effect.low - 1e-9 <= truth <= effect.high + 1e-9
        for row in effects
        for effect, truth in zip(row, truths, strict=True)
    ]
    return float(np.mean(hits))


@pytest.mark.parametrize("colluders", [0, 1], ids=["3 shares", "2 shares"])
def test_intervals_cover_in_a_network_shaped_like_nhefs(colluders: int) -> None:
    cohort = f"n_min = 3, tolerated_colluders = {colluders}, threshold = 3"
    made = weights(cohort=cohort, budget="epsilon = 3.0, delta = 1e-6")
    truth = made.effect("quitting", "change")
    effects = fitted_effects(made, 1566, 60, [("quitting", "change")])
    estimates = np.array([row[0].estimate for row in effects])
    assert covered(effects, [truth]) >= LEAST_COVERED
    # shrinking to zero would show as a ratio well below 1; its standard error is about 0.03
    assert 0.85 < estimates.mean() / truth < 1.1
    reported = np.mean([row[0].standard_error for row in effects])
    assert 0.8 < reported / estimates.std() < 1.3


@pytest.mark.parametrize(
    ("persons", "budget"),
    [(1566, "epsilon = 3.0, delta = 1e-6"), (10_000, "epsilon = 1.0, delta = 1e-6")],
    ids=["few persons", "small epsilon"],
)
def test_intervals_cover_in_asia(persons: int, budget: str) -> None:
    made = asia(budget=budget)
    pairs = ancestral_pairs(made)
    truths = [made.effect(*pair) for pair in pairs]
    assert covered(fitted_effects(made, persons, 24, pairs), truths) >= LEAST_COVERED


def test_noise_costs_no_more_than_its_known_share_of_accuracy_in_asia() -> None:
    """Against the same estimator without noise. Measured here: 1.37; 1.40 by the unbiased tables
    alone, 1.47 by clipping their cells and rescaling."""
    made = asia(budget="epsilon = 1.0, delta = 1e-6")
    frequent = [pair for pair in ancestral_pairs(made) if pair[0] not in ("asia", "tub")]
    truths = np.array([made.effect(*pair) for pair in frequent])
    noisy = compile_plan(made.study)
    scale = Fraction(1, 2**16)
    exact = replace(noisy, blocks=tuple(replace(one, site_scale=scale) for one in noisy.blocks))
    errors = []
    for plan in (noisy, exact):
        rows = fitted_effects(made, 10_000, 16, frequent, plan)
        estimates = np.array([[effect.estimate for effect in row] for row in rows])
        errors.append(np.abs(estimates - truths).mean())
    assert errors[0] < 1.45 * errors[1]


def ancestral_pairs(made: Network) -> list[tuple[str, str]]:
    """Return all pairs of a node and one of its descendants."""
    below: Callable[[str], frozenset[str]] = made.study.causal_graph.descendants
    return [(node, effect) for node in made.nodes for effect in sorted(below(node))]
