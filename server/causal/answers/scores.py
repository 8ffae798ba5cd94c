"""What the levels of a node count for in a mean: one number a level, by the estimate and by draw.

A level of a number is a bin: it counts for the mean of the values inside, as the placement has
them; without one they are evenly spread on the scale of the numbers or of their logarithms.
"""

from typing import Any, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.problems import either
from protocol.study.sections import Measure
from protocol.study.study import Study
from protocol.study.variables import Count, Numeric, Survival
from server.causal.mechanisms.mechanism import Placement

Reals: TypeAlias = NDArray[Any]  # float64
Scores: TypeAlias = Reals  # shape (1 or 1 + draws, levels); NaN where a level has no number


def scores_of(study: Study, node: str, measure: Measure, placement: Placement | None) -> Scores:
    """Return what each level of a node counts for; rows of draws only if these differ.

    Raises:
        UsageError: no level has a number, or the measure is not one of such a node.
    """
    check_measure(study, node, measure)
    variable = study.variable(node)
    declared = study.model_scores(node, "risk" if measure == "hazard-ratio" else measure)
    found = np.array([[np.nan if score is None else float(score) for score in declared]])
    if np.isnan(found).all():
        raise UsageError(
            "no-mean",
            f"Expected an outcome with numbers, found {node!r}, whose levels have none.",
            "Declare it ordinal or boolean in the study, or look at marginal() instead.",
        )
    if isinstance(variable, Numeric) and (placement is not None or variable.spacing == "log"):
        means = _bin_means(variable, placement)
        found = np.repeat(found, len(means), axis=0)
        found[:, : means.shape[1]] = means
    return found


def check_measure(study: Study, node: str, measure: Measure) -> None:
    """Check that a measure is one of an outcome.

    Raises:
        UsageError: there is no such measure; or risk, restricted-mean or hazard-ratio of what is
            no time to an event.
    """
    if measure not in get_args(Measure):
        raise UsageError(
            "unknown-measure",
            f"Expected {either(get_args(Measure))}, found {measure!r}.",
            "Write one of them, or leave the measure out.",
        )
    if measure != "mean" and not isinstance(study.variable(node), Survival):
        raise UsageError(
            "measure-does-not-fit",
            f"Expected the measure 'mean' of {node!r}, which is no time to an event, "
            f"found {measure!r}.",
            "Leave the measure out.",
        )


def range_of(study: Study, node: str, measure: Measure) -> tuple[float, float]:
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
