"""Sums of rounds without the round: the statistics of rows, and noise of the plan's variance."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.privacy.residuals import residual_table
from protocol.study.study import Study
from server.causal.model import Model
from server.estimation.evidence import NoisySum

Codes = Mapping[str, NDArray[np.signedinteger[Any]]]  # by column, shape (rows,)


def noisy_sum(
    plan: StatisticsPlan, codes: Codes, generator: Generator, contributors: int = 3
) -> NoisySum:
    """Return the sum of rows of a study whose variables are all fitted to tables."""
    rows = len(next(iter(codes.values())))
    values = np.zeros(plan.length, dtype=np.int64)
    for block in plan.blocks:
        counts = np.zeros(block.shape, dtype=np.int64)
        np.add.at(counts, tuple(codes[name] for name in block.clique), 1)
        exact = residual_table(counts if block.clique else np.asarray(np.int64(rows)))
        deviation = float(block.variance(contributors)) ** 0.5
        noise = np.rint(generator.normal(0, deviation, block.size)).astype(np.int64)
        values[block.span] = exact.ravel() + noise
    return NoisySum(plan, values, contributors)


def sampled_sum(study: Study, truth: Model, rows: int, seed: int, generator: Generator) -> NoisySum:
    """Return the sum of rows that another model gives, under the plan of a study."""
    drawn = truth.codes(rows, seed)
    codes = dict(zip(truth.study.causal_graph.nodes, drawn, strict=True))
    return noisy_sum(compile_plan(study), codes, generator)
