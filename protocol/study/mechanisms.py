"""How P(node | parents) is fitted, as a study declares it; and which kinds fit which variables.

Kinds in `TABLE_KINDS` are fitted to residual tables of the family, in which numbers stand by
their bins. The others take the numbers themselves, clamped to the outer edges.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

from pydantic import Field, model_validator

from protocol.study.problems import Problem, refuse_any
from protocol.study.quantities import FilledText, Label
from protocol.study.sections import Section

MAX_RULE_CHARACTERS = 2000

MechanismKind: TypeAlias = Literal[
    "categorical",
    "ordinal",
    "binned",
    "gaussian",
    "logistic",
    "poisson",
    "negative-binomial",
    "survival",
    "missingness",
    "rule",
]
Statistic: TypeAlias = Literal["table", "moments", "none"]

MECHANISM_KINDS: tuple[MechanismKind, ...] = get_args(MechanismKind)
TABLE_KINDS: frozenset[MechanismKind] = frozenset(
    {"categorical", "ordinal", "binned", "survival", "missingness"}
)
REGRESSION_KINDS: frozenset[MechanismKind] = frozenset({"logistic", "poisson", "negative-binomial"})

# For each kind of variable the mechanisms that fit it, the default first.
FITTING: Mapping[str, tuple[MechanismKind, ...]] = {
    "boolean": ("categorical", "logistic", "rule"),
    "categorical": ("categorical", "rule"),
    "ordinal": ("ordinal", "categorical", "rule"),
    "numeric": ("binned", "gaussian", "rule"),
    "count": ("binned", "poisson", "negative-binomial", "rule"),
    "survival": ("survival",),
    "missingness": ("missingness",),
}


class Mechanism(Section):
    """One entry of [mechanisms]; the text "gaussian" stands for { kind = "gaussian" }."""

    kind: MechanismKind
    statistic: Literal["table", "moments"] | None = None  # of a regression kind
    value: FilledText | None = Field(default=None, max_length=MAX_RULE_CHARACTERS)  # of a rule
    impossible: tuple[dict[str, Label], ...] = ()  # cells of the family's table that cannot be

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fields_fit(self) -> "Mechanism":
        problems = []
        if (self.value is None) == (self.kind == "rule"):
            found = "none" if self.value is None else f"one for {self.kind!r}"
            problems.append(
                Problem(("value",), "a value for a rule, and only there", found, "value = 'a + b'")
            )
        if self.statistic is not None and self.kind not in REGRESSION_KINDS:
            problems.append(
                Problem(
                    ("statistic",),
                    "a statistic for logistic, poisson or negative-binomial only",
                    f"one for {self.kind!r}",
                    "no statistic",
                )
            )
        if self.impossible and self.uses != "table":
            problems.append(
                Problem(
                    ("impossible",), "impossible cells of a table", f"a {self.kind}", "none of them"
                )
            )
        refuse_any(problems)
        return self

    @property
    def uses(self) -> Statistic:
        """Return the statistic that it is fitted to."""
        if self.kind in TABLE_KINDS:
            return "table"
        if self.kind in REGRESSION_KINDS:
            return self.statistic or "table"
        return "none" if self.kind == "rule" else "moments"


def default_mechanism(variable_kind: str) -> Mechanism:
    """Return the mechanism of a variable for which the study declares none."""
    return Mechanism(kind=FITTING[variable_kind][0])
