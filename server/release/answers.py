"""What the fitted model answers to the study's questions, beside what was published before."""

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from protocol.study.sections import Question
from protocol.study.study import Study
from protocol.study.variables import Numeric
from server.causal.model import Model

LEVEL = 0.95


class Agreement(Enum):
    """How an interval and a published range lie to each other."""

    OVERLAP = "the interval overlaps the published range"
    BELOW = "the interval lies below the published range"
    ABOVE = "the interval lies above the published range"


@dataclass(frozen=True, slots=True)
class Answer:
    """One effect, in units of the outcome, with its interval at `LEVEL`."""

    question: Question
    estimate: float
    low: float
    high: float
    unit: str  # of the outcome; empty if it has none

    @property
    def contains_zero(self) -> bool:
        """Whether no effect at all is inside the interval."""
        return self.low <= 0 <= self.high

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
    )
    outcome = study.variables[question.outcome]
    return Answer(
        question=question,
        estimate=float(effect.estimate),
        low=float(effect.low),
        high=float(effect.high),
        unit=outcome.unit if isinstance(outcome, Numeric) else "",
    )
