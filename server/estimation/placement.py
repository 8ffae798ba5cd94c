"""Where values lie inside their bins, from the noisy one-way histogram of the bins' parts.

The shares of the m parts of a bin are a priori 1 / m, with variance w = (1 / 4 m)^2 + s: a quarter
up or down is nothing special, and s is the spread that the counts z of the bin have beyond noise
of variance v and the sampling of its n persons, s = max(mean (z - n / m)^2 - v - n / m, 0) / n^2
(empirical Bayes; Efron and Morris 1973). So w n^2 / (w n^2 + v + n / m) of each difference is kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from protocol.study.graph import Clique
from protocol.study.study import Study
from protocol.study.time import base_name
from protocol.study.variables import Numeric
from server.causal.mechanisms.mechanism import Placement
from server.estimation.evidence import NoisySum
from server.estimation.family import WIDENING, dirichlet_like, to_simplex

Reals: TypeAlias = NDArray[Any]  # float64

_USUAL = 0.25  # deviation of a part from an even share


def fit_placements(
    study: Study, sums: Sequence[NoisySum], draws: int, generator: Generator
) -> Mapping[str, Placement]:
    """Return the placement of every numeric variable with `detail`, by its name.

    `sums` are of rounds over the same records, with plans that measure the same histograms.
    """
    found: dict[str, Placement] = {}
    for block in sums[0].plan.blocks:
        if block.kind != "histogram":
            continue
        name = base_name(block.clique[0])
        variable = study.variable(name)
        assert isinstance(variable, Numeric)  # noqa: S101 -- only these have histograms
        counts, variance = histogram_counts(sums, block.clique)
        edges = np.array([float(edge) for edge in variable.part_edges])
        found[name] = Placement(
            name,
            edges,
            part_shares(counts.reshape(-1, variable.detail), variance, draws, generator),
        )
    return found


def histogram_counts(sums: Sequence[NoisySum], clique: Clique) -> tuple[Reals, float]:
    """Return the parts' counts of all rounds by inverse variance, and the variance of noise."""
    weighted, precision = np.zeros(1), 0.0
    for noisy in sums:
        block = noisy.plan.block(clique, kind="histogram")
        weight = 1 / float(block.variance(noisy.contributors))
        weighted = weighted + weight * noisy.values[block.span]
        precision += weight
    return weighted / precision, 1 / precision


def part_shares(counts: Reals, variance: float, draws: int, generator: Generator) -> Reals:
    """Return shares of the parts of bins, shape (1 + draws, bins, parts); the estimate first.

    `counts` has shape (bins, parts), with noise of `variance` in every one.
    """
    parts = counts.shape[1]
    even = np.full_like(counts, 1 / parts)
    total = np.maximum(counts.sum(axis=1), np.sqrt(variance * parts) + 1.0)
    unsure = (variance + total / parts) / total**2
    found = (counts - counts.mean(axis=1, keepdims=True)) / total[:, None]
    beyond = np.maximum((found**2).sum(axis=1) / (parts - 1) - unsure, 0.0)
    before = (_USUAL / parts) ** 2 + beyond
    kept = before / (before + unsure)
    mean = to_simplex(even + kept[:, None] * found, even)
    left = WIDENING * kept * unsure * (parts - 1)
    drawn = dirichlet_like(
        np.broadcast_to(mean, (draws, *mean.shape)),
        np.broadcast_to(left, (draws, len(left))),
        generator,
    )
    return np.concatenate([mean[None], drawn])
