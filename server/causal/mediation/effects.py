"""Natural direct and indirect effects, and their interventional analogues.

With Y(t, M(t')) as in `paths.py`, t the treated level and r the reference:

    total             Y(t, M(t)) - Y(r, M(r))
    direct            Y(t, M(r)) - Y(r, M(r))     (pure direct)
    indirect          Y(t, M(t)) - Y(t, M(r))     (total indirect); direct + indirect = total
    total direct      Y(t, M(t)) - Y(r, M(t))
    pure indirect     Y(r, M(t)) - Y(r, M(r))

in means over persons (Robins and Greenland 1992; Pearl 2001). Interventional analogues have draws
G(t') in place of M(t'); their total is Y(t, G(t)) - Y(r, G(r)), not quite the total effect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from protocol.errors import UsageError
from protocol.study.problems import either
from protocol.study.variables import Value
from server.causal.answers.asking import (
    Question,
    answered,
    bounds_of,
    check_contrast,
    checked,
)
from server.causal.answers.effects import Estimate, difference_of, ratio_of, summarise
from server.causal.answers.means import Rung, WorldMeans
from server.causal.answers.measures import RATIOS, Measure
from server.causal.mediation.paths import carriers_of, check_natural
from server.causal.mediation.worlds import interventional_world, natural_world
from server.causal.model import Model, names_of
from server.causal.worlds.identification import check_unconfounded
from server.causal.worlds.naming import nodes_of

Kind: TypeAlias = Literal["natural", "interventional"]

# Of the worlds (treatment seen by the outcome, by the mediators), 1 for treated: the two compared.
_CONTRASTS = {
    "total": ((1, 1), (0, 0)),
    "direct": ((1, 0), (0, 0)),
    "indirect": ((1, 1), (1, 0)),
    "total direct": ((1, 1), (0, 1)),
    "pure indirect": ((0, 1), (0, 0)),
}
_ORDER = tuple(product((0, 1), repeat=2))
_RESTS_ON: Mapping[Kind, tuple[str, ...]] = {
    "natural": (
        "The graph: nothing unmeasured causes two of treatment, mediators and outcome.",
        (
            "That a person has a value of the mediators under the other treatment, which nobody "
            "can see together with the outcome (cross-world independence)."
        ),
    ),
    "interventional": (
        "The graph: nothing unmeasured causes two of treatment, mediators and outcome.",
        (
            "Mediators are drawn anew among persons alike in all that the treatment does not "
            "change; the total is that of such draws."
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Mediation:
    """The parts of an effect, each with its interval."""

    treatment: str
    outcome: str
    mediators: tuple[str, ...]
    treated: str
    reference: str
    kind: Kind
    measure: Measure
    effects: Mapping[str, Estimate]  # "total", "direct", "indirect", "total direct", ..
    proportion: Estimate | None  # indirect / total; None for ratios, or if the total may be 0
    rung: Rung
    rests_on: tuple[str, ...]

    @property
    def total(self) -> Estimate:
        """Return the total effect."""
        return self.effects["total"]

    @property
    def direct(self) -> Estimate:
        """Return the (pure) direct effect."""
        return self.effects["direct"]

    @property
    def indirect(self) -> Estimate:
        """Return the (total) indirect effect."""
        return self.effects["indirect"]

    def to_frame(self) -> pd.DataFrame:
        """Return one line an effect: estimate, low, high, standard and Monte Carlo error."""
        columns = ("estimate", "low", "high", "standard_error", "monte_carlo_error", "method")
        lines = {
            name: [getattr(one, column) for column in columns] for name, one in self.effects.items()
        }
        frame = pd.DataFrame.from_dict(lines, orient="index", columns=list(columns))
        return frame.rename_axis("effect")


def mediate(  # noqa: PLR0913 - one argument per part of the question
    model: Model,
    treatment: str,
    outcome: str,
    mediators: str | Sequence[str],
    *,
    treated: Value = 1,
    reference: Value = 0,
    level: float = 0.95,
    measure: Measure = "mean",
    kind: Kind = "natural",
    event: object = None,
    given: Mapping[str, object] | None = None,
) -> Mediation:
    """Return how much of an effect goes through some nodes together, and how much past them.

    `event` and `given` as in `Model.mean`. For a controlled direct effect ask
    `model.do({mediator: value}).effect(..)`.

    Raises:
        UsageError: as `Model.effect`; a mediator that is not between treatment and outcome; or
            natural effects where the treatment changes a common cause of mediators and outcome.
    """
    _check_kind(kind)
    study, given = model.study, given or {}
    check_unconfounded(study, "direct and indirect effects", "Ask for the total effect.")
    names = (mediators,) if isinstance(mediators, str) else tuple(mediators)
    through = tuple(node for name in names for node in nodes_of(study, name))
    nodes = nodes_of(study, treatment)
    check_contrast(study, nodes, outcome, given)
    question = checked(study, Question(outcome, measure, event, given))
    views = [model.do({treatment: value}) for value in (reference, treated)]
    worlds = [view.world for view in views]
    by = carriers_of(worlds[0].graph, nodes, outcome, through)
    if kind == "natural":
        check_natural(worlds[0].graph, by, nodes, outcome, through)
        made = [natural_world(worlds[a], worlds[b], nodes, by) for a, b in _ORDER]
    else:
        made = [interventional_world(worlds[a], worlds[b], nodes, by, through) for a, b in _ORDER]
    means = answered(made, question)
    effects = _effects(means, question, level, bounds_of(study, question))
    return Mediation(
        treatment=treatment,
        outcome=outcome,
        mediators=through,
        treated=names_of(views[1], {treatment: treated}),
        reference=names_of(views[0], {treatment: reference}),
        kind=kind,
        measure=question.measure,
        effects=effects,
        proportion=_proportion(means, effects["total"], question, level),
        rung="counterfactual" if kind == "natural" else "interventional",
        rests_on=_RESTS_ON[kind],
    )


def _check_kind(kind: str) -> None:
    if kind not in get_args(Kind):
        raise UsageError(
            "unknown-kind",
            f"Expected {either(get_args(Kind))}, found {kind!r}.",
            "Natural effects are told across worlds, interventional ones are not.",
        )


def _effects(
    means: WorldMeans, question: Question, level: float, bounds: tuple[float, float]
) -> dict[str, Estimate]:
    found = {}
    for name, pair in _CONTRASTS.items():
        chosen = means.chosen([_ORDER.index(seen) for seen in pair])
        found[name] = _contrast(chosen, question, level, bounds)
    return found


def _contrast(
    pair: WorldMeans, question: Question, level: float, bounds: tuple[float, float]
) -> Estimate:
    if question.measure in RATIOS:
        return ratio_of(pair, level, question.measure)
    return difference_of(pair, level, bounds)


def _proportion(
    means: WorldMeans, total: Estimate, question: Question, level: float
) -> Estimate | None:
    """Return the share of the total effect that is indirect, where the total is not 0."""
    if question.measure in RATIOS or total.low <= 0 <= total.high:
        return None
    at = dict(zip(_ORDER, means.values, strict=True))
    whole = at[1, 1] - at[0, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = (at[1, 1] - at[1, 0]) / whole
    return summarise(shares, level, (-np.inf, np.inf))
