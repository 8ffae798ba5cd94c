"""The noise of one site: exact discrete Gaussians, fresh from the operating system.

OpenDP says what a scale costs and is the reference that the sampler is tested against. With
`protocol/privacy/conversion.py` this is the only importer of opendp. Noise that can be drawn
again protects no one: only tests give other random bytes than the operating system's.
"""

import os
from fractions import Fraction
from math import isclose, sqrt

import numpy as np
from numpy.typing import NDArray
from opendp.domains import atom_domain, vector_domain
from opendp.measurements import make_gaussian
from opendp.metrics import l2_distance
from opendp.mod import Measurement, enable_features

from protocol.privacy.discrete_gaussian import Entropy, sample
from protocol.privacy.plan import Block, StatisticsPlan

Integers = NDArray[np.int64]  # shape (plan.length,), in plan order

enable_features("contrib")  # by its parts: opendp.prelude would load scikit-learn, if it is there


def add_noise(
    plan: StatisticsPlan, statistics: Integers, entropy: Entropy = os.urandom
) -> Integers:
    """Return `statistics` with N_Z(0, s^2) added to every element, s the scale of its block.

    Each call draws anew: a second call on the same statistics is a second release.

    Raises:
        AssertionError: OpenDP's privacy map disagrees with the plan, which is a bug of ours.
    """
    noisy = statistics.copy()
    for scale in sorted({block.site_scale for block in plan.blocks}):
        blocks = [block for block in plan.blocks if block.site_scale == scale]
        for block in blocks:
            check_cost(gaussian(scale), block, plan.noise_shares)
        places = np.concatenate([np.arange(b.offset, b.offset + b.size) for b in blocks])
        noisy[places] += sample(scale, places.size, entropy)
    return noisy


def gaussian(scale: Fraction) -> Measurement:
    """Return OpenDP's measurement: a vector of 64-bit integers plus N_Z(0, scale^2) each.

    `scale` is a multiple
    of 2^-16 below 2^37, as in every plan, and so a double without rounding.
    """
    return make_gaussian(
        vector_domain(atom_domain(T="i64")), l2_distance(T="f64"), scale=float(scale)
    )


def check_cost(release: Measurement, block: Block, noise_shares: int) -> None:
    """Check that OpenDP's privacy map agrees with what the plan charges for a block.

    One site's noise gives D^2 / (2 s^2) of zCDP; the noise of n_e sites, n_e times less. What
    the plan adds for a sum of discrete Gaussians is below 1e-20 at its smallest scale.

    Raises:
        AssertionError: they differ, which is a bug of ours.
    """
    found = release.map(sqrt(block.squared_sensitivity))  # type: ignore[no-untyped-call]
    if not isclose(found / noise_shares, block.rho, rel_tol=1e-9):
        raise AssertionError(f"OpenDP finds rho {found} for one site, the plan {block}")
