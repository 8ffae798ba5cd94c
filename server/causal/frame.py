"""Codes as people read them: a DataFrame with one typed column per node.

boolean: int64 0/1 (Int64 with NA where MISSING is declared); categorical: Categorical with the
declared levels; ordinal: ordered Categorical, unless OTHER, which has no rank, is declared;
numeric: float64, a uniform value inside the bin, NaN for MISSING. Column types follow from the
study alone, so that batches fit together.
"""

from collections.abc import Mapping
from decimal import Decimal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from protocol.study.study import Study
from protocol.study.variables import Boolean, Numeric, Ordinal, Variable
from server.causal.noise import fractions
from server.causal.sampler import Codes, Column

Reals = NDArray[np.float64]
WITHIN_BIN = "within"  # the stream "<node>/within" places values inside their bins


def to_frame(
    study: Study, codes: Codes, values: Mapping[str, float], *, seed: int, start: int
) -> pd.DataFrame:
    """Return rows start, start + 1, .. of `codes`, shape (nodes, rows), in the graph's order.

    `values` are numbers that an intervention gave to numeric nodes.
    """
    rows = codes.shape[1]
    columns = {
        node: _column(study.variables[node], column, node, values, (seed, start))
        for node, column in zip(study.causal_graph.nodes, codes, strict=True)
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(start, start + rows))


def _column(
    variable: Variable,
    codes: Column,
    node: str,
    values: Mapping[str, float],
    at: tuple[int, int],
) -> pd.api.extensions.ExtensionArray | NDArray[np.generic]:
    match variable:
        case Numeric() if node in values:
            return np.full(len(codes), values[node])
        case Numeric():
            seed, start = at
            return _numbers(
                variable, codes, fractions(seed, f"{node}/{WITHIN_BIN}", start, len(codes))
            )
        case Boolean(missing=False):
            return codes.astype(np.int64)
        case Boolean():
            return pd.arrays.IntegerArray(codes.astype(np.int64), codes == variable.missing_code)
    return _categories(variable, codes)


def _numbers(variable: Numeric, codes: Column, position: Reals) -> Reals:
    """Return low + position (high - low) of each code's bin, below `high`; NaN for MISSING."""
    edges = np.array([_smallest_float_from(edge) for edge in variable.edges])
    bins = len(edges) - 1
    bin_ = np.minimum(codes, bins - 1)
    low, high = edges[:-1][bin_], edges[1:][bin_]
    numbers = np.minimum(low + position * (high - low), np.nextafter(high, -np.inf))
    return np.where(codes < bins, numbers, np.nan)


def _smallest_float_from(edge: Decimal) -> float:
    """Return the smallest float that is not below `edge`, so that values keep to their bin."""
    number = float(edge)
    return number if Decimal(number) >= edge else float(np.nextafter(number, np.inf))


def _categories(variable: Variable, codes: Column) -> "pd.Categorical[str]":
    levels = [label for code, label in enumerate(variable.labels) if code != variable.missing_code]
    present: Column = codes.copy()
    if variable.missing:
        present[codes == variable.missing_code] = -1
    ordered = isinstance(variable, Ordinal) and not variable.has_other
    return pd.Categorical.from_codes(present, categories=pd.Index(levels), ordered=ordered)
