"""Where values lie inside their bins, from the noisy one-way histogram of the bins' parts.

The parts of a bin are drawn to equal shares as far as noise rules: with z the noisy counts of the
m parts, v their noise variance and n their sum, the spread that counts have beyond noise is
S = max(mean (z - n / m)^2 - v - n / m, 0), and S / (S + v + n / m) of each difference is kept
(empirical Bayes; Efron and Morris 1973).
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from protocol.study.study import Study
from protocol.study.time import base_name
from protocol.study.variables import Numeric
from server.causal.mechanism import Placement
from server.estimation.evidence import NoisySum
from server.estimation.family import dirichlet_like, to_simplex

Reals: TypeAlias = NDArray[Any]  # float64


def fit_placements(
    study: Study, noisy: NoisySum, draws: int, generator: Generator
) -> Mapping[str, Placement]:
    """Return the placement of every numeric variable with `detail`, by its name."""
    found: dict[str, Placement] = {}
    for block in noisy.plan.blocks:
        if block.kind != "histogram":
            continue
        name = base_name(block.clique[0])
        variable = study.variable(name)
        assert isinstance(variable, Numeric)  # noqa: S101 -- only these have histograms
        counts = noisy.values[block.span].reshape(-1, variable.detail).astype(np.float64)
        variance = float(block.variance(noisy.contributors))
        edges = np.array([float(edge) for edge in variable.part_edges])
        found[name] = Placement(name, edges, part_shares(counts, variance, draws, generator))
    return found


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
