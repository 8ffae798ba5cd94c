"""Means and contrasts of worlds, with their intervals.

An interval is the estimate plus and minus normal quantiles times the standard deviation of the
parameter draws, cut off where the quantity cannot lie (protocol/decisions/0004-effect-intervals.md
says why, and how they cover). What simulation leaves open is added to the variance.

A hazard ratio is that of the population: the ratio of the cumulative hazards -log S by the last
edge in two worlds, which is the ratio of hazards where these are proportional. Its interval is
made on the scale of its logarithm, and so is its standard error.
"""

from dataclasses import dataclass, replace
from math import exp, hypot, sqrt
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.sections import Measure
from server.causal.answers.contraction import Distributions
from server.causal.answers.scores import Scores
from server.causal.mechanisms.mechanism import WHOLE

Means = NDArray[np.float64]  # shape (1 + draws,): by the point estimate, then by every draw
Method: TypeAlias = Literal["exact", "simulation"]

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

    Or, by `measure`, the difference of risks, of restricted means, or the hazard ratio.
    """

    treatment: str
    outcome: str
    treated: str
    reference: str
    estimate: float
    low: float
    high: float
    level: float
    standard_error: float  # of a hazard ratio, that of its logarithm
    monte_carlo_error: float = 0.0
    method: Method = "exact"
    measure: Measure = "mean"

    def to_json(self) -> dict[str, str | float]:
        """Return the effect as a JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, eq=False)
class WorldMeans:
    """The mean of one node in some worlds."""

    values: NDArray[np.float64]  # shape (worlds, 1 + draws): the estimate, then every draw
    covariance: NDArray[np.float64]  # of the estimates by simulation, shape (worlds, worlds)
    method: Method


def score_means(distributions: Distributions, scores: Scores) -> Means:
    """Return the mean score of every draw; nan where a draw has no mass on scored codes."""
    scored = ~np.isnan(scores[0])
    mass = distributions[:, scored]
    total = mass.sum(axis=1)
    weighed = (mass * scores[:, scored]).sum(axis=1)
    safe: Means = np.where(total > 0, weighed / np.where(total > 0, total, 1), np.nan)
    return safe


def mean_of(means: WorldMeans, level: float, bounds: tuple[float, float]) -> Estimate:
    """Return the mean in the only world.

    Raises:
        UsageError: as `summarise`.
    """
    found = summarise(means.values[0], level, bounds, sqrt(means.covariance[0, 0]))
    return replace(found, method=means.method)


def difference_of(means: WorldMeans, level: float, bounds: tuple[float, float]) -> Estimate:
    """Return the mean in the first world less that in the second; `bounds` are those of means.

    Raises:
        UsageError: as `summarise`.
    """
    width = bounds[1] - bounds[0]
    error = _simulation_error(means, np.array([1.0, -1.0]))
    found = summarise(means.values[0] - means.values[1], level, (-width, width), error)
    return replace(found, method=means.method)


def hazard_ratio_of(means: WorldMeans, level: float) -> Estimate:
    """Return the ratio of cumulative hazards, given the risks in two worlds.

    Risks are kept from 0 and 1 by half a part per million, so that a ratio without events is wide.

    Raises:
        UsageError: as `summarise`.
    """
    risks = np.clip(means.values, _LEAST_RISK, 1 - _LEAST_RISK)
    hazards = -np.log1p(-risks)
    slopes = 1 / ((1 - risks[:, 0]) * hazards[:, 0])  # d log H / d risk
    error = _simulation_error(means, slopes * np.array([1.0, -1.0]))
    logs = np.log(hazards[0]) - np.log(hazards[1])
    found = summarise(logs, level, (-np.inf, np.inf), error)
    return replace(
        found,
        estimate=exp(found.estimate),
        low=exp(found.low),
        high=exp(found.high),
        monte_carlo_error=exp(found.estimate) * error,
        method=means.method,
    )


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
