"""What of an outcome is compared between worlds."""

from typing import Literal, TypeAlias, get_args

from protocol.errors import UsageError
from protocol.study.problems import either
from protocol.study.sections import Measure as StudyMeasure
from protocol.study.study import Study
from protocol.study.variables import Boolean, Missingness, Survival

# A study asks for the first four (`protocol/study/sections.py`); the others are for afterwards.
# Differences, but for the ratios; a risk is of a time to an event, or of a boolean's 1.
Measure: TypeAlias = Literal[
    "mean", "risk", "restricted-mean", "hazard-ratio", "risk-ratio", "odds-ratio", "quantile"
]
RATIOS: tuple[Measure, ...] = ("hazard-ratio", "risk-ratio", "odds-ratio")
MEASURES: tuple[Measure, ...] = get_args(Measure)

_OF_TIMES: tuple[Measure, ...] = ("restricted-mean", "hazard-ratio")
_OF_RISKS: tuple[Measure, ...] = ("risk", "risk-ratio", "odds-ratio")


def check_measure(study: Study, node: str, measure: Measure, *, event: bool = False) -> None:
    """Check that a measure is one of an outcome; `event` says that it is asked for a level.

    Raises:
        UsageError: there is no such measure; a risk of what is neither a time to an event nor
            boolean, without a level; a measure of times of something else.
    """
    if measure not in MEASURES:
        raise UsageError(
            "unknown-measure",
            f"Expected {either(MEASURES)}, found {measure!r}.",
            "Write one of them, or leave the measure out.",
        )
    variable = study.variable(node)
    is_time = isinstance(variable, Survival)
    if measure in _OF_TIMES and not (is_time and not event):
        raise _misfit(node, "no time to an event", measure, "Leave the measure out.")
    has_risk = is_time or event or isinstance(variable, Boolean | Missingness)
    if measure in _OF_RISKS and not has_risk:
        remedy = "Say of which level: event='...'."
        raise _misfit(node, "neither a time to an event nor boolean", measure, remedy)


def study_measure(measure: Measure) -> StudyMeasure:
    """Return the measure whose mean in each world is asked for."""
    return "restricted-mean" if measure == "restricted-mean" else "mean"


def _misfit(node: str, reason: str, measure: str, remedy: str) -> UsageError:
    return UsageError(
        "measure-does-not-fit",
        f"Expected a measure that fits {node!r}, which is {reason}, found {measure!r}.",
        remedy,
    )
