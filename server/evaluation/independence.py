"""Whether two variables are independent given others, by a noisy table of them all.

For every combination z of the others, D = n(x, y, z) - n(x, z) n(y, z) / n(z) is what the pair has
beyond independence. The statistic is the sum of D^2 over its expected size, that of Pearson where
there is no noise, and larger where there is.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.evaluation.replicates import REPLICATES, Comparison, NoisyTable, Released, compared

Reals: TypeAlias = NDArray[Any]  # float64

_FLOOR = 2.0  # standard deviations of its noise, below which a count of persons is not divided by


@dataclass(frozen=True, slots=True)
class Independence:
    """The test of x and y given others; strengths are Cramer's V, from 0 to 1."""

    p: float
    strength: float
    detectable: float


def independence_of(data: Released, x: str, y: str, given: tuple[str, ...]) -> Independence:
    """Return the test of independence of x and y given others, all in one family."""
    order = [name for name in data.layout.sizes if name in {x, y, *given}]
    clique = next(it for it in data.layout.spans if set(it) == set(order))
    table = _in_order(data.table(clique), (*given, x, y))
    shares = _independent(table.counts, table.cell_noise)
    purpose = f"{x}|{y}|{','.join(given)}"
    drawn = table.replicates(shares, REPLICATES, data.generator(purpose))
    statistics = statistic(np.concatenate([table.counts[None], drawn]), table.cell_noise)
    found: Comparison = compared(float(statistics[0]), statistics[1:])
    least = min(table.counts.shape[-2:]) - 1
    left = visible(shares * table.persons, table.cell_noise)
    scale = table.persons * max(least, 1) * left
    return Independence(
        found.p,
        float(np.sqrt(min(found.excess / scale, 1.0))),
        float(np.sqrt(min(found.detectable / scale, 1.0))),
    )


def _in_order(table: NoisyTable, order: tuple[str, ...]) -> NoisyTable:
    axes = [table.clique.index(name) for name in order]
    return NoisyTable(
        order, table.counts.transpose(axes), table.noise.transpose(axes), table.persons
    )


def visible(expected: Reals, cell_noise: float) -> float:
    """Return which part of Pearson's statistic is left, for a deviation alike in all cells.

    sum e^2 / (e + noise) over sum e: 1 without noise.
    """
    kept = expected**2 / (expected + cell_noise + 1e-12)
    return max(float(kept.sum() / expected.sum()), 1e-12)


def statistic(counts: Reals, cell_noise: float) -> Reals:
    """Return the statistic of every table, shape (tables,); the last two axes are x and y."""
    size, other = counts.shape[-2:]
    by_x, by_y = counts.sum(axis=-1, keepdims=True), counts.sum(axis=-2, keepdims=True)
    total = by_x.sum(axis=-2, keepdims=True)
    floor = _FLOOR * np.sqrt(cell_noise * size * other) + 1.0
    safe = np.maximum(total, floor)
    apart = counts - by_x * by_y / safe
    expected = np.maximum(by_x, 0) * np.maximum(by_y, 0) / safe
    least = safe / (size * other) ** 2
    return np.asarray(
        (apart**2 / (np.maximum(expected, least) + cell_noise)).reshape(len(counts), -1).sum(axis=1)
    )


def _independent(counts: Reals, cell_noise: float) -> Reals:
    """Return shares of a table in which x and y are independent given the others."""
    size, other = counts.shape[-2:]
    total = np.maximum(counts.sum(axis=(-2, -1), keepdims=True), 0.0)
    by_x = shares_along(counts.sum(axis=-1, keepdims=True), -2, cell_noise * other)
    by_y = shares_along(counts.sum(axis=-2, keepdims=True), -1, cell_noise * size)
    weights = total if total.sum() > 0 else np.ones_like(total)
    found = weights * by_x * by_y
    return np.asarray(found / found.sum())


def shares_along(counts: Reals, axis: int, noise: float) -> Reals:
    """Return shares along an axis: those of counts, drawn to even ones as far as noise rules."""
    size = counts.shape[axis]
    kept = np.maximum(counts, 0.0)
    total = kept.sum(axis=axis, keepdims=True)
    persons = np.maximum(total**2 / (total + noise * size + 1e-12), 0.0)  # signal
    own = np.where(total > 0, kept / np.where(total > 0, total, 1.0), 1 / size)
    weight = persons / (persons + 1.0)
    return np.asarray(weight * own + (1 - weight) / size)
