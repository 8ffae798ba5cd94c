"""Means and average effects on a fitted model, exact for its parameters, with intervals.

The mean of a node is taken over codes with a score (numeric: the midpoint of the bin), so that
MISSING and OTHER are left out and the rest is rescaled. An interval is the estimate plus and minus
normal quantiles times the standard deviation of the parameter draws, cut off where the quantity
cannot lie (protocol/decisions/0004-effect-intervals.md says why, and how they cover).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from server.causal.contraction import Distributions

Means = NDArray[np.float64]  # shape (1 + draws,): by the point estimate, then by every draw


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval; all in units of the quantity that was asked for."""

    estimate: float
    low: float
    high: float
    level: float
    standard_error: float  # of sampling and privacy noise together


@dataclass(frozen=True, slots=True)
class Effect:
    """E[outcome | do(treatment = treated)] - E[outcome | do(treatment = reference)]."""

    treatment: str
    outcome: str
    treated: str
    reference: str
    estimate: float
    low: float
    high: float
    level: float
    standard_error: float

    def to_json(self) -> dict[str, str | float]:
        """Return the effect as a JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}


def score_means(
    distributions: Distributions, scores: Sequence[Fraction | None], node: str
) -> Means:
    """Return the mean score of every draw; nan where a draw has no mass on scored codes.

    Raises:
        UsageError: no code of `node` has a score.
    """
    scored = np.array([score is not None for score in scores])
    if not scored.any():
        raise UsageError(
            "no-mean",
            f"Expected an outcome with numbers, found {node!r}, whose levels have none.",
            "Declare it ordinal or boolean in the study, or look at marginal() instead.",
        )
    values = np.array([float(score) for score in scores if score is not None])
    mass = distributions[:, scored]
    total = mass.sum(axis=1)
    safe: Means = np.where(total > 0, (mass @ values) / np.where(total > 0, total, 1), np.nan)
    return safe


def score_bounds(scores: Sequence[Fraction | None]) -> tuple[float, float]:
    """Return the smallest and the largest score: a mean lies between them."""
    values = [float(score) for score in scores if score is not None]
    return min(values), max(values)


def summarise(values: Means, level: float, bounds: tuple[float, float]) -> Estimate:
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
    point, error = float(values[0]), float(draws.std())
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    low, high = max(point - reach, bounds[0]), min(point + reach, bounds[1])
    return Estimate(point, low, high, level, error)


def check_level(level: float) -> None:
    """Raise UsageError unless `level` is a confidence level."""
    if not 0 < level < 1:
        raise UsageError(
            "level-out-of-range",
            f"Expected a level between 0 and 1, found {level}.",
            "Write 0.95 for 95 %.",
        )
