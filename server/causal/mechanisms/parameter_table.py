"""The parameters of one mechanism as a table for people: estimate, interval, standard error.

A table mechanism has a probability per row and level; one that was made by a regression shows the
regression's coefficients in its place. A regression has a constant and slopes per row, on the
scale of its link and in the units of the regressors, and its residual standard deviation or
dispersion. Intervals as for effects (`effects.py`).
"""

from collections.abc import Sequence
from itertools import product
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.study import Study
from server.causal.answers.effects import check_level
from server.causal.mechanisms.mechanism import (
    Mechanism,
    RegressionMechanism,
    RuleMechanism,
    TableMechanism,
    Terms,
)

Reals: TypeAlias = NDArray[Any]  # float64

CONSTANT = "(constant)"
TERM = "term"
_SCALES = {"gaussian": "residual standard deviation", "negative-binomial": "dispersion"}


def parameter_table(study: Study, mechanism: Mechanism, level: float) -> pd.DataFrame:
    """Return one line per parameter: estimate, low, high, standard_error.

    The index has a level per parent that tells rows apart, then the node (of a table) or "term".

    Raises:
        UsageError: a rule has no parameters; or `level` is not between 0 and 1.
    """
    check_level(level)
    match mechanism:
        case TableMechanism(terms=Terms() as terms):
            numbers = np.concatenate([terms.estimate[None], terms.draws])
            return _lines(numbers, [(TERM, terms.names)], level)
        case TableMechanism():
            names = (*mechanism.parents, mechanism.node)
            axes = [(name, study.model_labels(name)) for name in names]
            return _lines(mechanism.point_and_draws, axes, level, (0.0, 1.0))
        case RegressionMechanism():
            return _regression(study, mechanism, level)
        case RuleMechanism():
            raise UsageError(
                "no-parameters",
                f"Expected a fitted mechanism, found the rule of {mechanism.node!r}: "
                f"{mechanism.value}.",
                "A rule is declared in the study; ask for another node.",
            )


def _regression(study: Study, mechanism: RegressionMechanism, level: float) -> pd.DataFrame:
    axes = [(name, study.model_labels(name)) for name in mechanism.rows]
    names = (CONSTANT, *mechanism.regressors)
    numbers = mechanism.coefficients
    if mechanism.response in _SCALES:
        names = (*names, _SCALES[mechanism.response])
        numbers = np.concatenate([numbers, mechanism.scale[..., None]], axis=-1)
    return _lines(numbers, [*axes, (TERM, names)], level)


def _lines(
    numbers: Reals,
    axes: Sequence[tuple[str, Sequence[str]]],
    level: float,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> pd.DataFrame:
    """Return lines of `numbers`, shape (1 + draws, sizes of the axes ..)."""
    flat = numbers.reshape(len(numbers), -1)
    estimate, error = flat[0], flat[1:].std(axis=0)
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    labels = list(product(*(values for _, values in axes)))
    return pd.DataFrame(
        {
            "estimate": estimate,
            "low": np.maximum(estimate - reach, bounds[0]),
            "high": np.minimum(estimate + reach, bounds[1]),
            "standard_error": error,
        },
        index=pd.MultiIndex.from_tuples(labels, names=[name for name, _ in axes]),
    )
