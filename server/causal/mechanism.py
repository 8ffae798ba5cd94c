"""One fitted mechanism P(node | parents): a table, its parameter draws, and how it is supported.

A draw is one plausible set of parameters, given what was released: it carries the sampling of
persons as well as the privacy noise. Draws are kept as parts per million, whole numbers that sum
to one million a row, so that they have one exact text and every reader computes the same.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Table: TypeAlias = NDArray[np.float64]  # shape (parents' sizes .., size), rows sum to 1
Tables: TypeAlias = NDArray[np.float64]  # shape (draws, parents' sizes .., size)
Parts: TypeAlias = NDArray[np.uint32]  # shape (draws, parents' sizes .., size), rows sum to WHOLE

WHOLE = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class TableMechanism:
    """A discrete mechanism; axes follow the parents, then the node itself."""

    node: str
    parents: tuple[str, ...]
    table: Table
    parts: Parts
    support: NDArray[np.float64]  # estimated persons per parent row, shape (parents' sizes ..)

    @property
    def draws(self) -> Tables:
        """Return the parameter draws as probabilities."""
        return self.parts / WHOLE

    @property
    def point_and_draws(self) -> Tables:
        """Return the point estimate followed by the draws, shape (1 + draws, ..)."""
        return np.concatenate([self.table[None], self.draws])


def apportion(tables: Tables) -> Parts:
    """Return `tables` in parts per million, by largest remainder; every row sums to WHOLE.

    Ties go to the lower code. Rows have to be non-negative and to sum to 1 up to rounding.
    """
    size = tables.shape[-1]
    exact = tables.reshape(-1, size) * WHOLE
    parts = np.floor(exact).astype(np.int64)
    short = WHOLE - parts.sum(axis=1, keepdims=True)
    rank = np.argsort(np.argsort(parts - exact, axis=1, kind="stable"), axis=1, kind="stable")
    parts += short // size + (rank < short % size)
    return parts.reshape(tables.shape).astype(np.uint32)
