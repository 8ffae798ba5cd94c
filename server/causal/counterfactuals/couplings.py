"""From what a person is to what that person would have been, node by node: couplings of noise.

A mechanism says P(node | causes). How the noise of a person who has been seen carries over to
other causes is more than data can say, but where noise is added:

    exact        Gaussian regressions: the residual stays the same (additive noise)
    inverse CDF  ordered levels, booleans, counts, binned numbers and times: the place in the
                 distribution, a number u with F(below) <= u < F(up to and with) what was seen,
                 stays the same. So nobody is moved against the order
    Gumbel-max   levels without an order: argmax_k log p_k + g_k, with the g that fit what was seen
                 (Oberst and Sontag 2019), drawn top-down (Maddison et al. 2014)

`free` are fractions in [0, 1) that choose among all noise that fits what was seen.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from server.causal.mechanisms.mechanism import Response
from server.causal.sampling.bins import Bins

Reals: TypeAlias = NDArray[Any]  # float64, shape (rows,)
Integers: TypeAlias = NDArray[Any]  # shape (rows,)
Shares: TypeAlias = NDArray[np.float64]  # P(level | causes), shape (rows, levels)
Coupling: TypeAlias = Literal["exact", "inverse CDF", "Gumbel-max", "computed"]

_BELOW_ONE = np.nextafter(1.0, 0.0)
_LEAST = 2.0**-60  # of a fraction whose logarithm is taken


def place_of(shares: Shares, codes: Integers, within: Reals) -> Reals:
    """Return the place in a distribution over levels: `within`, from 0 to 1, of those of a code."""
    ends = _ends(shares)
    rows = np.arange(len(codes))
    low, high = ends[rows, codes], ends[rows, codes + 1]
    return np.asarray(np.minimum(low + within * (high - low), _BELOW_ONE))


def at_place(shares: Shares, place: Reals) -> tuple[Integers, Reals]:
    """Return the code at a place, and how far between its ends the place lies."""
    ends = _ends(shares)
    codes = (place[:, None] >= ends[:, 1:-1]).sum(axis=1)
    codes = _possible(shares, codes)
    rows = np.arange(len(codes))
    low, high = ends[rows, codes], ends[rows, codes + 1]
    within = np.divide(place - low, high - low, out=np.zeros(len(codes)), where=high > low)
    return codes, np.clip(within, 0.0, _BELOW_ONE)


def _ends(shares: Shares) -> Shares:
    """Return the cumulative shares with 0 before and 1 behind, shape (rows, levels + 1)."""
    ends = np.zeros((len(shares), shares.shape[1] + 1))
    np.cumsum(shares, axis=1, out=ends[:, 1:])
    ends[:, -1] = 1.0
    return ends


def _possible(shares: Shares, codes: Integers) -> Integers:
    """Return codes that have a share: rounding may end on one at the margin that has none."""
    rows = np.arange(len(codes))
    wrong = shares[rows, codes] <= 0
    return np.where(wrong, shares.argmax(axis=1), codes) if wrong.any() else codes


def moved_by_gumbel(
    before: Shares, codes: Integers, after: Shares, free: Sequence[Reals]
) -> Integers:
    """Return the levels under other shares; `free` holds one more column than there are levels.

    With Z = max_k log p_k + g_k, standard Gumbel whatever the shares: g of the level that was seen
    is Z - log p, and of any other -log(exp(-Z) + E / p) - log p with E of the exponential
    distribution, that is, truncated below Z. A level without a share tells nothing of its g.
    """
    top, *others = (-np.log(np.maximum(each, _LEAST)) for each in free)  # exp(-Z), then each E
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.empty_like(after)
        for level, each in enumerate(others):
            share = before[:, level]
            apart = np.where(share > 0, top * share + each, each)  # exp(-g) of those not seen
            own = np.where(codes == level, top * share, apart)
            scores[:, level] = np.where(after[:, level] > 0, after[:, level] / own, -1.0)
    return np.asarray(scores.argmax(axis=1))


def residual_of(
    values: Reals, predictor: Reals, scale: Reals, bounds: tuple[float, float], free: Reals
) -> Reals:
    """Return the standard normal noise of values; where a bound hides it, some that reaches it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = np.where(scale > 0, (values - predictor) / scale, special.ndtri(free))
    at_low, at_high = values <= bounds[0], values >= bounds[1]
    if at_low.any() or at_high.any():
        below = special.ndtr(noise)
        hidden = np.where(at_low, free * below, below + free * (1 - below))
        hidden = special.ndtri(np.clip(hidden, _LEAST, _BELOW_ONE))
        noise = np.where((at_low | at_high) & (scale > 0), hidden, noise)
    return np.asarray(noise)


def response_place(
    response: Response,
    values: Reals,
    predictor: Reals,
    scale: Reals,
    most: float,
    free: Reals,
) -> Reals:
    """Return a place in the distribution of a count, or of a boolean, that has this value."""
    if response == "logistic":
        none = special.expit(-predictor)
        low, high = np.where(values > 0, none, 0.0), np.where(values > 0, 1.0, none)
    else:
        mean = np.exp(np.minimum(predictor, 50.0))
        size = np.inf if response == "poisson" else 1.0 / np.maximum(scale, 1e-9)
        low = np.where(values > 0, _count_cdf(np.maximum(values - 1, 0), mean, size), 0.0)
        high = np.where(values >= most, 1.0, _count_cdf(values, mean, size))
    return np.asarray(np.minimum(low + free * (high - low), _BELOW_ONE))


def _count_cdf(values: Reals, mean: Reals, size: Reals | float) -> Reals:
    if np.isscalar(size):
        return np.asarray(special.pdtr(values, mean))
    return np.asarray(special.betainc(size, values + 1, size / (size + mean)))


def within_bin(bins: Bins, codes: Integers, values: Reals, free: Reals) -> Reals:
    """Return the place of values inside their bins, as `bins.placed` has them there."""
    parts = bins.cumulative.shape[1] - 1
    last = len(bins.edges) - 2
    bin_ = np.minimum(codes, last).astype(np.intp)
    known = np.where(np.isfinite(values), values, bins.edges[bin_])
    part = np.clip(np.searchsorted(bins.parts, known, side="right") - 1, 0, len(bins.parts) - 2)
    part = np.clip(part, bin_ * parts, bin_ * parts + parts - 1)
    low, high = bins.parts[part], bins.parts[part + 1]
    if bins.whole:
        top = np.where(bin_ == last, high + 1, high)
        inside = (known - low + free) / (top - low)
    elif bins.logarithmic:
        inside = np.log(known / low) / np.log(high / low)
    else:
        inside = (known - low) / (high - low)
    reached = bins.cumulative[bin_]
    at = (part - bin_ * parts)[:, None]
    below = np.take_along_axis(reached, at, axis=1)[:, 0]
    share = np.take_along_axis(reached, at + 1, axis=1)[:, 0] - below
    within = below + np.clip(inside, 0.0, 1.0) * share
    return np.where(np.isfinite(values), np.clip(within, 0.0, _BELOW_ONE), free)
