"""What the literature asks of real data, computed exact from P(node | parents), for every draw.

An estimand maps the tables of all nodes, each of shape (draws, parents' sizes .., size), to an
array of shape (draws, effects), in the units of the outcome.
"""

from collections.abc import Callable, Mapping

import numpy as np
import opt_einsum
from numpy.typing import NDArray

from bench.utility.effects import Tables, contrast_effects
from bench.utility.world import Contrast
from protocol.study.graph import CausalGraph
from protocol.study.study import Study

Effects = NDArray[np.float64]  # shape (draws, effects)


def average_effect(
    treatment: str, outcome: str
) -> Callable[[Study, Mapping[str, Tables]], Effects]:
    """Return E[outcome | do(treatment = 1)] - E[outcome | do(treatment = 0)], by bin midpoints."""

    def found(study: Study, tables: Mapping[str, Tables]) -> Effects:
        contrast = Contrast(treatment, outcome, 1, 0, scores(study, outcome))
        return contrast_effects(study.causal_graph, tables, [contrast])

    return found


def effect_on_treated(
    treatment: str, outcome: str
) -> Callable[[Study, Mapping[str, Tables]], Effects]:
    """Return E[outcome(1) - outcome(0) | treatment = 1], by bin midpoints.

    Persons are treated by their own mechanism; what follows from the treatment is set.
    """

    def found(study: Study, tables: Mapping[str, Tables]) -> Effects:
        numbers = np.array(scores(study, outcome))
        graph = study.causal_graph
        worlds = [among_treated(graph, tables, treatment, outcome, at) for at in (1, 0)]
        return np.asarray((worlds[0] - worlds[1]) @ numbers)[:, None]

    return found


def among_treated(
    graph: CausalGraph, tables: Mapping[str, Tables], treatment: str, outcome: str, setting: int
) -> NDArray[np.float64]:
    """Return P(outcome(setting) | treatment = 1), shape (draws, size).

    The effect of treatment on the treated in a graph without hidden common causes (Pearl 2009,
    8.2.5): the treatment's mechanism is read at 1, its children's at `setting`.
    """
    operands: list[object] = []
    for node in graph.nodes:
        family, table = graph.family(node), tables[node]
        if treatment in family:
            code = 1 if node == treatment else setting
            table = np.take(table, code, axis=1 + family.index(treatment))
            family = tuple(name for name in family if name != treatment)
        operands += [table, ["", *family]]  # "" is the axis of draws: no node has that name
    joint = np.asarray(opt_einsum.contract(*operands, ["", outcome], optimize="greedy"))
    return np.asarray(joint / joint.sum(axis=1, keepdims=True))


def log_hazard_ratios(
    treatment: str, leaving: str, intervals: int
) -> Callable[[Study, Mapping[str, Tables]], Effects]:
    """Return the log hazard ratio of every treatment against the first, no confounders assumed.

    Levels of `leaving` are the intervals in which a person left with an event, then those in
    which one left without.
    """

    def found(study: Study, tables: Mapping[str, Tables]) -> Effects:
        if study.causal_graph.parents[leaving] != (treatment,):
            raise ValueError(f"expected {treatment} as the only parent of {leaving}")
        shares = tables[treatment][:, :, None] * tables[leaving]
        events, others = shares[..., :intervals], shares[..., intervals:]
        return mantel_haenszel(events, person_time(events + others))

    return found


def person_time(leaving: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return time at risk per interval, in intervals; who leaves in one is there for half of it.

    `leaving` has the intervals in its last axis.
    """
    still_there = np.cumsum(leaving[..., ::-1], axis=-1)[..., ::-1]
    return still_there - leaving / 2


def mantel_haenszel(events: NDArray[np.float64], time: NDArray[np.float64]) -> Effects:
    """Return log rate ratios of arms 1 .. against arm 0, stratified by interval.

    Both arrays have shape (draws, arms, intervals). Source: Rothman, Greenland, Lash 2008, 15-32.
    """
    both = time[:, 1:] + time[:, :1]
    safe = np.where(both > 0, both, 1.0)
    ours = (events[:, 1:] * time[:, :1] / safe).sum(axis=-1)
    reference = (events[:, :1] * time[:, 1:] / safe).sum(axis=-1)
    return np.asarray(np.log(ours) - np.log(reference))


def scores(study: Study, node: str) -> tuple[float, ...]:
    """Return the number that each code stands for; nan for codes without one."""
    return tuple(
        float("nan") if score is None else float(score) for score in study.variables[node].scores
    )
