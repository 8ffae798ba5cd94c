"""Games with the mechanism as it should be: a whole plan, or one block of it.

The attacker knows the plan, both data sets, and all noise but that of the honest sites. No test of
one Gaussian against another beats their likelihood ratio, which grows with sum_b <o_b, m_b> / v_b:
o the release less the data set without the unit, m the unit's move, v the variance of the noise.
"""

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.random import Generator

from protocol.privacy.plan import Block, StatisticsPlan
from tests.support.audit import Game, Integers, Reals
from tests.support.audit_noise import fast_noise, scales_of, site_noise


def plan_game(plan: StatisticsPlan, absent: Integers, present: Integers) -> Game:
    """Return the game of a whole round, with noise from a seed."""
    return gaussian_game(absent, present, scales_of(plan), plan.noise_shares)


def block_game(plan: StatisticsPlan, block: Block, absent: Integers, present: Integers) -> Game:
    """Return the game of one block of a round, with noise from a seed."""
    at = block.span
    return gaussian_game(absent[at], present[at], scales_of(plan)[at], plan.noise_shares)


def site_game(plan: StatisticsPlan, absent: Integers, present: Integers) -> Game:
    """Return the game of a whole round, with the noise that sites add."""

    def release(vector: Integers, runs: int, _: Generator) -> Integers:
        return vector + site_noise(plan, runs)

    return replace(plan_game(plan, absent, present), release=release)


def gaussian_game(absent: Integers, present: Integers, scales: Reals, shares: int) -> Game:
    """Return the game of integers with the noise of `shares` sites of these scales, shape (d,)."""

    def release(vector: Integers, runs: int, source: Generator) -> Integers:
        return vector + fast_noise(scales, shares, runs, source)

    weights = (present - absent) / (shares * scales**2)
    return Game(absent, present, release, partial(likelihood, absent, weights))


def likelihood(absent: Integers, weights: Reals, releases: Integers) -> Reals:
    """Return the logarithm of the likelihood ratio less a constant, per release."""
    ratios: Reals = (releases - absent).astype(np.float64) @ weights
    return ratios


def worth(plan: StatisticsPlan, block: Block, absent: Integers, present: Integers) -> float:
    """Return the rho that a block costs this unit, without tau: |move|^2 / 2 n_e s^2."""
    move = (present - absent)[block.span]
    squared = sum(int(value) ** 2 for value in move)
    return float(squared / (2 * block.variance(plan.noise_shares)))
