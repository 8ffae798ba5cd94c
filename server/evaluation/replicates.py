"""Noisy tables as they would be if something were true: parametric bootstrap with both noises.

What a round releases of some variables is the table of all persons, plus noise of exactly known
variance in every contrast (`server/estimation/contrasts.py`). A replicate draws the persons anew
from the table of a hypothesis and the noise anew from the plan; whatever statistic is computed from
the release is computed from it in the same way. So sampling and privacy noise are both in the
distribution that the statistic is held against (Gaboardi, Lim, Rogers and Vadhan 2016 test private
tables like this).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from protocol.study.graph import Clique
from server.estimation.contrasts import (
    Layout,
    coordinates_of,
    family_map,
    helmert,
    layout_of,
)
from server.estimation.evidence import NoisySum

Reals: TypeAlias = NDArray[Any]  # float64

REPLICATES = 499


@dataclass(frozen=True, slots=True, eq=False)
class NoisyTable:
    """The released table of some variables, in persons, and the noise of its contrasts."""

    clique: Clique
    counts: Reals  # unbiased; cells may be negative
    noise: Reals  # variance of each contrast, shape of the table
    persons: float

    @property
    def cell_noise(self) -> float:
        """Return the variance of the noise in a cell, averaged over all cells."""
        return float(self.noise.mean())

    def replicates(self, shares: Reals, count: int, generator: Generator) -> Reals:
        """Return noisy tables of so many persons drawn from `shares`, shape (count, sizes ..)."""
        persons = max(round(self.persons), 1)
        drawn = generator.multinomial(persons, shares.ravel(), size=count)
        noise = generator.standard_normal((count, *self.counts.shape)) * np.sqrt(self.noise)
        return drawn.reshape(noise.shape) + _from_contrasts(noise)


@dataclass(frozen=True, slots=True, eq=False)
class Released:
    """The tables that a round released, of all sets of variables that one family holds."""

    layout: Layout
    values: Reals
    variances: Reals
    salt: bytes

    def table(self, clique: Clique) -> NoisyTable:
        """Return the table of a part of a family, its axes in the order of `clique`."""
        one = family_map(clique, self.layout)
        return NoisyTable(
            clique,
            one.table(self.values),
            one.cell_variance(self.variances),
            max(float(self.values[0]), 1.0),
        )

    def generator(self, purpose: str) -> Generator:
        """Return a generator that follows from the release and a purpose: all find the same."""
        digest = hashlib.sha256(
            b"concause/1/replicates\x00" + self.salt + purpose.encode()
        ).digest()
        return Generator(Philox(key=np.frombuffer(digest[:16], dtype="<u8")))


def released(noisy: NoisySum) -> Released:
    """Return what a sum released of its population."""
    layout = layout_of(noisy, _sizes(noisy))
    values, variances = coordinates_of(noisy, layout)
    salt = noisy.plan.hash + noisy.values.tobytes()
    return Released(layout, values, variances, salt)


def _sizes(noisy: NoisySum) -> dict[str, int]:
    blocks = noisy.plan.residuals(noisy.population)
    return {
        name: size for block in blocks for name, size in zip(block.clique, block.shape, strict=True)
    }


def _from_contrasts(contrasts: Reals) -> Reals:
    """Return the tables of contrasts, whose first axis counts tables."""
    for axis in range(1, contrasts.ndim):
        matrix = helmert(contrasts.shape[axis]).T
        contrasts = np.moveaxis(np.tensordot(matrix, contrasts, axes=(1, axis)), 0, axis)
    return np.asarray(contrasts)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A statistic against its distribution under a hypothesis."""

    p: float
    excess: float  # over what is expected under it
    detectable: float  # excess that would be found in 4 of 5 releases


_SIDE = 1.6449  # standard deviations to the 5 % point of a normal distribution, and
_POWER = 0.8416  # from there to where 4 of 5 lie above it


def compared(statistic: float, replicates: Reals) -> Comparison:
    """Return the p-value by rank (Davison and Hinkley 1997, 4.2.5), and what could be found."""
    above = int((replicates >= statistic).sum())
    expected, spread = float(replicates.mean()), float(replicates.std())
    threshold = max(float(np.quantile(replicates, 0.95)) - expected, _SIDE * spread)
    return Comparison(
        p=(1 + above) / (1 + len(replicates)),
        excess=max(statistic - expected, 0.0),
        detectable=threshold + _POWER * spread,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    largest = 0.0
    for rank, at in enumerate(order):
        largest = max(largest, min(1.0, p_values[at] * (len(p_values) - rank)))
        adjusted[at] = largest
    return [float(each) for each in adjusted]
