"""The noise of one site: OpenDP's exact discrete Gaussian, fresh from the operating system.

With `protocol/privacy/conversion.py` the only importer of opendp. Nothing here can be seeded:
noise that can be drawn again protects no one.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from math import isclose, sqrt

import numpy as np
from numpy.typing import NDArray
from opendp.domains import atom_domain, vector_domain
from opendp.measurements import make_gaussian
from opendp.metrics import l2_distance
from opendp.mod import enable_features

from protocol.privacy.plan import Block, StatisticsPlan

Integers = NDArray[np.int64]  # shape (plan.length,), in plan order

enable_features("contrib")  # by its parts: opendp.prelude would load scikit-learn, if it is there


def add_noise(plan: StatisticsPlan, statistics: Integers) -> Integers:
    """Return `statistics` with N_Z(0, s^2) added to every element, s the scale of its block.

    Each call draws anew: a second call on the same statistics is a second release.

    Raises:
        AssertionError: OpenDP's privacy map disagrees with the plan, which is a bug of ours.
    """
    noisy = statistics.copy()
    for scale in sorted({block.site_scale for block in plan.blocks}):
        blocks = [block for block in plan.blocks if block.site_scale == scale]
        release = mechanism(scale, blocks)
        places = np.concatenate([np.arange(b.offset, b.offset + b.size) for b in blocks])
        noisy[places] = release(statistics[places].tolist())
    return noisy


def mechanism(scale: Fraction, blocks: Iterable[Block]) -> Callable[[list[int]], list[int]]:
    """Return OpenDP's measurement at `scale`, checked against each of `blocks`.

    It saturates at the ends of int64, which the plan keeps out of reach.

    Raises:
        AssertionError: `scale` is no double, or OpenDP finds another zCDP for a block's
            sensitivity than D^2 / (2 s^2), the cost at this site's noise alone.
    """
    if Fraction(float(scale)) != scale:
        raise AssertionError("a plan's scales are multiples of 2^-16 below 2^37")
    gaussian = make_gaussian(
        vector_domain(atom_domain(T="i64")), l2_distance(T="f64"), scale=float(scale)
    )
    for block in blocks:
        promised = Fraction(block.squared_sensitivity) / (2 * scale**2)
        found = gaussian.map(sqrt(block.squared_sensitivity))  # type: ignore[no-untyped-call]
        if not isclose(found, promised, rel_tol=1e-9):
            raise AssertionError(f"OpenDP finds rho {found}, the plan {float(promised)}")
    return gaussian
