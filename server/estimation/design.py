"""Budgets directed at the questions: how much the noise of each residual table hurts the answers.

The plan minimises sum_A v_A sigma_A^2 (`protocol/privacy/allocation.py`). Without questions v_A is
the share of A in the error of all family tables; here it is

    v_A = (1 - lambda) sum_q w_q |dE_q / d coordinates of A|^2 / SE_q + lambda (without questions)

both parts scaled to cost the same. Dividing by the standard error of a question makes the sum one
of standard errors, not of variances; so units do not rule, effects are in standard deviations of
their outcome. Standard errors and the noise below which rows do not count depend on the plan, so
that a few passes are made. Sources: Xiao et al. 2023, section 5 (weighted objectives); the passes
minimise a sum of square roots by its tangents (Hunter and Lange 2004).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from protocol.errors import UsageError
from protocol.privacy.plan import StatisticsPlan
from protocol.privacy.statistics import WantedStatistic, statistics_of
from protocol.study.graph import Clique
from protocol.study.sections import PlanSection
from protocol.study.study import Study
from server.estimation.contrasts import Coordinates, Layout, Reals, noise_of, plan_layout
from server.estimation.prior import Prior
from server.estimation.sensitivity import Sensitivity, Unforeseen, survey

UNIFORM_SHARE = 0.3  # lambda; protocol/decisions/0006-question-directed-budgets.md
SIGNIFICANT_DIGITS = 3
_PASSES = 4
_LEAST_WEIGHT = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """Arrays over the residual tables of a plan, in its order."""

    starts: Reals  # where the coordinates of each begin
    lengths: Reals
    costs: Reals  # p_A
    uniform: Reals  # v_A without questions
    spendable: float  # sum p_A / sigma_A^2
    noise_ratio: float  # noise of the sum over sigma^2 of the plan: contributors / shares

    def variances(self, weights: Reals) -> Reals:
        """Return the best sigma_A^2 for v_A, by the closed form of the plan."""
        scale = np.sqrt(weights * self.costs).sum() / self.spendable
        return np.asarray(np.sqrt(self.costs / weights) * scale)

    def priced(self, weights: Reals) -> Reals:
        """Return weights scaled so that they cost as much as the uniform ones."""
        root = np.sqrt(self.uniform * self.costs).sum() / np.sqrt(weights * self.costs).sum()
        return np.asarray(weights * root**2)


def directed_weights(
    study: Study,
    plan: StatisticsPlan,
    prior: Prior,
    earlier: Coordinates | None = None,
    uniform_share: float = UNIFORM_SHARE,
) -> dict[Clique, Decimal]:
    """Return v_A for every residual table of the plan, to three digits, in its order.

    `plan` is the study's, with or without weights: only its budget counts. `earlier` holds the
    noise variances of the coordinates that an earlier round gave already.

    Raises:
        UsageError: no question of the study can be given weight, for which reasons are named.
    """
    layout = plan_layout(plan)
    asked = _directable(survey(study, prior, layout))
    problem = _problem(study, plan, layout)
    weights = problem.uniform
    for _ in range(_PASSES):
        variance = np.repeat(problem.noise_ratio * problem.variances(weights), problem.lengths)
        if earlier is not None:
            variance = 1 / (1 / variance + 1 / earlier)
        hurt = problem.priced(_hurt(asked, problem, variance))
        weights = problem.priced((1 - uniform_share) * hurt + uniform_share * problem.uniform)
    return {clique: _rounded(weight) for clique, weight in zip(layout.spans, weights, strict=True)}


def _directable(surveyed: Sequence[Sensitivity | Unforeseen]) -> list[Sensitivity]:
    asked = [one for one in surveyed if isinstance(one, Sensitivity)]
    if asked:
        return asked
    reasons = [
        f"{one.question.name}: {one.reason}" for one in surveyed if isinstance(one, Unforeseen)
    ]
    raise UsageError(
        "nothing-to-direct",
        "Expected a question whose precision can be planned, found "
        f"{'; '.join(reasons) or 'no question'}.",
        "Ask about an effect along arrows between nodes with tables, or use the plan as it is.",
    )


def _hurt(asked: Sequence[Sensitivity], problem: _Problem, variance: Coordinates) -> Reals:
    """Return sum_q w_q |gradient in A|^2 / SE_q, effects in deviations of their outcome."""
    found = np.zeros(len(problem.starts))
    for one in asked:
        squared = (one.gradients(variance) ** 2).mean(axis=0)
        error = np.sqrt(squared @ variance + one.sampling_variance().mean())
        weight = float(one.question.weight) / (one.outcome_deviation * error)
        found += weight * np.add.reduceat(squared, problem.starts)
    return np.asarray(np.maximum(found, _LEAST_WEIGHT * found.max()))


def _problem(study: Study, plan: StatisticsPlan, layout: Layout) -> _Problem:
    by_clique = _uniform(study)
    wanted = [by_clique[clique] for clique in layout.spans]
    costs = np.array([float(one.cost) for one in wanted])
    spans = layout.spans.values()
    planned = noise_of(plan, layout, plan.noise_shares)[[span.start for span in spans]]
    return _Problem(
        starts=np.array([span.start for span in spans]),
        lengths=np.array([span.stop - span.start for span in spans]),
        costs=costs,
        uniform=np.array([float(one.coefficient) for one in wanted]),
        spendable=float((costs / planned).sum()),
        noise_ratio=study.cohort.n_min / plan.noise_shares,
    )


def _uniform(study: Study) -> Mapping[Clique, WantedStatistic]:
    """Return the residual tables of units as the study would want them without questions."""
    plain = study.model_copy(update={"questions": (), "plan": PlanSection()})
    return {
        one.clique: one
        for one in statistics_of(plain)
        if one.kind == "residual" and one.population == "units"
    }


def _rounded(weight: float) -> Decimal:
    return Decimal(f"{max(weight, _LEAST_WEIGHT):.{SIGNIFICANT_DIGITS - 1}e}")
