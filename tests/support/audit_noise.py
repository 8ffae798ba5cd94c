"""Noise of many rounds: the site's own, and the same law drawn fast and from a seed.

Of a cohort of n_min sites, c colluders subtract their own noise from the sum: the noise that is
left is that of n_min - c honest ones, the plan's `noise_shares`.
"""

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from client.measure.noise import add_noise
from protocol.privacy.plan import StatisticsPlan
from tests.support.audit import Integers, Reals


def scales_of(plan: StatisticsPlan) -> Reals:
    """Return the scale of one site's noise per element, shape (plan.length,)."""
    return np.concatenate([np.full(b.size, float(b.site_scale)) for b in plan.blocks])


def fast_noise(scales: Reals, shares: int, runs: int, source: Generator) -> Integers:
    """Return sums of `shares` discrete Gaussians, shape (runs, d)."""
    total = np.zeros((runs, scales.size), np.int64)
    for _ in range(shares):
        total += discrete_gaussian(np.broadcast_to(scales, total.shape), source)
    return total


def discrete_gaussian(scales: Reals, source: Generator) -> Integers:
    """Return one draw of N_Z(0, s^2) for every scale s, in the same shape.

    By rejection: y is Gaussian with variance s^2 + w, x the integer next to it. Accepted with
    probability exp(-x^2 / 2 s^2 + y^2 / 2 (s^2 + w) - 1 / 8 w), y has density exp(-x^2 / 2 s^2) on
    all of (x - 1/2, x + 1/2). The exponent is never positive, because |y| <= |x| + 1/2; w = s / 2
    accepts most. Exact up to floating point: for tests only.
    """
    flat = np.ascontiguousarray(scales, np.float64).ravel()
    drawn = np.zeros(flat.size)
    open_places = np.arange(flat.size)
    while open_places.size:
        s = flat[open_places]
        widened = s * (s + 0.5)
        y = np.sqrt(widened) * source.standard_normal(s.size)
        x = np.rint(y)
        exponent = (y**2 / widened - (x / s) ** 2) / 2 - 1 / (4 * s)
        accepted = source.random(s.size) < np.exp(exponent)
        drawn[open_places[accepted]] = x[accepted]
        open_places = open_places[~accepted]
    return drawn.astype(np.int64).reshape(scales.shape)


def site_noise(plan: StatisticsPlan, runs: int) -> Integers:
    """Return what `add_noise` of the honest sites sums to in `runs` rounds, (runs, plan.length).

    All rounds of a block are one long block, so that the sampler is called once per scale and site.
    """
    blocks = tuple(
        replace(block, shape=(runs, *block.shape), offset=runs * block.offset)
        for block in plan.blocks
    )
    rounds = replace(plan, blocks=blocks)
    zeros = np.zeros(rounds.length, np.int64)
    total = sum((add_noise(rounds, zeros) for _ in range(plan.noise_shares)), start=zeros)
    return np.concatenate([total[block.span].reshape(runs, -1) for block in blocks], axis=1)
