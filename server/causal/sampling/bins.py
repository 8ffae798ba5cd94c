"""Bins of a number, and where its values lie inside them."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Reals: TypeAlias = NDArray[Any]  # float64, shape (rows,)


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """How codes and values of a numeric node belong together."""

    edges: Reals  # shape (bins + 1,), rising
    parts: Reals  # edges of the parts of all bins, shape (bins * m + 1,)
    cumulative: Reals  # of the shares of each bin's parts, shape (bins, m + 1); from 0 to 1
    logarithmic: bool
    whole: bool  # counts: values are whole numbers, bins hold them from edge to edge

    def codes_of(self, values: Reals) -> NDArray[np.int16]:
        """Return the bin of each value, clamped to the outer bins."""
        last = len(self.edges) - 2
        found = np.searchsorted(self.edges, values, side="right") - 1
        return np.clip(found, 0, last).astype(np.int16)


def placed(bins: Bins, codes: NDArray[np.integer], within: Reals) -> Reals:
    """Return values inside their bins, at the quantile `within` of each; NaN beyond the bins."""
    last = len(bins.edges) - 2
    part, inside = _part_of(bins, np.minimum(codes, last).astype(np.intp), within)
    low, high = bins.parts[part], bins.parts[part + 1]
    if bins.whole:
        top = np.where(codes == last, high + 1, high)
        found = np.minimum(np.floor(low + inside * (top - low)), top - 1)
    elif bins.logarithmic:
        found = low * (high / low) ** inside
    else:
        found = low + inside * (high - low)
    if not bins.whole:
        found = np.clip(found, low, np.nextafter(high, -np.inf))
    return np.where(codes <= last, found, np.nan)


def _part_of(bins: Bins, bin_: NDArray[np.intp], within: Reals) -> tuple[NDArray[np.intp], Reals]:
    """Return the part among all parts that a quantile of a bin lies in, and the place inside."""
    parts = bins.cumulative.shape[1] - 1
    if parts == 1:
        return bin_, within
    reached = bins.cumulative[bin_]  # shape (rows, parts + 1)
    part = np.clip((within[:, None] >= reached[:, 1:]).sum(axis=1), 0, parts - 1)
    below = np.take_along_axis(reached, part[:, None], axis=1)[:, 0]
    share = np.take_along_axis(reached, part[:, None] + 1, axis=1)[:, 0] - below
    inside = np.divide(within - below, share, out=np.zeros_like(within), where=share > 0)
    return bin_ * parts + part, inside
