"""Questions put to worlds: a mean or a quantile in one, or a contrast between two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from protocol.errors import UsageError
from protocol.study.study import Study
from protocol.study.variables import Count, Numeric, Survival
from server.causal.answers.answering import means_of
from server.causal.answers.asked import Asked, asked_event, asked_mean, asked_risks, given_codes
from server.causal.answers.effects import Estimate, difference_of, means_each, ratio_of
from server.causal.answers.means import WorldMeans
from server.causal.answers.measures import RATIOS, Measure, check_measure, study_measure
from server.causal.answers.quantiles import check_quantile, quantiles_of
from server.causal.answers.scores import range_of
from server.causal.worlds.identification import check_identified
from server.causal.worlds.naming import check_node
from server.causal.worlds.world import World

Given = Mapping[str, object]  # levels, or numbers for their bins, that persons have


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of an outcome.

    `event` asks for the probability of a level, or of any of several; `given` for persons with
    certain levels of other nodes; `quantile` goes with the measure of that name.
    """

    outcome: str
    measure: Measure = "mean"
    event: object = None
    given: Given = field(default_factory=lambda: MappingProxyType({}))
    quantile: float = 0.5


def checked(study: Study, question: Question) -> Question:
    """Return the question with its measure made plain: the mean of a time to an event is its risk.

    Raises:
        UsageError: an unknown node, or a measure that does not fit.
    """
    node = question.outcome
    check_node(study, node)
    measure = question.measure
    if measure == "mean" and question.event is None and isinstance(study.variable(node), Survival):
        measure = "risk"
    check_measure(study, node, measure, event=question.event is not None)
    if measure == "quantile":
        check_quantile(study, node, question.quantile)
    return replace(question, measure=measure)


def check_contrast(study: Study, treated: Sequence[str], outcome: str, given: Given) -> None:
    """Check that worlds in which nodes are set can be compared by an outcome, for some persons.

    Raises:
        UsageError: an unknown node, the outcome is set itself, or persons are told apart by what
            is set or changed by it.
    """
    for node in (outcome, *given):
        check_node(study, node)
    if outcome in treated:
        raise UsageError(
            "treatment-is-outcome",
            f"Expected two different variables, found {outcome!r} twice.",
            "Choose another outcome.",
        )
    below = map(study.causal_graph.descendants, treated)
    changed = frozenset(treated).union(*below)
    for node in given:
        if node in changed:
            raise UsageError(
                "given-is-changed",
                f"Expected persons told apart by what the treatment does not change, found "
                f"{node!r}: they would be others in each world.",
                "Choose what is known before the treatment; for those who would have had a level "
                "without it, ask for a counterfactual.",
            )


def asked_of(world: World, question: Question) -> Asked:
    """Return what is asked of each world, whatever is then made of it.

    Raises:
        UsageError: an unknown level, or an outcome without numbers.
    """
    study, node = world.study, question.outcome
    given = given_codes(study, question.given)
    if question.event is not None:
        return asked_event(study, node, question.event, given)
    measure = study_measure(question.measure)
    return asked_mean(study, node, measure, world.placement_of(node), given)


def answered(worlds: Sequence[World], question: Question) -> WorldMeans:
    """Return the means, risks or quantiles that a question is about, in every world."""
    asked = asked_of(worlds[0], question)
    for world in worlds:
        check_identified(world, {question.outcome, *question.given})
    if question.measure != "quantile":
        return means_of(worlds, asked)
    found = quantiles_of(worlds, asked, question.quantile)
    return _reached(worlds[0].study, question, found)


def _reached(study: Study, question: Question, found: WorldMeans) -> WorldMeans:
    """Return quantiles of a time, those of draws at the last edge where it is not reached by then.

    Raises:
        UsageError: by the estimate it is not reached.
    """
    if not np.isinf(found.values[:, 0]).any():
        variable = study.variable(question.outcome)
        last = float(variable.edges[-1]) if isinstance(variable, Survival) else np.inf
        return replace(found, values=np.minimum(found.values, last))
    raise UsageError(
        "quantile-not-reached",
        f"Expected a share of {question.quantile:g} with the event by the last edge of "
        f"{question.outcome!r}, found fewer in one of the worlds.",
        "Ask for a smaller quantile, for the risk, or for the restricted mean.",
    )


def estimated(world: World, question: Question, level: float) -> Estimate:
    """Return the answer in one world.

    Raises:
        UsageError: a ratio, which compares two; or nobody has a value.
    """
    question = checked(world.study, question)
    if question.measure in RATIOS:
        raise UsageError(
            "measure-does-not-fit",
            f"Expected a measure of one world, found {question.measure!r}, which compares two.",
            "Ask effect() for it, or mean() for 'risk'.",
        )
    means = answered([world], question)
    return means_each(means, level, bounds_of(world.study, question))[0]


def contrasted(first: World, second: World, question: Question, level: float) -> Estimate:
    """Return the difference of the first world from the second, or the ratio to it.

    Raises:
        UsageError: as `checked` and `asked_of`; or nobody has a value.
    """
    question = checked(first.study, question)
    means = answered([first, second], question)
    if question.measure in RATIOS:
        return ratio_of(means, level, question.measure)
    return difference_of(means, level, bounds_of(first.study, question))


def risks_by_edge(world: World, outcome: str, given: Given, level: float) -> list[Estimate]:
    """Return the risk of an event by each edge but the first.

    Raises:
        UsageError: the outcome is no time to an event.
    """
    check_node(world.study, outcome)
    check_identified(world, {outcome, *given})
    asked = asked_risks(world.study, outcome, given_codes(world.study, given))
    return means_each(means_of([world], asked), level, (0.0, 1.0))


def bounds_of(study: Study, question: Question) -> tuple[float, float]:
    """Return the smallest and the largest value that an answer in one world can have."""
    if question.event is not None:
        return 0.0, 1.0
    variable = study.variable(question.outcome)
    if question.measure == "quantile":
        if isinstance(variable, Survival):
            return 0.0, float("inf")
        assert isinstance(variable, Numeric | Count)  # noqa: S101 - check_quantile
        return float(variable.bounds[0]), float(variable.bounds[1])
    return range_of(study, question.outcome, study_measure(question.measure))
