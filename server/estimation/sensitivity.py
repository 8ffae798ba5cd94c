"""How the answers to a study's questions change with what a round releases.

Delta method, in three exact steps: an effect is a function of the tables P(node | parents) by the
truncated factorisation (`server/causal/answers/derivatives.py`); a table is
theta_rc = t_rc / n_r of the counts t of its family, n_r being the total of row r; and counts are
a linear map of the coordinates of residual tables (`contrasts.py`). With g = dE / dtheta,

    dE / dt_rc = (g_rc - sum_c' theta_rc' g_rc') / n_r

Rows below the noise are not decided by their own counts, but by what the estimator knows of the
other rows: n_r is taken to be at least two standard deviations of the noise in a row's total.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.privacy.weights import mechanisms_of
from protocol.study.sections import Question
from protocol.study.study import Study
from server.causal.answers.contraction import distribution
from server.causal.answers.derivatives import parent_shares, trace
from server.causal.mechanisms.mechanism import Tables
from server.estimation.contrasts import Coordinates, FamilyMap, Layout, Reals, family_map
from server.estimation.family import numbers
from server.estimation.prior import Prior

LEAST_DEVIATIONS = 2.0  # protocol/decisions/0006-question-directed-budgets.md
_LEAST_MASS = 1e-12  # on codes with a score


@dataclass(frozen=True, slots=True, eq=False)
class FamilySlope:
    """How one effect changes with one family, at every set of a prior.

    The slope in a count is `centred` / `persons`; a person sampled adds `spread` / `persons` to
    the variance of the effect.
    """

    one: FamilyMap
    centred: Tables  # g_rc - sum_c' theta_rc' g_rc', shape (sets, parents' sizes .., size)
    persons: Reals  # n_r, or of them those at risk; shape (sets, parents' sizes ..)
    spread: Reals  # variance of `centred` over the persons of a row; shape as `persons`


@dataclass(frozen=True, slots=True, eq=False)
class Sensitivity:
    """One question's effect at every set of a prior, and its slopes in all families."""

    question: Question
    effects: Reals  # shape (sets,)
    outcome_deviation: float  # of the outcome's scores, where nothing is set; 1 if that is 0
    slopes: Sequence[FamilySlope]

    def gradients(self, variance: Coordinates) -> Reals:
        """Return the gradient in all coordinates, shape (sets, coordinates).

        `variance` is the noise of the coordinates, which decides how small a row may be taken.
        """
        found = np.zeros((len(self.effects), len(variance)))
        for slope in self.slopes:
            least = LEAST_DEVIATIONS * np.sqrt(slope.one.total_variance(variance))
            counts = slope.centred / np.maximum(slope.persons, least)[..., None]
            for at, table in enumerate(_measured(counts, slope.one)):
                found[at] += slope.one.adjoint(table, len(variance))
        return found

    def sampling_variance(self) -> Reals:
        """Return the variance that sampling persons alone gives the estimate, shape (sets,).

        Rows count for one person more than they have: an empty one is as uncertain as one person.
        """
        rows = [
            (slope.spread / (slope.persons + 1)).reshape(len(self.effects), -1).sum(axis=1)
            for slope in self.slopes
        ]
        return np.asarray(np.sum(rows, axis=0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Unforeseen:
    """A question of which nothing can be said beforehand, and why."""

    question: Question
    reason: str


def survey(study: Study, prior: Prior, layout: Layout) -> tuple[Sensitivity | Unforeseen, ...]:
    """Return the sensitivity of every question, or why there is none, in the study's order."""
    return tuple(_surveyed(study, prior, layout, question) for question in study.questions)


def _surveyed(
    study: Study, prior: Prior, layout: Layout, question: Question
) -> Sensitivity | Unforeseen:
    reason = _obstacle(study, question)
    if reason:
        return Unforeseen(question, reason)
    try:
        return _sensitivity(study, prior, layout, question)
    except UsageError as error:
        if error.code != "network-too-wide":
            raise
        return Unforeseen(question, "the network is too wide for exact effects")


def _obstacle(study: Study, question: Question) -> str:
    """Return why a question's precision cannot be foreseen, in words; "" if nothing is known."""
    if study.time is not None:
        return "the study has visits"
    if study.mixed_graph.pairs:
        return "unmeasured causes join some variables"
    if question.measure == "hazard-ratio":
        return "a ratio of hazards is no mean"
    if not mechanisms_of(study, question):
        path = f"the graph has no path from {question.treatment!r} to {question.outcome!r}"
        return f"{path}, so that the effect is zero"
    for node in sorted({*study.mechanism_graph.ancestors(question.outcome), question.outcome}):
        mechanism = study.mechanism(node)
        if mechanism.uses != "table":
            return f"the mechanism of {node!r} is not a table"
    return ""


def _sensitivity(study: Study, prior: Prior, layout: Layout, question: Question) -> Sensitivity:
    shares = parent_shares(study.mechanism_graph, prior.tables, {question.outcome})
    effects, derivatives = _effect(study, prior, question)
    slopes: list[FamilySlope] = []
    for node, derivative in derivatives.items():
        one = family_map(study.family_of(node).clique, layout)
        persons = prior.persons * shares[node]
        if study.mechanism_of(node) == "survival":
            slopes += _survival_slopes(one, prior.tables[node], derivative, persons)
        else:
            slopes.append(_table_slope(one, prior.tables[node], derivative, persons))
    return Sensitivity(question, effects, _deviation(study, prior, question), slopes)


def _table_slope(one: FamilyMap, table: Tables, derivative: Tables, persons: Reals) -> FamilySlope:
    centred = derivative - (table * derivative).sum(axis=-1, keepdims=True)
    return FamilySlope(one, centred, persons, (table * centred**2).sum(axis=-1))


def _survival_slopes(
    one: FamilyMap, table: Tables, derivative: Tables, persons: Reals
) -> list[FamilySlope]:
    """Return the slopes in the hazards h_k = e_k / n_k, one an interval (`survival.py`).

    With p the shares of the event by interval, then without one, and S_k = p_k + p_k+1 + ..,

        dE / dh_k = S_k g_k - sum_{i > k} p_i g_i / (1 - h_k)
        dh_k      = (de_k - h_k sum_{i >= k} (de_i + dc_i)) / n_k,  n_k = n_r S_k

    Nobody is taken to be censored before the last edge; that more are makes answers vaguer.
    """
    intervals = table.shape[-1] - 1
    left = np.maximum(np.cumsum(table[..., ::-1], axis=-1)[..., ::-1], _LEAST_MASS)  # S
    later = np.cumsum((table * derivative)[..., ::-1], axis=-1)[..., ::-1]
    hazard = table / left
    slopes = left[..., :-1] * derivative[..., :-1]
    slopes -= later[..., 1:] / np.maximum(1 - hazard[..., :-1], _LEAST_MASS)
    found = []
    for k in range(intervals):
        exits = np.zeros((*persons.shape, 2 * intervals))
        exits[..., k:intervals] = exits[..., intervals + k :] = -hazard[..., k, None]
        exits[..., k] += 1.0
        slope, spread = slopes[..., k], hazard[..., k] * (1 - hazard[..., k])
        found.append(
            FamilySlope(one, exits * slope[..., None], persons * left[..., k], spread * slope**2)
        )
    return found


def _deviation(study: Study, prior: Prior, question: Question) -> float:
    """Return the standard deviation of the outcome's scores, over all sets together."""
    found = distribution(study.mechanism_graph, prior.tables, question.outcome, {})
    scores, scored = _scores(study, question)
    shares = np.where(scored, found, 0.0).mean(axis=0)
    shares /= max(shares.sum(), _LEAST_MASS)
    return float(np.sqrt(shares @ (scores - shares @ scores) ** 2)) or 1.0


def _scores(study: Study, question: Question) -> tuple[Reals, NDArray[np.bool_]]:
    """Return the outcome's scores with 0 for None, and where there is one."""
    return numbers(
        [
            None if score is None else float(score)
            for score in study.model_scores(question.outcome, question.measure)
        ]
    )


def _effect(study: Study, prior: Prior, question: Question) -> tuple[Reals, dict[str, Tables]]:
    """Return the effect of every set, shape (sets,), and its derivatives in the tables."""
    graph, treatment = study.mechanism_graph, study.variable(question.treatment)
    values, scored = _scores(study, question)
    effects, found = np.zeros(prior.sets), dict[str, Tables]()
    for level, sign in ((question.treated, 1.0), (question.reference, -1.0)):
        fixed = {question.treatment: treatment.code_of(level)}
        traced = trace(graph, prior.tables, question.outcome, fixed)
        mass = np.maximum(traced.distribution[:, scored].sum(axis=1), _LEAST_MASS)
        means = traced.distribution @ values / mass
        direction = np.where(scored, (values - means[:, None]) / mass[:, None], 0.0)
        effects += sign * means
        for node, slope in traced.pull_back(sign * direction).items():
            found[node] = found.get(node, 0.0) + slope
    return effects, found


def _measured(tables: Reals, one: FamilyMap) -> Reals:
    """Return tables over model codes as tables over measured codes: MISSING has no slope."""
    pairs = zip(tables.shape[1:], one.places.shape, strict=True)
    return np.pad(tables, [(0, 0), *((0, size - own) for own, size in pairs)])
