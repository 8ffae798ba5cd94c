"""The law of a node in some rows, given its parents there: shares of its levels, or a mean."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.causal.sampling.nodes import RegressionNode, Rows
from server.causal.sampling.tables import Codes, SampledNode, parent_row

Reals: TypeAlias = NDArray[Any]  # float64, shape (rows,)


def shares_of(table: SampledNode, codes: Codes) -> NDArray[np.float64]:
    """Return P(level | causes) of rows, shape (rows, levels), as the table is drawn from."""
    if table.fixed is not None:
        return np.broadcast_to(np.eye(table.size)[table.fixed], (codes.shape[1], table.size))
    limits = table.thresholds.astype(np.float64) * 2.0**-32
    ends = np.concatenate([np.zeros((1, limits.shape[1])), limits, np.ones((1, limits.shape[1]))])
    rows = parent_row(table.parents, table.sizes, codes)
    return np.ascontiguousarray(np.diff(ends, axis=0).T[rows])


def linear_of(node: RegressionNode, rows: Rows) -> tuple[Reals, Reals]:
    """Return the linear predictor and the scale of each row."""
    row = parent_row(node.rows, node.sizes, rows.codes)
    predictor = node.coefficients[row, 0]
    for slope, place in enumerate(node.regressors, start=1):
        column = rows.values.get(place, rows.codes[place])
        predictor = predictor + node.coefficients[row, slope] * column
    return predictor, node.scale[row]
