"""How precise a study's answers will be, before any data are touched.

Delta method at a prior (`sensitivity.py`): the noise of the plan is known exactly, and sampling is
that of persons drawn from the prior. Errors are averaged over the sets of the prior, as the root of
the mean variance. What the estimator gains by pooling rows is only counted where rows lie below
the noise, so that the truth is mostly a little better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt

from protocol.privacy.conversion import RHO_GRID, rho_of
from protocol.privacy.plan import StatisticsPlan
from protocol.study.sections import Question
from protocol.study.study import Study
from protocol.study.variables import Numeric
from server.estimation.contrasts import Coordinates, noise_of, plan_layout
from server.estimation.prior import Prior
from server.estimation.sensitivity import Sensitivity, Unforeseen, survey

EPSILON_FACTORS = (Fraction(1, 2), Fraction(2))
_LEAST_CONVERTED = 64 * RHO_GRID


@dataclass(frozen=True, slots=True)
class Scenario:
    """The standard error of an answer if one thing were different."""

    epsilon: float
    sites: int  # in the sum
    standard_error: float


@dataclass(frozen=True, slots=True)
class Expectation:
    """The standard error to expect of one answer, in units of the outcome's scores."""

    question: Question
    unit: str  # of the outcome; empty if it has none
    standard_error: float
    privacy: float  # the part of the noise: its standard error alone
    sampling: float  # the part of who happens to be in the data
    scenarios: tuple[Scenario, ...]


def foresee(
    study: Study,
    plan: StatisticsPlan,
    prior: Prior,
    sites: Sequence[int] = (),
    earlier: Coordinates | None = None,
) -> tuple[Expectation | Unforeseen, ...]:
    """Return what to expect of every question, in the study's order, with n_min sites in the sum.

    Scenarios are half and twice epsilon, and every number of `sites` in the sum: each site more
    adds its share of noise, while persons stay as many. `earlier` holds the noise variances of
    coordinates that an earlier round gave already.
    """
    outlook = _Outlook(study, plan, earlier, tuple(sites))
    return tuple(
        one if isinstance(one, Unforeseen) else outlook.expectation(one)
        for one in survey(study, prior, plan_layout(plan))
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Outlook:
    study: Study
    plan: StatisticsPlan
    earlier: Coordinates | None
    sites: tuple[int, ...]

    def expectation(self, one: Sensitivity) -> Expectation:
        n_min, epsilon = self.study.cohort.n_min, self.plan.epsilon
        privacy = self._privacy(one, n_min, 1.0)
        sampling = float(one.sampling_variance().mean())
        outcome = self.study.variable(one.question.outcome)
        others = [
            Scenario(
                float(factor) * epsilon,
                n_min,
                sqrt(self._privacy(one, n_min, self._noise_at(factor)) + sampling),
            )
            for factor in EPSILON_FACTORS
        ]
        others += [
            Scenario(epsilon, sites, sqrt(self._privacy(one, sites, 1.0) + sampling))
            for sites in self.sites
        ]
        return Expectation(
            question=one.question,
            unit=outcome.unit if isinstance(outcome, Numeric) else "",
            standard_error=sqrt(privacy + sampling),
            privacy=sqrt(privacy),
            sampling=sqrt(sampling),
            scenarios=tuple(others),
        )

    def _noise_at(self, factor: Fraction) -> float:
        """Return the noise variance at `factor` times epsilon, in units of the plan's own."""
        if self.plan.rho < _LEAST_CONVERTED:
            return float(factor**-2)  # the limit of small budgets, where the conversion is coarse
        epsilon = Fraction(self.plan.epsilon) * factor
        return float(self.plan.rho / rho_of(epsilon, self.plan.delta))

    def _privacy(self, one: Sensitivity, sites: int, factor: float) -> float:
        variance = factor * noise_of(self.plan, plan_layout(self.plan), sites)
        if self.earlier is not None:
            variance = 1 / (1 / variance + 1 / self.earlier)
        return float(((one.gradients(variance) ** 2) @ variance).mean())
