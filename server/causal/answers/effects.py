"""Means and contrasts of worlds, with their intervals.

An interval is the estimate plus and minus normal quantiles times the standard deviation of the
parameter draws, cut off where the quantity cannot lie (protocol/decisions/0004-effect-intervals.md
says why, and how they cover). What simulation leaves open is added to the variance.

A hazard ratio is that of the population: the ratio of the cumulative hazards -log S by the last
edge in two worlds, which is the ratio of hazards where these are proportional. Intervals of ratios
are made on the scale of their logarithm, and so are their standard errors.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import exp, hypot, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from server.causal.answers.means import Method, Rung, WorldMeans
from server.causal.answers.measures import Measure
from server.causal.mechanisms.mechanism import WHOLE

Means = NDArray[np.float64]  # shape (1 + draws,): by the point estimate, then by every draw

_LEAST_RISK = 0.5 / WHOLE  # smaller ones are below what a draw can hold


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval; all in units of the quantity that was asked for."""

    estimate: float
    low: float
    high: float
    level: float
    standard_error: float  # of sampling and privacy noise together, and of simulation
    monte_carlo_error: float = 0.0  # standard error of `estimate` by simulation alone
    method: Method = "exact"


@dataclass(frozen=True, slots=True)
class Effect:
    """E[outcome | do(treatment = treated)] - E[outcome | do(treatment = reference)].

    Or another `measure`: the difference of risks, restricted means or quantiles, or a ratio.
    """

    treatment: str
    outcome: str
    treated: str
    reference: str
    estimate: float
    low: float
    high: float
    level: float
    standard_error: float  # of a ratio, that of its logarithm
    monte_carlo_error: float = 0.0
    method: Method = "exact"
    measure: Measure = "mean"
    event: str = ""  # the level whose probability is compared
    given: str = ""  # the persons among whom
    rung: Rung = "interventional"
    rests_on: tuple[str, ...] = ()  # what has to hold for it, in sentences

    def to_json(self) -> dict[str, str | float | list[str]]:
        """Return the effect as a JSON object."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return found | {"rests_on": list(self.rests_on)}


def means_each(means: WorldMeans, level: float, bounds: tuple[float, float]) -> list[Estimate]:
    """Return every mean by itself, with its interval.

    Raises:
        UsageError: as `summarise`.
    """
    errors = np.sqrt(np.maximum(np.diag(means.covariance), 0.0))
    return [
        replace(summarise(values, level, bounds, float(error)), method=means.method)
        for values, error in zip(means.values, errors, strict=True)
    ]


def difference_of(means: WorldMeans, level: float, bounds: tuple[float, float]) -> Estimate:
    """Return the mean in the first world less that in the second; `bounds` are those of means.

    Raises:
        UsageError: as `summarise`.
    """
    width = bounds[1] - bounds[0]
    error = _simulation_error(means, np.array([1.0, -1.0]))
    found = summarise(means.values[0] - means.values[1], level, (-width, width), error)
    return replace(found, method=means.method)


def ratio_of(means: WorldMeans, level: float, measure: Measure) -> Estimate:
    """Return the ratio of risks, of odds or of cumulative hazards, given the risks in two worlds.

    Risks are kept from 0 and 1 by half a part per million, so that a ratio without events is wide.

    Raises:
        UsageError: as `summarise`.
    """
    log_of, slope_of = _LOGARITHMS[measure]
    risks = np.clip(means.values, _LEAST_RISK, 1 - _LEAST_RISK)
    logs = log_of(risks)
    error = _simulation_error(means, slope_of(risks[:, 0]) * np.array([1.0, -1.0]))
    found = summarise(logs[0] - logs[1], level, (-np.inf, np.inf), error)
    return replace(
        found,
        estimate=exp(found.estimate),
        low=exp(found.low),
        high=exp(found.high),
        monte_carlo_error=exp(found.estimate) * error,
        method=means.method,
    )


# Of a ratio's terms: the logarithm by the risk r, and d logarithm / d r.
_LOGARITHMS: Mapping[Measure, tuple[Callable[[Means], Means], Callable[[Means], Means]]] = {
    "risk-ratio": (np.log, lambda risk: 1 / risk),
    "odds-ratio": (lambda risk: np.log(risk / (1 - risk)), lambda risk: 1 / (risk * (1 - risk))),
    "hazard-ratio": (
        lambda risk: np.log(-np.log1p(-risk)),
        lambda risk: -1 / ((1 - risk) * np.log1p(-risk)),
    ),
}


def summarise(
    values: Means, level: float, bounds: tuple[float, float], monte_carlo_error: float = 0.0
) -> Estimate:
    """Return the point estimate, `values[0]`, with its interval by the draws after it.

    Raises:
        UsageError: `level` is not between 0 and 1, or the quantity is undefined.
    """
    check_level(level)
    draws = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not draws.size:
        raise UsageError(
            "undefined-mean",
            "Expected an outcome with a value, found one that is always missing.",
            "Ask for marginal() of it instead.",
        )
    point, error = float(values[0]), hypot(float(draws.std()), monte_carlo_error)
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    low, high = max(point - reach, bounds[0]), min(point + reach, bounds[1])
    return Estimate(point, low, high, level, error, monte_carlo_error)


def check_level(level: float) -> None:
    """Raise UsageError unless `level` is a confidence level."""
    if not 0 < level < 1:
        raise UsageError(
            "level-out-of-range",
            f"Expected a level between 0 and 1, found {level}.",
            "Write 0.95 for 95 %.",
        )


def _simulation_error(means: WorldMeans, slopes: NDArray[np.float64]) -> float:
    return sqrt(max(float(slopes @ means.covariance @ slopes), 0.0))
