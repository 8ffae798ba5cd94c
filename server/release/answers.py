"""What the fitted model answers to the study's questions, beside what was published before."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from protocol.study.sections import Question
from protocol.study.study import Study
from protocol.study.variables import Count, Numeric, Survival
from server.causal.answers.means import Method
from server.causal.answers.measures import RATIOS, Measure
from server.causal.model import Model
from server.release.certainty import certainty_of

LEVEL = 0.95
_QUANTITIES: Mapping[Measure, str] = {
    "mean": "mean difference in",
    "risk": "difference in the risk of",
    "restricted-mean": "difference in the time without",
    "hazard-ratio": "hazard ratio of",
    "risk-ratio": "risk ratio of",
    "odds-ratio": "odds ratio of",
    "quantile": "difference in a quantile of",
}
_SHORT: Mapping[Measure, str] = {
    "mean": "",
    "risk": "difference in risk ",
    "restricted-mean": "difference in time without it ",
    "hazard-ratio": "hazard ratio ",
    "risk-ratio": "risk ratio ",
    "odds-ratio": "odds ratio ",
    "quantile": "difference in a quantile ",
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
    certain: str = ""  # why no data were asked, where the study alone says what the effect is

    @property
    def null(self) -> float:
        """What the answer would be without any effect."""
        return 1.0 if self.question.measure in RATIOS else 0.0

    @property
    def contains_null(self) -> bool:
        """Whether no effect at all is inside the interval."""
        return self.low <= self.null <= self.high

    @property
    def quantity(self) -> str:
        """What is compared, for the name of an axis."""
        return quantity_of(self.question.measure, self.question.outcome, self.unit)

    @property
    def kind(self) -> str:
        """What to write before the estimate; empty for a difference of means."""
        return _SHORT[self.question.measure]

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


def quantity_of(measure: Measure, outcome: str, unit: str) -> str:
    """Return what is compared, with its unit, for the name of an axis or a column."""
    return f"{_QUANTITIES[measure]} {outcome}{f' ({unit})' if unit else ''}"


def unit_of(study: Study, outcome: str, measure: Measure) -> str:
    """Return the unit that an effect on `outcome` has; empty if it has none."""
    variable = study.variable(outcome)
    if isinstance(variable, Survival):
        return variable.unit if measure == "restricted-mean" else ""
    return variable.unit if isinstance(variable, Numeric | Count) else ""


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
        unit=unit_of(study, question.outcome, question.measure),
        method=effect.method,
        monte_carlo_error=effect.monte_carlo_error,
        certain=certainty_of(study, effect),
    )
