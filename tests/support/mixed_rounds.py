"""What a round would release of columns of every kind, for studies without visits.

Columns are arrays by variable: codes of levels, booleans, exits and indicators; numbers of numeric
and count variables, NaN where missing. `reference_statistics.py` is the slow oracle for this.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from protocol.privacy.moments import STEPS, pairs
from protocol.privacy.plan import Block, StatisticsPlan, compile_plan
from protocol.privacy.residuals import residual_table
from protocol.study.document import parse_study
from protocol.study.families import Family
from protocol.study.study import Study
from protocol.study.variables import Boolean, Count, Numeric
from server.estimation.evidence import NoisySum

Column = NDArray[Any]
Columns = Mapping[str, Column]

HEAD = """\
format = "concause-study/1"
name = "simulated"
title = "Simulated"
author = "A. Author"
expires = 2030-12-31
cohort = { n_min = 8, tolerated_colluders = 1, threshold = 7 }
trust = { aggregation = "masking" }
"""
CONTRIBUTORS = 10


def simulated(text: str, epsilon: float = 1.0) -> tuple[Study, StatisticsPlan]:
    """Return a study of ten sites' setting, made of its variables, mechanisms and graph."""
    study = parse_study(f"{HEAD}budget = {{ epsilon = {epsilon}, delta = 1e-6 }}\n{text}")
    return study, compile_plan(study)


def release_columns(
    study: Study, plan: StatisticsPlan, columns: Columns, generator: Generator | None
) -> NoisySum:
    """Return the sum of a round over the columns; without a generator, without noise.

    Rounded Gaussian noise stands in for the discrete Gaussian.
    """
    values = np.zeros(plan.length, dtype=np.int64)
    codes = {name: codes_of(study, name, column) for name, column in columns.items()}
    for block in plan.blocks:
        exact = _exact(study, plan, block, columns, codes).ravel()
        scale = math.sqrt(block.variance(CONTRIBUTORS))
        noise = 0.0 if generator is None else scale * generator.standard_normal(block.size)
        values[block.span] = exact + np.rint(noise).astype(np.int64)
    return NoisySum(plan, values, CONTRIBUTORS)


def codes_of(study: Study, name: str, column: Column) -> NDArray[np.intp]:
    """Return the measured codes of a column."""
    variable = study.variables[name]
    if not isinstance(variable, Numeric | Count):
        return column.astype(np.intp)
    edges = np.array([float(edge) for edge in variable.edges])
    missing = np.isnan(column.astype(np.float64))
    inside = np.clip(np.where(missing, edges[0], column), edges[0], edges[-1])
    found = np.minimum(np.searchsorted(edges, inside, side="right") - 1, len(edges) - 2)
    return np.where(missing, -1 if variable.missing_code is None else variable.missing_code, found)


def _exact(
    study: Study,
    plan: StatisticsPlan,
    block: Block,
    columns: Columns,
    codes: Mapping[str, NDArray[np.intp]],
) -> NDArray[np.int64]:
    match block.kind:
        case "residual":
            rows = len(next(iter(codes.values())))
            return residual_table(
                _counts([codes[name] for name in block.clique], block.shape, rows)
            )
        case "histogram":
            return _histogram(study, block, columns)
    [family] = [one for one in plan.families if one.node == block.clique[-1]]
    return _moments(study, family, block, columns, codes)


def _counts(
    columns: list[NDArray[np.intp]], shape: tuple[int, ...], rows: int
) -> NDArray[np.int64]:
    flat = np.ravel_multi_index(columns, shape) if columns else np.zeros(rows, np.intp)
    return np.bincount(flat, minlength=math.prod(shape)).reshape(shape).astype(np.int64)


def _histogram(study: Study, block: Block, columns: Columns) -> NDArray[np.int64]:
    variable = study.variables[block.clique[0]]
    assert isinstance(variable, Numeric)
    edges = np.array([float(edge) for edge in variable.part_edges])
    known = columns[block.clique[0]][~np.isnan(columns[block.clique[0]])]
    return np.histogram(np.clip(known, edges[0], edges[-1]), edges)[0].astype(np.int64)


def _moments(
    study: Study,
    family: Family,
    block: Block,
    columns: Columns,
    codes: Mapping[str, NDArray[np.intp]],
) -> NDArray[np.int64]:
    names = (*family.regressors, family.node)
    z = np.array([_scaled(study, name, columns[name]) for name in names])
    known = ~np.isnan(z).any(axis=0)
    integers = np.rint(STEPS * np.concatenate([np.ones((1, known.sum())), z[:, known]]))
    row = np.zeros(int(known.sum()), dtype=np.intp)
    for name in family.rows:
        row = row * study.variables[name].size + codes[name][known]
    cells = math.prod(block.shape[:-1])
    sums = [
        np.bincount(row, weights=integers[i] * integers[j], minlength=cells)
        for i, j in pairs(len(family.regressors))
    ]
    return np.rint(np.array(sums).T.reshape(block.shape)).astype(np.int64)


def _scaled(study: Study, name: str, column: Column) -> NDArray[np.float64]:
    variable = study.variables[name]
    if isinstance(variable, Boolean):
        return 2.0 * column - 1.0
    assert isinstance(variable, Numeric | Count)
    low, high = (float(bound) for bound in variable.bounds)
    scaled: NDArray[np.float64] = 2 * (np.clip(column, low, high) - low) / (high - low) - 1
    return scaled
