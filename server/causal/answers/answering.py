"""Means in worlds: exact by contraction where every node on the way has a table, else simulated.

A question is put to all its worlds by the same way, so that what they have in common cancels.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.sections import Measure
from server.causal.answers.contraction import Distributions, distribution
from server.causal.answers.effects import WorldMeans, score_means
from server.causal.answers.scores import Scores, scores_of
from server.causal.answers.simulation import simulated_means, simulated_shares
from server.causal.mechanisms.mechanism import TableMechanism, Tables
from server.causal.worlds.question_world import QuestionWorld

Shares = NDArray[np.float64]  # shape (levels,)


def means_of(worlds: Sequence[QuestionWorld], outcome: str, measure: Measure) -> WorldMeans:
    """Return the mean of a node in worlds of one model; of a hazard ratio, the risks.

    Raises:
        UsageError: the outcome has no numbers, or the measure is not one of it.
    """
    study = worlds[0].study
    scores = scores_of(study, outcome, measure, worlds[0].placement_of(outcome))
    exact = [_exact_means(world, outcome, scores) for world in worlds]
    values = [means for means in exact if means is not None]
    if len(values) < len(worlds):
        return simulated_means(worlds, outcome, scores)
    return WorldMeans(np.array(values), np.zeros((len(worlds), len(worlds))), "exact")


def shares_of(world: QuestionWorld, node: str) -> Shares:
    """Return P(node) in a world by the point estimate."""
    found = exact_distributions(world, node, draws=False)
    return simulated_shares(world, node) if found is None else found[0]


def exact_distributions(
    world: QuestionWorld, node: str, *, draws: bool = True
) -> Distributions | None:
    """Return P(node) by the estimate, then by every draw; None where it has to be simulated."""
    tables: dict[str, Tables] = {}
    for name in world.ancestry(node):
        mechanism = world.mechanisms[name]
        if isinstance(mechanism, TableMechanism):
            tables[name] = mechanism.point_and_draws if draws else mechanism.table[None]
        elif name in world.assignments:
            size = len(world.study.model_labels(name))
            tables[name] = np.zeros((1 + world.draws if draws else 1, size))
        else:
            return None
    try:
        return distribution(world.study.causal_graph, tables, node, world.fixed)
    except UsageError:  # the network is too wide
        return None


def _exact_means(world: QuestionWorld, outcome: str, scores: Scores) -> NDArray[np.float64] | None:
    assignment = world.assignments.get(outcome)
    if assignment is not None and assignment.value is not None:
        return np.full(1 + world.draws, assignment.value)
    found = exact_distributions(world, outcome)
    return None if found is None else score_means(found, scores)
