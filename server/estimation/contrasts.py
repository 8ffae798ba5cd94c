"""Contingency tables in orthonormal contrasts, where the noise of a plan is independent.

Along an axis of size m the basis is Helmert's: first 1/sqrt(m), then m - 1 unit contrasts. The
contrasts of a clique's ANOVA component (all axes contrasted) are independent with the variance of
`NoisySum.variance`; those of every clique, one after another, are the coordinates of what a round
released. A family's table is an orthonormal transform of the coordinates of its subsets, each
spread evenly over the axes that it lacks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.privacy.plan import StatisticsPlan
from protocol.privacy.residuals import subsets
from protocol.study.families import Population
from protocol.study.graph import Clique
from server.estimation.evidence import NoisySum

Reals = NDArray[Any]  # float64; numpy widens the type of nearly every result
Coordinates = NDArray[Any]  # shape (coordinates of all cliques,)


@lru_cache(maxsize=256)
def helmert(size: int) -> Reals:
    """Return the orthonormal Helmert matrix, shape (size, size); its first row is constant."""
    matrix = np.tril(np.ones((size, size)), -1)
    matrix -= np.diag(np.arange(size))
    matrix[0] = 1.0
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    matrix.setflags(write=False)
    return matrix


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the coordinates of each clique lie, and how large each variable's domain is."""

    sizes: Mapping[str, int]
    spans: Mapping[Clique, slice]

    @property
    def length(self) -> int:
        """Return the number of coordinates."""
        return sum(span.stop - span.start for span in self.spans.values())


@dataclass(frozen=True, slots=True, eq=False)
class FamilyMap:
    """The linear map between coordinates and the table of one family, whose axes it follows."""

    family: Clique
    places: NDArray[np.intp]  # coordinate of every contrast of the table, shape (m_1, .., m_k)
    spread: Reals  # its factor: 1 / sqrt(cells of the axes that the clique lacks)

    def table(self, coordinates: Coordinates) -> Reals:
        """Return the table that coordinates stand for, in persons."""
        return _along_axes(coordinates[self.places] * self.spread, inverse=True)

    def adjoint(self, table: Reals, length: int) -> Coordinates:
        """Return the transpose of `table` applied to an array of the family's shape."""
        flat = (_along_axes(table, inverse=False) * self.spread).ravel()
        summed: Coordinates = np.bincount(self.places.ravel(), flat, length).astype(np.float64)
        return summed

    def cell_variance(self, variance: Coordinates) -> Reals:
        """Return the variance of each contrast of the table, shape (m_1, .., m_k)."""
        return np.asarray(variance[self.places] * self.spread**2, dtype=np.float64)

    def total_variance(self, variance: Coordinates) -> float:
        """Return the variance of a row's total, averaged over rows."""
        return float(self.places.shape[-1] * self.cell_variance(variance)[..., 0].mean())


def layout_of(noisy: NoisySum, sizes: Mapping[str, int]) -> Layout:
    """Return the layout of a plan's coordinates, in the order of its blocks."""
    return Layout(sizes, plan_layout(noisy.plan, noisy.population).spans)


def plan_layout(plan: StatisticsPlan, population: Population = "units") -> Layout:
    """Return the layout of the coordinates that rounds of a plan release of a population."""
    sizes: dict[str, int] = {}
    spans: dict[Clique, slice] = {}
    start = 0
    for block in plan.residuals(population):
        sizes |= zip(block.clique, block.shape, strict=True)
        length = prod(size - 1 for size in block.shape)
        spans[block.clique] = slice(start, start + length)
        start += length
    return Layout(sizes, spans)


def noise_of(plan: StatisticsPlan, layout: Layout, contributors: int) -> Coordinates:
    """Return the variance that the noise of so many sites gives to every coordinate of units."""
    variances = np.empty(layout.length)
    for clique, span in layout.spans.items():
        block = plan.block(clique)
        scale = (block.unit * prod(block.shape)) ** 2
        variances[span] = float(block.variance(contributors)) / scale
    return variances


def coordinates_of(noisy: NoisySum, layout: Layout) -> tuple[Coordinates, Coordinates]:
    """Return the released coordinates and the variances of their independent noise."""
    values, variances = np.empty(layout.length), np.empty(layout.length)
    for clique, span in layout.spans.items():
        contrasted = _along_axes(noisy.component(clique), inverse=False)
        values[span] = contrasted[tuple(slice(1, None) for _ in clique)].ravel()
        variances[span] = noisy.variance(clique)
    return values, variances


def family_map(family: Clique, layout: Layout) -> FamilyMap:
    """Return the map of one family of the plan."""
    shape = tuple(layout.sizes[name] for name in family)
    places, spread = np.empty(shape, dtype=np.intp), np.empty(shape)
    for clique in subsets(family):
        span = layout.spans[clique]
        inside = tuple(slice(1, None) if name in clique else 0 for name in family)
        own = tuple(layout.sizes[name] - 1 for name in clique)
        places[inside] = np.arange(span.start, span.stop).reshape(own)
        spread[inside] = prod(layout.sizes[name] for name in family if name not in clique) ** -0.5
    return FamilyMap(family, places, spread)


def _along_axes(table: Reals, *, inverse: bool) -> Reals:
    """Return `table` with the Helmert matrix, or its inverse, applied along every axis."""
    for axis, size in enumerate(table.shape):
        matrix = helmert(size).T if inverse else helmert(size)
        table = np.moveaxis(np.tensordot(matrix, table, axes=(1, axis)), 0, axis)
    return np.asarray(table, dtype=np.float64)
