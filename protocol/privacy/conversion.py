"""Between zCDP and (epsilon, delta), by OpenDP's conversion of the discrete Gaussian's curve.

The only module of `protocol` that imports opendp; noise itself is drawn at the sites.
Where floating point must be rounded, it is rounded so that epsilon comes out larger.

OpenDP evaluates its curve in floating point. A machine with another libm could at worst move
`rho_of` by one step of its grid; plans would then differ and sites refuse: safe, and visible.
"""

from fractions import Fraction
from functools import lru_cache
from math import inf, nextafter

# By its parts: opendp.prelude would load scikit-learn, if it is installed, for seconds.
from opendp.combinators import make_zCDP_to_approxDP
from opendp.domains import atom_domain
from opendp.measurements import make_gaussian
from opendp.metrics import absolute_distance
from opendp.mod import enable_features

from protocol.errors import UsageError
from protocol.privacy.roots import root_below

RHO_GRID = Fraction(1, 2**24)

enable_features("contrib")


def epsilon_of(rho: Fraction, delta: Fraction) -> float:
    """Return the smallest epsilon known to follow from rho-zCDP at `delta`, rounded up.

    A discrete Gaussian with D = 1 and that rho is put through OpenDP 0.16's `make_zCDP_to_approxDP`
    (the optimal Renyi order of Canonne, Kamath, Steinke 2020, proposition 12 and corollary 13).

    Raises:
        UsageError: rho or delta is outside its range.
    """
    _check_delta(delta)
    if rho <= 0:
        raise UsageError("rho-not-positive", "Expected rho > 0.", "Give a positive budget.")
    return _epsilon(rho, delta)


def rho_of(epsilon: Fraction, delta: Fraction) -> Fraction:
    """Return the largest multiple of 2^-24 whose `epsilon_of` is at most `epsilon`.

    Raises:
        UsageError: epsilon is not positive, or too small for one step of the grid.
    """
    _check_delta(delta)
    if epsilon <= 0:
        raise UsageError("epsilon-not-positive", "Expected epsilon > 0.", "Give a positive one.")
    return _rho(epsilon, delta)


@lru_cache(maxsize=4096)
def _epsilon(rho: Fraction, delta: Fraction) -> float:
    scale = _float_below(root_below(1 / (2 * rho)))
    measurement = make_gaussian(atom_domain(T="i64"), absolute_distance(T="f64"), scale=scale)
    curve = make_zCDP_to_approxDP(measurement).map(1.0)  # type: ignore[no-untyped-call]
    return nextafter(float(curve.epsilon(_float_below(delta))), inf)


@lru_cache(maxsize=256)
def _rho(epsilon: Fraction, delta: Fraction) -> Fraction:
    too_much = 1
    while _epsilon(too_much * RHO_GRID, delta) <= epsilon:
        too_much *= 2
    enough = too_much // 2
    while too_much - enough > 1:
        middle = (enough + too_much) // 2
        if _epsilon(middle * RHO_GRID, delta) <= epsilon:
            enough = middle
        else:
            too_much = middle
    if enough == 0:
        raise UsageError(
            "epsilon-too-small",
            "Expected an epsilon that is worth at least 2^-24 of rho, found a smaller one.",
            "Write a larger epsilon, or give rho itself.",
        )
    return enough * RHO_GRID


def _check_delta(delta: Fraction) -> None:
    if not 0 < delta < 1:
        raise UsageError("delta-out-of-range", "Expected 0 < delta < 1.", "Write delta = 1e-6.")


def _float_below(value: Fraction) -> float:
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else nextafter(nearest, 0.0)
