"""Families without the codes that only the data have: MISSING, where the study has an indicator.

P(node | parents) is fitted to the rows in which all of them are known, which by the study's graph
speak for the others (protocol/study/structure.py).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.estimation.family import NoisyFamily


def restricted(family: NoisyFamily, sizes: Sequence[int]) -> NoisyFamily:
    """Return the part of a family in the first `sizes` codes of its parents and its node.

    Cells are left out, none are added up: contrasts of what is left keep their noise. With V / k
    and v the variances of a row's constant and of its other contrasts, a cell has the variance
    v + (V / k - v) / k and two cells of a row the covariance (V / k - v) / k; so a total over
    fewer codes has that of `_total_variance`.
    """
    *parents, codes = sizes
    full = (*family.parent_sizes, family.codes)
    if tuple(sizes) == full:
        return family
    table = _inside(family.table, full, sizes)
    consistent = None if family.consistent is None else _inside(family.consistent, full, sizes)
    possible = None if family.possible is None else _inside(family.possible, full, sizes)
    known = np.maximum(table, 0.0) if consistent is None else consistent
    return replace(
        family,
        table=table,
        totals=known.sum(axis=1),
        base=family.base[:codes] / family.base[:codes].sum(),
        parent_sizes=tuple(parents),
        total_variance=_total_variance(family, codes),
        scores=None if family.scores is None else family.scores[:codes],
        consistent=consistent,
        possible=possible,
    )


def _inside(table: NDArray[Any], full: Sequence[int], sizes: Sequence[int]) -> NDArray[Any]:
    """Return the first `sizes` codes of a table over all, a row per combination of parents."""
    inside = tuple(slice(size) for size in sizes)
    return table.reshape(full)[inside].reshape(-1, sizes[-1])


def _total_variance(family: NoisyFamily, codes: int) -> float:
    """Return the noise variance of a row's total over its first codes."""
    together = (family.total_variance / family.codes - family.contrast_variance) / family.codes
    return codes * family.contrast_variance + codes**2 * together
