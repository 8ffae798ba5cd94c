"""Families without the codes that only the data have: MISSING, where the study has an indicator.

P(node | parents) is fitted to the rows in which all of them are known, which by the study's graph
speak for the others (protocol/study/structure.py).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from server.estimation.family import NoisyFamily


def restricted(family: NoisyFamily, sizes: Sequence[int]) -> NoisyFamily:
    """Return the part of a family in the first `sizes` codes of its parents and its node.

    Noise keeps its variance: cells are left out, none are added up; row totals lose the cells
    that are left out, whose noise is that of about as many fewer cells.
    """
    *parents, codes = sizes
    full = (*family.parent_sizes, family.codes)
    if tuple(sizes) == full:
        return family
    inside = tuple(slice(size) for size in sizes)
    table = family.table.reshape(full)[inside].reshape(-1, codes)
    consistent = family.consistent
    if consistent is not None:
        consistent = consistent.reshape(full)[inside].reshape(-1, codes)
    shares = _node_shares(family, codes)
    totals = family.totals.reshape(family.parent_sizes)[inside[:-1]].ravel()
    base = family.base[:codes] / family.base[:codes].sum()
    return replace(
        family,
        table=table,
        totals=totals * shares.reshape(family.parent_sizes)[inside[:-1]].ravel(),
        base=base,
        parent_sizes=tuple(parents),
        scores=None if family.scores is None else family.scores[:codes],
        consistent=consistent,
    )


def _node_shares(family: NoisyFamily, codes: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the share of each row in the first codes, between 0 and 1, shape (R,)."""
    if codes == family.codes:
        return np.ones(len(family.table))
    kept = np.maximum(family.table[:, :codes].sum(axis=1), 0.0)
    return np.asarray(np.clip(kept / family.reliable_totals, 0.0, 1.0), dtype=np.float64)
