"""Moments in the query: sums of products of numbers in steps, per combination of codes.

See protocol/privacy/moments.py. Rows in which a number of the family is missing are left out. The
sum of steps^2 is the number of rows times steps^2, and so on: what the constant enters is put
together here, so that the engine sums as little as possible.
"""

from collections.abc import Sequence
from functools import reduce
from operator import mul

import ibis
import numpy as np

from client.source.bounding import Rows
from client.source.encoding import Column
from client.source.engine import Engine, Sums
from client.source.populations import WEIGHT, Populations
from client.source.study_columns import StudyColumns, steps_of_family
from protocol.privacy.moments import pairs
from protocol.study.families import Family


class Products:
    """The queries of one engine for the moments of one study."""

    def __init__(self, engine: Engine, columns: StudyColumns, populations: Populations) -> None:
        self._engine = engine
        self._columns = columns
        self._populations = populations

    def of(self, family: Family) -> Sums:
        """Return the moments of a family, shape (groups, elements), by cell of its row parents."""
        columns, steps = self._columns, steps_of_family(family)
        names = (*family.regressors, family.node)

        def needed() -> list[Column]:
            return [*columns.codes(family.rows), *(columns.steps(name, steps) for name in names)]

        rows = self._populations.rows(family.population, needed)
        rows = rows.filter([rows[columns.steps_alias(name, steps)].notnull() for name in names])
        numbers = [rows[columns.steps_alias(name, steps)].cast("int32") for name in names]
        cell = columns.cell(rows, family.rows) if family.rows else ibis.literal(0, "int32")
        found = self._engine.sums(rows, cell, _products(rows, numbers))
        # z_0 = steps is summed as 1
        powers = [(i == 0) + (j == 0) for i, j in pairs(len(family.regressors))]
        return Sums(found.values, found.sums * np.array([steps**power for power in powers]))


def _products(rows: Rows, numbers: Sequence[Column]) -> list[Column]:
    """Return the weight of the row times z_i z_j for each pair, with 1 for z_0."""
    weight = rows[WEIGHT] if WEIGHT in rows.columns else ibis.literal(1, "int32")
    z = [None, *numbers]
    return [
        reduce(mul, (factor for factor in (z[i], z[j]) if factor is not None), weight)
        for i, j in pairs(len(numbers) - 1)
    ]
