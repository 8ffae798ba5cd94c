"""What the fitted model answers to the study's questions, beside what was published before."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from protocol.study.sections import Measure, Question
from protocol.study.study import Study
from protocol.study.variables import Count, Numeric, Survival
from server.causal.effects import Method
from server.causal.model import Model

LEVEL = 0.95
_QUANTITIES: Mapping[Measure, str] = {
    "mean": "mean difference in",
    "risk": "difference in the risk of",
    "restricted-mean": "difference in the time without",
    "hazard-ratio": "hazard ratio of",
}


class Agreement(Enum):
    """How an interval and a published range lie to each other."""

    OVERLAP = "the interval overlaps the published range"
    BELOW = "the interval lies below the published range"
    ABOVE = "the interval lies above the published range"


@dataclass(frozen=True, slots=True)
class Answer:
    """One effect, in units of the outcome, with its interval at `LEVEL`.

    What is compared is the question's `measure`; no effect at all is 0, or a hazard ratio of 1.
    """

    question: Question
    estimate: float
    low: float
    high: float
    unit: str  # of the outcome; empty if it has none
    method: Method = "exact"
    monte_carlo_error: float = 0.0  # standard error of the estimate by simulation alone

    @property
    def null(self) -> float:
        """What the answer would be without any effect."""
        return 1.0 if self.question.measure == "hazard-ratio" else 0.0

    @property
    def contains_null(self) -> bool:
        """Whether no effect at all is inside the interval."""
        return self.low <= self.null <= self.high

    @property
    def quantity(self) -> str:
        """What is compared, for the name of an axis."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{_QUANTITIES[self.question.measure]} {self.question.outcome}{unit}"

    @property
    def agreement(self) -> Agreement | None:
        """How the interval lies to the published range; None without one."""
        published = self.question.published
        if published is None:
            return None
        if self.high < float(published.low):
            return Agreement.BELOW
        return Agreement.ABOVE if self.low > float(published.high) else Agreement.OVERLAP

    @property
    def name(self) -> str:
        """What to call the question in a heading."""
        return self.question.label or self.question.name


def answer_questions(study: Study, model: Model) -> tuple[Answer, ...]:
    """Return the answer to every question of the study, in its order."""
    return tuple(_answer(study, question, model) for question in study.questions)


def number(value: float, significant: int = 3) -> str:
    """Return `value` for people: `significant` digits, no exponent, a true minus sign."""
    if value == 0:
        return "0"
    rounded = Decimal(f"{value:.{significant - 1}e}")
    return format(rounded, "f").replace("-", "−")


def _answer(study: Study, question: Question, model: Model) -> Answer:
    effect = model.effect(
        treatment=question.treatment,
        outcome=question.outcome,
        treated=question.treated,
        reference=question.reference,
        level=LEVEL,
        measure=question.measure,
    )
    return Answer(
        question=question,
        estimate=float(effect.estimate),
        low=float(effect.low),
        high=float(effect.high),
        unit=_unit(study, question),
        method=effect.method,
        monte_carlo_error=effect.monte_carlo_error,
    )


def _unit(study: Study, question: Question) -> str:
    outcome = study.variable(question.outcome)
    if isinstance(outcome, Survival):
        return outcome.unit if question.measure == "restricted-mean" else ""
    return outcome.unit if isinstance(outcome, Numeric | Count) else ""
