"""Curves as tables for people: an outcome by dose, and survival by time."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from protocol.study.study import Study
from protocol.study.variables import Survival, Value
from server.causal.answers.asking import (
    Given,
    Question,
    answered,
    bounds_of,
    checked,
    risks_by_edge,
)
from server.causal.answers.effects import Estimate, means_each
from server.causal.worlds.world import World

COLUMNS = ("estimate", "low", "high", "standard_error", "monte_carlo_error", "method")


def default_doses(study: Study, node: str) -> tuple[str, ...]:
    """Return the levels that a node is set to in turn: all but MISSING and OTHER."""
    variable = study.variable(node)
    return tuple(label for label in study.model_labels(node) if label in variable.own_labels)


def dose_response(
    worlds: Mapping[Value, World], question: Question, level: float, name: str
) -> pd.DataFrame:
    """Return the outcome in every world, one line a dose, in their order.

    Raises:
        UsageError: as for the question in each of them.
    """
    study = next(iter(worlds.values())).study
    question = checked(study, question)
    means = answered(list(worlds.values()), question)
    estimates = means_each(means, level, bounds_of(study, question))
    return _lines(estimates, pd.Index(list(worlds), name=name))


def survival_curve(world: World, outcome: str, given: Given, level: float) -> pd.DataFrame:
    """Return the share without the event by each edge, from 1 at time 0.

    Raises:
        UsageError: the outcome is no time to an event.
    """
    risks = risks_by_edge(world, outcome, given, level)
    variable = world.study.variable(outcome)
    assert isinstance(variable, Survival)  # noqa: S101 - risks_by_edge
    start = Estimate(1.0, 1.0, 1.0, level, 0.0, 0.0, risks[0].method)
    shares = [start, *(_complement(risk) for risk in risks)]
    return _lines(shares, pd.Index([float(edge) for edge in variable.edges], name="time"))


def _complement(risk: Estimate) -> Estimate:
    return Estimate(
        1 - risk.estimate,
        1 - risk.high,
        1 - risk.low,
        risk.level,
        risk.standard_error,
        risk.monte_carlo_error,
        risk.method,
    )


def _lines(estimates: Sequence[Estimate], index: "pd.Index[Any]") -> pd.DataFrame:
    lines = [[getattr(one, column) for column in COLUMNS] for one in estimates]
    return pd.DataFrame(lines, columns=list(COLUMNS), index=index)
