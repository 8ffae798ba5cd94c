"""Non-negative tables of all families that agree with each other and best fit the noise.

min_c sum_i (c_i - y_i)^2 / (2 v_i) over coordinates c, subject to every family's table being
non-negative, with the total held at the noisy row count: otherwise non-negativity would inflate
it. Families agree on what they share by construction, since they are maps of the same c. Solved
by ADMM (Boyd et al. 2011, 3.1.1, scaled form); each step is closed, because the contrasts of
different cliques are orthogonal.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from server.estimation.contrasts import Coordinates, FamilyMap, Reals

Possible = NDArray[np.bool_]  # shape of a family: the cells that are no declared structural zeros

MOST_STEPS = 300
TOLERANCE = 1e-4  # largest share of the total by which a family may still differ
TOTAL = 0  # the coordinate of the row count


def consistent_tables(
    maps: Sequence[FamilyMap],
    observed: Coordinates,
    variance: Coordinates,
    possible: Sequence[Possible | None] | None = None,
) -> list[Reals]:
    """Return one non-negative table per family, each summing to about the noisy row count.

    Cells that are not `possible` (one mask or None per family; None: all are) are exactly 0. A
    row count below 1 is taken as 1, so that the result is defined for any noise.
    """
    masks = [None] * len(maps) if possible is None else possible
    total = max(float(observed[TOTAL]), 1.0)
    penalty = 1.0 / np.mean([one.cell_variance(variance).mean() for one in maps])
    precision = 1.0 / variance
    stiffness = precision + penalty * _squared_spread(maps, len(observed))
    current = observed.copy()
    current[TOTAL] = total
    tables = [np.zeros(one.places.shape) for one in maps]
    dual = [np.zeros(one.places.shape) for one in maps]
    for _ in range(MOST_STEPS):
        pull = precision * observed
        worst = 0.0
        for index, one in enumerate(maps):
            rebuilt = one.table(current)
            wanted = rebuilt + dual[index]
            tables[index] = _allowed(wanted, masks[index])
            dual[index] = wanted - tables[index]
            pull += penalty * one.adjoint(tables[index] - dual[index], len(observed))
            worst = max(worst, float(np.abs(rebuilt - tables[index]).sum()) / total)
        if worst < TOLERANCE:
            break
        current = pull / stiffness
        current[TOTAL] = total
    return tables


def _allowed(table: Reals, possible: Possible | None) -> Reals:
    positive = np.maximum(table, 0.0)
    return positive if possible is None else np.where(possible, positive, 0.0)


def _squared_spread(maps: Sequence[FamilyMap], length: int) -> Coordinates:
    found = np.zeros(length)
    for one in maps:
        found += np.bincount(one.places.ravel(), weights=(one.spread**2).ravel(), minlength=length)
    return found
