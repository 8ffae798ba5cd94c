"""E-values: how strong a confounder must be, by the effect alone.

VanderWeele and Ding 2017: a risk ratio RR >= 1 needs an unmeasured confounder that is associated
with treatment and with outcome by risk ratios of at least RR + sqrt(RR (RR - 1)) each; below 1,
1 / RR takes its place. Of an interval, the limit nearer to 1; 1 where the interval holds it.
"""

from dataclasses import dataclass
from math import exp, isfinite, sqrt

import numpy as np

from protocol.errors import UsageError
from server.causal.answers.asking import Question, asked_of
from server.causal.answers.effects import Effect
from server.causal.model import Model
from server.causal.worlds.interventions import Intervention

_PER_DEVIATION = 0.91  # log risk ratio of a difference of one standard deviation (ibid., table 2)


@dataclass(frozen=True, slots=True)
class EValues:
    """The E-values of an estimate and of its interval, with the risk ratio that they are of."""

    effect: Effect
    ratio: float
    ratio_low: float
    ratio_high: float
    estimate: float
    interval: float
    approximate: bool  # by the standard deviation of an outcome that is no event

    @property
    def text(self) -> str:
        """Return what the E-values say, in words."""
        about = "about " if self.approximate else ""
        return (
            f"{self.effect.treatment} on {self.effect.outcome}: risk ratio {about}{self.ratio:.2f} "
            f"({self.ratio_low:.2f} to {self.ratio_high:.2f}). To explain it away, an unmeasured "
            f"confounder needs risk ratios of {about}{self.estimate:.2f} with the treatment and "
            f"with the outcome; to make the interval hold no effect, {self.interval:.2f}."
        )

    def to_json(self) -> dict[str, object]:
        """Return the values as a JSON object."""
        found: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        return found | {"effect": self.effect.to_json(), "text": self.text}


def e_value(ratio: float) -> float:
    """Return the E-value of a risk ratio.

    Raises:
        UsageError: it is not positive.
    """
    if not (ratio > 0 and isfinite(ratio)):
        raise UsageError(
            "ratio-out-of-range",
            f"Expected a risk ratio above 0, found {ratio}.",
            "Give the ratio itself, not its logarithm.",
        )
    above = max(ratio, 1 / ratio)
    return above + sqrt(above * (above - 1))


def e_values(  # noqa: PLR0913 - one argument per part of the question
    model: Model,
    treatment: str,
    outcome: str,
    treated: Intervention = 1,
    reference: Intervention = 0,
    *,
    event: object = None,
    level: float = 0.95,
) -> EValues:
    """Return the E-values of an effect: of a risk ratio, or of a difference in deviations.

    Raises:
        UsageError: as `Model.effect`.
    """
    if event is None and not _is_risk(model, outcome):
        return _of_difference(model, treatment, outcome, treated, reference, level)
    effect = model.effect(
        treatment,
        outcome,
        treated,
        reference,
        level,
        "risk-ratio",
        event=_event(model, outcome, event),
    )
    return _values(effect, effect.estimate, effect.low, effect.high, approximate=False)


def _is_risk(model: Model, outcome: str) -> bool:
    return outcome in model.study.causal_graph.nodes and model.study.variable(outcome).kind in (
        "boolean",
        "survival",
        "missingness",
    )


def _event(model: Model, outcome: str, event: object) -> object:
    if event is None and model.study.variable(outcome).kind != "survival":
        return "1"
    return event


def _of_difference(
    model: Model,
    treatment: str,
    outcome: str,
    treated: Intervention,
    reference: Intervention,
    level: float,
) -> EValues:
    effect = model.effect(treatment, outcome, treated, reference, level)
    deviation = _deviation(model, outcome)
    ratio, low, high = (
        exp(_PER_DEVIATION * each / deviation)
        for each in (effect.estimate, effect.low, effect.high)
    )
    return _values(effect, ratio, low, high, approximate=True)


def _deviation(model: Model, outcome: str) -> float:
    """Return the standard deviation of the outcome's scores in the population."""
    scores = asked_of(model.world, Question(outcome)).scores[0, 0]
    shares = model.marginal(outcome).to_numpy()
    scored = ~np.isnan(scores)
    weights = shares[scored] / shares[scored].sum()
    mean = weights @ scores[scored]
    return float(np.sqrt(weights @ (scores[scored] - mean) ** 2))


def _values(effect: Effect, ratio: float, low: float, high: float, *, approximate: bool) -> EValues:
    nearer = 1.0 if low <= 1 <= high else low if low > 1 else high
    return EValues(effect, ratio, low, high, e_value(ratio), e_value(nearer), approximate)
