"""Values that are missing because of what they are: how far the answer goes with them.

The model is fitted as if P(x | causes) were the same where x is missing (SPEC 2.7). Here it is
tilted there: P(x | causes, missing) = w(causes) P(x | causes) exp(delta s(x)), with scores s from 0
to 1 over the levels (Rotnitzky, Robins and Scharfstein 1998: selection bias function). What is
observed stays as it is, since no x is seen where it is missing:

    P(x | causes) becomes  (1 - q) P(x | causes) + q P(x | causes, missing),
    q = P(missing | causes of its being missing)

exp(delta) is the ratio of the odds of the highest level against the lowest, among the missing and
among the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.problems import listed
from protocol.study.time import base_name
from server.causal.answers.asking import Question, asked_of, bounds_of, check_contrast, checked
from server.causal.answers.axes import aligned
from server.causal.answers.effects import summarise
from server.causal.mechanisms.mechanism import TableMechanism
from server.causal.model import Model
from server.causal.sensitivity.contexts import joint_of
from server.causal.sensitivity.tipping import tipping_point
from server.causal.worlds.interventions import Intervention
from server.causal.worlds.naming import nodes_of
from server.causal.worlds.world import World

Reals: TypeAlias = NDArray[Any]  # float64

DELTAS = tuple(float(each) for each in np.linspace(-3.0, 3.0, 13))


@dataclass(frozen=True, eq=False)
class Missing:
    """A mean, or an effect on it, by how much the missing differ from the others.

    `frame` has one line a delta: odds, estimate, low, high. `tipping` are the deltas nearest to 0,
    on either side, at which the estimate is `null`; empty where none up to the last ones is.
    """

    outcome: str
    treatment: str
    frame: pd.DataFrame
    null: float | None
    tipping: tuple[float, ...]
    share_missing: float

    @property
    def text(self) -> str:
        """Return how far the answer goes, in words."""
        low, high = self.frame["estimate"].min(), self.frame["estimate"].max()
        what = (
            f"effect of {self.treatment} on {self.outcome}"
            if self.treatment
            else (f"mean of {self.outcome}")
        )
        first, last = self.frame["odds"].iloc[[0, -1]]
        found = (
            f"{what}: {low:.3g} to {high:.3g} where the odds of the highest level are {first:.3g} "
            f"to {last:.3g} times as large among the {self.share_missing:.0%} who are missing"
        )
        if self.null is None:
            return f"{found}."
        odds = " and ".join(f"{np.exp(each):.3g}" for each in self.tipping)
        tips = f"it is {self.null:g} at {odds} times" if odds else f"none makes it {self.null:g}"
        return f"{found}; {tips}."

    def to_json(self) -> dict[str, object]:
        """Return the analysis as a JSON object."""
        return {
            "outcome": self.outcome,
            "treatment": self.treatment,
            "curve": self.frame.reset_index().to_dict("records"),
            "null": self.null,
            "tipping": list(self.tipping),
            "share_missing": self.share_missing,
            "text": self.text,
        }


def missing_not_at_random(  # noqa: PLR0913 - one argument per part of the question
    model: Model,
    outcome: str,
    treatment: str = "",
    treated: Intervention = 1,
    reference: Intervention = 0,
    *,
    deltas: Sequence[float] = DELTAS,
    event: object = None,
    null: float | None = None,
    level: float = 0.95,
) -> Missing:
    """Return the mean of an outcome, or an effect on it, by how the missing differ.

    Raises:
        UsageError: an outcome without an indicator, mechanisms without tables, deltas that do not
            rise, or as `Model.effect`.
    """
    question = checked(model.study, Question(outcome, event=event))
    indicator = _indicator(model, outcome)
    _check_deltas(deltas)
    if treatment:
        check_contrast(model.study, nodes_of(model.study, treatment), outcome, {})
    worlds = (
        [model.world]
        if not treatment
        else [model.do({treatment: it}).world for it in (treated, reference)]
    )
    null = 0.0 if null is None and treatment else null
    parts = [_Outcome(model, world, outcome, indicator, question) for world in worlds]
    low, high = bounds_of(model.study, question)
    bounds = (low - high, high - low) if treatment else (low, high)

    def at(delta: float) -> Reals:
        found = [part.mean(delta) for part in parts]
        return found[0] - found[1] if treatment else found[0]

    lines = [summarise(at(each), level, bounds) for each in deltas]
    frame = pd.DataFrame(
        [
            [np.exp(delta), line.estimate, line.low, line.high]
            for delta, line in zip(deltas, lines, strict=True)
        ],
        columns=["odds", "estimate", "low", "high"],
        index=pd.Index(list(deltas), name="delta"),
    )
    share = float(model.marginal(indicator).iloc[1])
    return Missing(outcome, treatment, frame, null, _tipping(at, deltas, null), share)


def _tipping(at: Any, deltas: Sequence[float], null: float | None) -> tuple[float, ...]:  # noqa: ANN401
    if null is None:
        return ()
    start = float(at(0.0)[0])
    sign = 1.0 if start > null else -1.0

    def distance(delta: float) -> float:
        return sign * (float(at(delta)[0]) - null)

    sides = ([0.0, *(d for d in deltas if d > 0)], [0.0, *(d for d in reversed(deltas) if d < 0)])
    found = (tipping_point(distance, side) for side in sides if len(side) > 1)
    return tuple(each for each in found if each is not None)


class _Outcome:
    """What the mean of the outcome in one world is made of, over all causes together."""

    def __init__(
        self, model: Model, world: World, outcome: str, indicator: str, question: Question
    ) -> None:
        mechanisms = [model.mechanisms[node] for node in (outcome, indicator)]
        found = {*mechanisms[0].parents, *mechanisms[1].parents}
        causes = [part.node for part in world.parts if part.name in found]
        tables = [one for one in mechanisms if isinstance(one, TableMechanism)]
        joint = joint_of(model, world, causes)
        if len(tables) < 2 or joint is None:
            raise UsageError(
                "not-a-table",
                f"Expected tables for {outcome!r}, its being missing, and all that they depend on, "
                "found something else.",
                "Ask for it in a study in which they have tables.",
            )
        axes = causes or ["none"]
        self._weights = joint.reshape(len(joint), -1)
        shape = joint.shape[1:]
        self._shares, missing = (
            np.broadcast_to(
                aligned(one.point_and_draws, [*one.parents, ""], [*axes, ""]),
                (len(joint), *shape, one.table.shape[-1]),
            ).reshape(len(joint), -1, one.table.shape[-1])
            for one in tables
        )
        self._missing = missing[..., 1]
        self._scores = asked_of(world, question).scores[0]

    def mean(self, delta: float) -> Reals:
        """Return the mean by the estimate and every draw."""
        own = self._scores
        scored = ~np.isnan(own[0])
        low, high = np.nanmin(own[0]), np.nanmax(own[0])
        unit = np.nan_to_num((own[0] - low) / ((high - low) or 1.0))
        tilted = self._shares * np.exp(delta * unit)
        tilted = tilted / tilted.sum(axis=-1, keepdims=True)
        q = self._missing[..., None]
        masses = (self._weights[..., None] * ((1 - q) * self._shares + q * tilted)).sum(axis=1)
        masses = masses[:, scored]
        return np.asarray((masses * own[:, scored]).sum(axis=1) / masses.sum(axis=1))


def _indicator(model: Model, outcome: str) -> str:
    """Return the node that says whether the outcome is missing: no effect of it (SPEC 2.7)."""
    name = base_name(outcome)
    indicators = model.study.indicators
    if name not in indicators:
        raise UsageError(
            "no-indicator",
            f"Expected an outcome with a variable that says where it is missing, found "
            f"{outcome!r}, which has none.",
            f"Choose among {listed(indicators)}."
            if indicators
            else "No variable of the study "
            'has one: add [variables.NAME_missing] with kind = "missingness".',
        )
    return indicators[name] + outcome.removeprefix(name)


def _check_deltas(deltas: Sequence[float]) -> None:
    rising = all(np.diff(deltas) > 0) and np.isfinite(deltas).all()
    if len(deltas) < 2 or not rising:
        raise UsageError(
            "deltas-not-rising",
            f"Expected at least two deltas that rise, found {list(deltas)}.",
            "Write them such as [-2, -1, 0, 1, 2].",
        )
