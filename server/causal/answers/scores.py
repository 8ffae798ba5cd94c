"""What the levels of a node count for in a mean: one number a level, by the estimate and by draw.

A level of a number is a bin: it counts for the mean of the values inside, as the placement has
them; without one they are evenly spread on the scale of the numbers or of their logarithms.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.sections import Measure as StudyMeasure
from protocol.study.study import Study
from protocol.study.variables import Count, Numeric, Survival
from server.causal.mechanisms.mechanism import Placement

Reals: TypeAlias = NDArray[Any]  # float64
Scores: TypeAlias = Reals  # shape (1 or 1 + draws, levels); NaN where a level has no number


def scores_of(
    study: Study, node: str, measure: StudyMeasure, placement: Placement | None
) -> Scores:
    """Return what each level of a node counts for; rows of draws only if these differ.

    Raises:
        UsageError: no level has a number.
    """
    variable = study.variable(node)
    declared = study.model_scores(node, measure)
    found = np.array([[np.nan if score is None else float(score) for score in declared]])
    if np.isnan(found).all():
        raise UsageError(
            "no-mean",
            f"Expected an outcome with numbers, found {node!r}, whose levels have none.",
            "Ask for one of its levels: event='...', or look at marginal().",
        )
    if isinstance(variable, Numeric) and (placement is not None or variable.spacing == "log"):
        means = _bin_means(variable, placement)
        found = np.repeat(found, len(means), axis=0)
        found[:, : means.shape[1]] = means
    return found


def range_of(study: Study, node: str, measure: StudyMeasure) -> tuple[float, float]:
    """Return the smallest and the largest number that a node has: a mean lies between them."""
    variable = study.variable(node)
    if isinstance(variable, Survival) and measure == "restricted-mean":
        return 0.0, float(variable.edges[-1])
    if isinstance(variable, Numeric | Count):
        low, high = variable.bounds
        return float(low), float(high)
    values = [float(score) for score in study.model_scores(node) if score is not None]
    return min(values), max(values)


def _bin_means(variable: Numeric, placement: Placement | None) -> Reals:
    """Return the mean of each bin, shape (1 or 1 + draws, bins)."""
    edges = np.array([float(edge) for edge in variable.edges])
    bins = len(edges) - 1
    shares = np.ones((1, bins, 1)) if placement is None else placement.shares
    parts = edges if placement is None else placement.edges
    low, high = parts[:-1], parts[1:]
    middle = (low + high) / 2 if variable.spacing == "linear" else (high - low) / np.log(high / low)
    return np.asarray((shares * middle.reshape(bins, -1)).sum(axis=-1))
