"""Where values lie inside their bins, from the noisy one-way histogram of the bins' parts.

The parts of a bin are drawn to equal shares as far as noise rules: with z the noisy counts of the
m parts, v their noise variance and n their sum, the spread that counts have beyond noise is
S = max(mean (z - n / m)^2 - v - n / m, 0), and S / (S + v + n / m) of each difference is kept
(empirical Bayes; Efron and Morris 1973).
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
from server.causal.mechanism import Placement
from server.estimation.evidence import NoisySum
from server.estimation.family import dirichlet_like, to_simplex

Reals: TypeAlias = NDArray[Any]  # float64


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
        counts, variance = _combined(sums, block.clique)
        edges = np.array([float(edge) for edge in variable.part_edges])
        found[name] = Placement(
            name,
            edges,
            part_shares(counts.reshape(-1, variable.detail), variance, draws, generator),
        )
    return found


def _combined(sums: Sequence[NoisySum], clique: Clique) -> tuple[Reals, float]:
    """Return the counts of all rounds by inverse variance, and the variance of their noise."""
    weighted, precision = np.zeros(1), 0.0
    for noisy in sums:
        block = noisy.plan.block(clique, kind="histogram")
        weight = 1 / float(block.variance(noisy.contributors))
        weighted = weighted + weight * noisy.values[block.span]
        precision += weight
    return weighted / precision, 1 / precision


def part_shares(counts: Reals, variance: float, draws: int, generator: Generator) -> Reals:
    """Return shares of the parts of bins, shape (1 + draws, bins, parts); the estimate first."""
    parts = counts.shape[1]
    even = np.full_like(counts, 1 / parts)
    total = np.maximum(counts.sum(axis=1), np.sqrt(variance * parts))
    unsure = variance + total / parts
    spread = ((counts - counts.mean(axis=1, keepdims=True)) ** 2).sum(axis=1) / (parts - 1)
    signal = np.maximum(spread - unsure, 0.0)
    kept = signal / (signal + unsure)
    mean = to_simplex(even + kept[:, None] * (counts / total[:, None] - even), even)
    left = kept * unsure * (parts - 1) / total**2
    drawn = dirichlet_like(
        np.broadcast_to(mean, (draws, *mean.shape)),
        np.broadcast_to(left, (draws, len(left))),
        generator,
    )
    return np.concatenate([mean[None], drawn])
