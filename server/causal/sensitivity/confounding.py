"""How strong a cause of treatment and outcome that nobody measured must be to change an answer.

U is a boolean with the prevalence given, independent of all measured causes. It multiplies the odds
of the treatment, and those of the outcome, by a strength (`tilts.py`); everything else is solved
again, so that the distribution of all measured variables stays exactly what the model says. With
r(c) = P(U | treatment, its causes) in the data,

    E[Y | do(t)] = sum_c P(c | do(t)) sum_u P(u) E[Y | c, t, u],

where the law of Y given c, t and u is the tilt of P(Y | c, t) by U with probability r(c). A
Gaussian outcome is shifted by log(strength) standard deviations (u - r(c)) instead: its conditional
means stay. The idea is that of Lin, Psaty and Kronmal (1998).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from protocol.errors import UsageError
from server.causal.answers.asking import Question, bounds_of, check_contrast, checked
from server.causal.answers.effects import Effect, Estimate, summarise
from server.causal.model import Model
from server.causal.sensitivity.contexts import Contexts, contexts_of
from server.causal.sensitivity.curve_figure import draw_curve
from server.causal.sensitivity.tilts import tilted
from server.causal.sensitivity.tipping import tipping_point
from server.causal.worlds.identification import check_unconfounded
from server.causal.worlds.interventions import Intervention
from server.causal.worlds.naming import nodes_of

Reals: TypeAlias = NDArray[Any]  # float64

STRENGTHS = tuple(float(each) for each in np.round(np.geomspace(1.0, 20.0, 21), 3))
_PAIRS = 9  # of the frontier
_COLUMNS = ("estimate", "low", "high")


@dataclass(frozen=True, eq=False)
class Confounding:
    """An effect against the strength of an unmeasured cause of treatment and outcome.

    `frame` has one line a strength: estimate, low, high. `tipping` is the least strength at which
    the estimate is `null`, `tipping_interval` that at which the interval holds it; None where no
    strength up to the last one does. `frontier` has pairs of different strengths, on the treatment
    and on the outcome, at which the estimate is `null`.
    """

    effect: Effect
    frame: pd.DataFrame
    prevalence: float
    null: float
    tipping: float | None
    tipping_interval: float | None
    frontier: pd.DataFrame
    way: str  # in which it works on the outcome, when it makes the treatment more likely

    @property
    def text(self) -> str:
        """Return how strong the cause must be, in words."""
        ends = float(self.frame.index[0]), float(self.frame.index[-1])
        who = (
            f"an unmeasured cause that {self.prevalence:.0%} of persons have, and that makes the "
            f"treatment more and the outcome {self.way} likely"
        )
        parts = [
            _sentence(self.tipping, ends, f"explain the effect away (make it {self.null:g})"),
            _sentence(self.tipping_interval, ends, f"make the interval hold {self.null:g}"),
        ]
        start = f"{self.effect.treatment} on {self.effect.outcome}: {self.effect.estimate:.3g}"
        return f"{start}. To {parts[0]}; to {parts[1]}: {who}."

    def svg(self) -> str:
        """Return the curve as a drawing, with its interval as a band and the tipping points."""
        marks = {
            "no effect": self.tipping,
            "interval holds no effect": self.tipping_interval,
        }
        found = {name: at for name, at in marks.items() if at is not None}
        return str(draw_curve(self.frame, self.null, found, self.text))

    def to_json(self) -> dict[str, object]:
        """Return the analysis as a JSON object."""
        return {
            "effect": self.effect.to_json(),
            "prevalence": self.prevalence,
            "null": self.null,
            "curve": self.frame.reset_index().to_dict("records"),
            "tipping": self.tipping,
            "tipping_interval": self.tipping_interval,
            "frontier": self.frontier.to_dict("records"),
            "text": self.text,
        }


def _sentence(at: float | None, ends: tuple[float, float], what: str) -> str:
    least, most = ends
    if at is not None and at <= least:
        return f"{what} it takes nothing"
    if at is None:
        return f"{what} more than {most:g}-fold odds of each would be needed"
    return f"{what} it takes {at:.2f}-fold odds of each"


def unmeasured_confounder(  # noqa: PLR0913 - one argument per part of the question
    model: Model,
    treatment: str,
    outcome: str,
    treated: Intervention = 1,
    reference: Intervention = 0,
    *,
    event: object = None,
    prevalence: float = 0.5,
    strengths: Sequence[float] = STRENGTHS,
    null: float = 0.0,
    level: float = 0.95,
) -> Confounding:
    """Return the effect against the strength of an unmeasured cause, and where it tips.

    `strengths` are ratios of odds, rising from 1; the cause works towards `null`.

    Raises:
        UsageError: as `Model.effect`; strengths below 1 or not rising; a prevalence outside (0, 1);
            a view; a treatment at several visits; or kinds of nodes without a tilt.
    """
    _check(model, treatment, outcome, prevalence, strengths)
    question = checked(model.study, Question(outcome, event=event))
    effect = model.effect(treatment, outcome, treated, reference, level, event=event)
    contexts = [contexts_of(model, treatment, it, question) for it in (treated, reference)]
    worlds = _Worlds(contexts, prevalence)
    low, high = bounds_of(model.study, question)
    analysis = _Analysis(
        worlds=worlds,
        left=effect.estimate - worlds.estimate(0.0, 0.0),
        sign=-1.0 if effect.estimate < null else 1.0,
        null=null,
        level=level,
        width=high - low,
    )
    return Confounding(
        effect=effect,
        frame=analysis.frame(strengths),
        prevalence=prevalence,
        null=null,
        tipping=tipping_point(analysis.distance, strengths),
        tipping_interval=tipping_point(analysis.distance_of_interval, strengths),
        frontier=analysis.frontier(strengths),
        way="more" if analysis.sign > 0 else "less",
    )


@dataclass(frozen=True, slots=True)
class _Analysis:
    """An effect by strength; distances are from the null, on the side of the estimate."""

    worlds: "_Worlds"
    left: float  # of the effect, by simulation: what the contexts' own rows leave out
    sign: float
    null: float
    level: float
    width: float  # of the outcome's range

    def frame(self, strengths: Sequence[float]) -> pd.DataFrame:
        """Return estimate, low and high by strength."""
        lines = [self._summarised(each) for each in strengths]
        columns = {name: [getattr(it, name) for it in lines] for name in _COLUMNS}
        return pd.DataFrame(columns, index=pd.Index(list(strengths), name="strength"))

    def _summarised(self, strength: float) -> Estimate:
        gamma = float(np.log(strength))
        values = np.asarray(self.left + self.worlds.effects(gamma, self.sign * gamma))
        return summarise(values, self.level, (-self.width, self.width))

    def distance(self, strength: float) -> float:
        """Return how far the estimate is from the null."""
        return self._apart(strength, strength)

    def distance_of_interval(self, strength: float) -> float:
        """Return how far the nearer limit of the interval is from the null."""
        found = self._summarised(strength)
        return self.sign * ((found.low if self.sign > 0 else found.high) - self.null)

    def _apart(self, strength: float, other: float) -> float:
        gamma, outcome_gamma = float(np.log(strength)), self.sign * float(np.log(other))
        return self.sign * (self.left + self.worlds.estimate(gamma, outcome_gamma) - self.null)

    def frontier(self, strengths: Sequence[float]) -> pd.DataFrame:
        """Return the strength on the outcome that each strength on the treatment needs."""
        lines = []
        for own in np.geomspace(strengths[0], strengths[-1], _PAIRS)[1:]:
            needed = tipping_point(partial(self._apart, float(own)), strengths)
            if needed is not None:
                lines.append({"treatment": round(float(own), 3), "outcome": needed})
        return pd.DataFrame(lines, columns=["treatment", "outcome"])


class _Worlds:
    """The contexts under the two levels."""

    def __init__(self, contexts: Sequence[Contexts], prevalence: float) -> None:
        draws = min(len(one.weights) for one in contexts)
        self._contexts, self._prevalence, self._draws = contexts, prevalence, draws

    def effects(self, gamma: float, outcome_gamma: float) -> Reals:
        """Return the effect by the estimate and every draw, shape (1 + draws,)."""
        first, second = (
            confounded_mean(one, self._prevalence, gamma, outcome_gamma) for one in self._contexts
        )
        return np.asarray(first[: self._draws] - second[: self._draws])

    def estimate(self, gamma: float, outcome_gamma: float) -> float:
        """Return the effect by the estimate alone."""
        first, second = (
            confounded_mean(one.estimate, self._prevalence, gamma, outcome_gamma)
            for one in self._contexts
        )
        return float(first[0] - second[0])


def confounded_mean(
    contexts: Contexts, prevalence: float, gamma: float, outcome_gamma: float
) -> Reals:
    """Return E[outcome | do(level)] under an unmeasured cause, shape (1 + draws,)."""
    levels = contexts.treatment.shape[-1]
    scores = np.linspace(0.0, 1.0, levels)
    present = tilted(contexts.treatment, prevalence, gamma, scores).share[..., contexts.level]
    if contexts.outcome is None:
        assert contexts.mean is not None and contexts.deviation is not None  # noqa: S101, PT018
        shifted = contexts.mean + outcome_gamma * contexts.deviation * (prevalence - present)
        return np.asarray((contexts.weights * shifted).sum(axis=1))
    own = contexts.scores
    scored = ~np.isnan(own[0])
    parts = tilted(contexts.outcome, present, outcome_gamma, _unit(own))
    mixed = (1 - prevalence) * parts.absent + prevalence * parts.present
    masses = (contexts.weights[..., None] * mixed).sum(axis=1)[:, scored]
    return np.asarray((masses * own[:, scored]).sum(axis=1) / masses.sum(axis=1))


def _unit(scores: Reals) -> Reals:
    """Return scores of the estimate between 0 and 1; of levels that count for nothing, 0."""
    own = scores[0]
    low, high = np.nanmin(own), np.nanmax(own)
    width = high - low if high > low else 1.0
    return np.asarray(np.nan_to_num((own - low) / width, nan=0.0))


def _check(
    model: Model, treatment: str, outcome: str, prevalence: float, strengths: Sequence[float]
) -> None:
    if model.interventions:
        raise UsageError(
            "intervened-model",
            "Expected the model as it was fitted, found one under an intervention.",
            "Ask the model itself.",
        )
    nodes = nodes_of(model.study, treatment)
    check_contrast(model.study, nodes, outcome, _NOBODY)
    check_unconfounded(
        model.study,
        "a cause that is added to them",
        "The study draws unmeasured causes already: effects past them are identified or refused.",
    )
    if len(nodes) > 1:
        raise UsageError(
            "several-treatments",
            f"Expected a treatment at one visit, found {treatment!r} at {len(nodes)}.",
            f"Ask of one of them, such as {nodes[0]!r}.",
        )
    if not 0 < prevalence < 1:
        raise UsageError(
            "share-out-of-range",
            f"Expected a prevalence between 0 and 1, found {prevalence}.",
            "Write 0.5 for half of all persons.",
        )
    rising = all(one < other for one, other in pairwise(strengths))
    if not (len(strengths) > 1 and strengths[0] >= 1 and rising and np.isfinite(strengths[-1])):
        raise UsageError(
            "strengths-not-rising",
            f"Expected ratios of odds that rise from 1, found {list(strengths)}.",
            "Write them such as [1, 2, 5, 10].",
        )


_NOBODY: Mapping[str, object] = {}
