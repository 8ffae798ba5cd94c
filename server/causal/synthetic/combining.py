"""One interval from several synthetic data sets: combining rules for draws from a posterior.

Notation. Q: what is asked for, a number that follows from the population, such as a regression
coefficient. q_j, u_j: its estimate and the variance of that estimate, computed from data set j as
if its rows were all there is; m sets, qbar and ubar their means, b the variance of the q_j with
divisor m - 1. W: the variance of Q given the release, of sampling and privacy noise together.

Set j is drawn from parameters theta_j, themselves drawn from the distribution of the parameters
given the release. So q_j = Q(theta_j) + e_j, where Q(theta_j) has the variance W about its mean
and e_j, the sampling of synthetic rows, the variance ubar, whatever number of rows there is:

    E b = W + ubar,    Var(Q - qbar) = W + (W + ubar) / m = (1 + 1/m) (W + ubar) - ubar,

estimated by T = (1 + 1/m) b - ubar: the rule of Raghunathan, Reiter and Rubin (2003) for fully
synthetic data, which Raisa, Jalko, Kaski and Honkela (AISTATS 2023) show to hold for data made
from noisy sums by a model that knows the noise. The rule of Raab, Nowok and Dibben (2016), which
needs no b, takes W for the sampling variance of the records and so leaves out the privacy noise.

T may fall below zero. W cannot, so that Var(Q - qbar) is at least ubar / m, and T is raised to it.
Reiter (2002) puts ubar, scaled to the number of records, in place of a negative T: right for W
without privacy noise, too small with it. T / ((1 + 1/m) b) of b's m - 1 degrees of freedom remain
in T, squared (Satterthwaite, as in 2003); between 2 and m - 1 of them are counted, since with few
the t distribution gives intervals of any length. docs/synthetic-data.md has what this covers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from protocol.errors import UsageError
from server.causal.answers.effects import check_level
from server.causal.synthetic.student import two_sided_quantile

Reals: TypeAlias = NDArray[np.float64]
Sets: TypeAlias = "Sequence[Any] | NDArray[Any] | pd.Series[Any] | pd.DataFrame"
Quantity: TypeAlias = "float | Reals | pd.Series[float]"

_FEWEST_DEGREES = 2


@dataclass(frozen=True, slots=True, eq=False)
class Combined:
    """Estimates with their intervals: numbers, arrays or Series as the estimates that came in."""

    estimate: Quantity
    variance: Quantity  # of sampling, privacy noise and the finite synthetic data together
    standard_error: Quantity
    low: Quantity
    high: Quantity
    degrees_of_freedom: Quantity
    level: float


class _Stacked(NamedTuple):
    numbers: Reals  # shape (sets, ..)
    labels: "pd.Index[Any] | None"  # of the coefficients


def combine(estimates: Sets, variances: Sets, *, level: float = 0.95) -> Combined:
    """Return what several synthetic data sets say together, elementwise.

    `estimates[j]` and `variances[j]` come from data set j: a number, an array or a Series of
    coefficients each; or a DataFrame with one row a set. A variance is the square of the standard
    error that a standard tool prints. The sets have to come from different parameter draws
    (`Model.sample_copies`, or a release with several copies).

    Raises:
        UsageError: fewer than 2 sets, shapes or labels that differ, values that are no finite
            numbers, negative variances, or a level outside (0, 1).
    """
    check_level(level)
    found, within = _stack(estimates, "estimates"), _stack(variances, "variances")
    _check(found, within)
    sets = len(found.numbers)
    mean_within = _in_order_of(found, within).mean(axis=0)
    inflated = (1 + 1 / sets) * found.numbers.var(axis=0, ddof=1)
    variance = np.maximum(inflated - mean_within, mean_within / sets)
    degrees = _degrees_of_freedom(variance, inflated, sets)
    estimate, error = found.numbers.mean(axis=0), np.sqrt(variance)
    reach = np.vectorize(two_sided_quantile, otypes=[float])(level, degrees) * error
    return Combined(
        estimate=_like(found, estimate),
        variance=_like(found, variance),
        standard_error=_like(found, error),
        low=_like(found, estimate - reach),
        high=_like(found, estimate + reach),
        degrees_of_freedom=_like(found, degrees),
        level=level,
    )


def _degrees_of_freedom(variance: Reals, inflated: Reals, sets: int) -> Reals:
    """Return Satterthwaite's number for the part of `inflated` that is left in `variance`."""
    share = np.divide(variance, inflated, out=np.ones_like(variance), where=inflated > variance)
    degrees: Reals = np.maximum((sets - 1) * share**2, min(_FEWEST_DEGREES, sets - 1))
    return degrees


def _stack(sets: Sets, name: str) -> _Stacked:
    labels: pd.Index[Any] | None = None
    items: list[Any]
    if isinstance(sets, pd.DataFrame):
        labels, items = sets.columns, list(sets.to_numpy())
    else:
        items = list(sets)
        series = [item for item in items if isinstance(item, pd.Series)]
        if items and len(series) == len(items):
            labels = series[0].index
            items = [_aligned(item, labels, name) for item in series]
    try:
        return _Stacked(np.array(items, dtype=np.float64), labels)
    except (TypeError, ValueError) as error:
        raise UsageError(
            "not-numbers",
            f"Expected {name} as numbers, as many from every data set; found something else.",
            "Give one number, or the same coefficients, from each data set.",
        ) from error


def _aligned(item: "pd.Series[Any]", labels: "pd.Index[Any]", name: str) -> NDArray[Any]:
    """Return what is in `item`, in the order of `labels`."""
    if len(item) != len(labels) or set(item.index) != set(labels) or not labels.is_unique:
        raise UsageError(
            "labels-differ",
            f"Expected {name} with the same labels from every data set, each once.",
            "Fit the same model to every data set.",
        )
    return item.reindex(labels).to_numpy()


def _in_order_of(found: _Stacked, within: _Stacked) -> Reals:
    """Return the variances, in the order of the estimates where both have labels."""
    if found.labels is None or within.labels is None:
        return within.numbers
    rows = [pd.Series(row, index=within.labels) for row in within.numbers]
    return np.array([_aligned(row, found.labels, "variances") for row in rows])


def _check(found: _Stacked, within: _Stacked) -> None:
    if found.numbers.shape != within.numbers.shape:
        raise UsageError(
            "lengths-differ",
            f"Expected one variance per estimate, found shapes {found.numbers.shape} "
            f"and {within.numbers.shape}.",
            "Give estimates and variances of the same data sets.",
        )
    if len(found.numbers) < 2:
        raise UsageError(
            "too-few-sets",
            f"Expected at least 2 data sets, found {len(found.numbers)}.",
            "Ask for several: `concause sample --copies 20`, or model.sample_copies(20, ...).",
        )
    if not (np.isfinite(found.numbers).all() and np.isfinite(within.numbers).all()):
        raise UsageError(
            "not-finite",
            "Expected finite estimates and variances, found NaN or infinity.",
            "Look at the analysis of that data set: a group may be empty in it.",
        )
    if (within.numbers < 0).any():
        raise UsageError(
            "negative-variance",
            "Expected variances from 0, found a negative one.",
            "Give squared standard errors, not bounds of intervals.",
        )


def _like(found: _Stacked, result: Reals) -> Quantity:
    if found.labels is not None:
        return pd.Series(result, index=found.labels)
    return float(result) if result.ndim == 0 else result
