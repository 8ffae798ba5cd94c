"""How P(node | parents) is fitted, as a study declares it; and which kinds fit which variables.

Kinds in `TABLE_KINDS` are fitted to residual tables of the family, in which numbers stand by
their bins. The others take the numbers themselves, clamped to the outer edges.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import AfterValidator, Field, model_validator

from protocol.study.expression import Expression
from protocol.study.expression_reader import parse_rule
from protocol.study.problems import Problem, quote, refuse_any
from protocol.study.quantities import FilledText
from protocol.study.sections import Level, Section

MAX_IMPOSSIBLE = 10_000

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
NUMBER_KINDS: frozenset[MechanismKind] = REGRESSION_KINDS | {"gaussian"}  # of what has a value
CELL_KINDS: frozenset[MechanismKind] = TABLE_KINDS - {"survival"}  # have a probability per cell

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


def _canonical_rule(text: str) -> str:
    return parse_rule(text).text


RuleText: TypeAlias = Annotated[FilledText, AfterValidator(_canonical_rule)]
Cells: TypeAlias = dict[str, Level]  # of a family's table: a level for each of some columns


class Mechanism(Section):
    """One entry of [mechanisms]; the text "gaussian" stands for { kind = "gaussian" }.

    `impossible` cells of the table have probability 0; see `protocol/study/impossible.py`.
    """

    kind: MechanismKind
    statistic: Literal["table", "moments"] | None = None  # of a regression kind
    value: RuleText | None = None  # of a rule, in its canonical form
    impossible: tuple[Cells, ...] = Field(default=(), max_length=MAX_IMPOSSIBLE)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fields_fit(self) -> "Mechanism":
        problems = []
        if (self.value is None) == (self.kind == "rule"):
            found = "none" if self.value is None else f"one for {quote(self.kind)}"
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
        if self.impossible and self.kind not in CELL_KINDS:
            problems.append(
                Problem(
                    ("impossible",),
                    "impossible cells of a categorical, ordinal, binned or missingness mechanism",
                    f"some of {quote(self.kind)}",
                    "none of them",
                )
            )
        refuse_any(problems)
        return self

    @cached_property
    def expression(self) -> Expression | None:
        """Return the rule; None for other kinds."""
        return None if self.value is None else parse_rule(self.value)

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
