"""Variables and their public domains: what values exist is decided by the study, never by data.

A domain is a list of labels; the position of a label is its code, 0 .. size - 1. Declared OTHER
and MISSING come last, in this order.
"""

from bisect import bisect_right
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from protocol.errors import UsageError
from protocol.study.problems import Problem, nearest, quote, refuse_any
from protocol.study.quantities import MISSING, OTHER, Exact, Label, Text, decimal_text

MAX_SIZE = 4096

Value: TypeAlias = str | int | float | Decimal  # bool is an int; a label, or a number


class _Domain(BaseModel):
    """What all kinds of variables share: a label for people, a size, codes and scores."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: Text = ""
    missing: StrictBool = False

    @property
    def own_labels(self) -> tuple[str, ...]:
        """Return the labels before OTHER and MISSING."""
        raise NotImplementedError

    @property
    def own_scores(self) -> tuple[Fraction | None, ...]:
        """Return the number that each own label stands for in a mean; None if it has none."""
        raise NotImplementedError

    @property
    def has_other(self) -> bool:
        """Return whether undeclared values have a level of their own."""
        return False

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Return the public domain, in code order."""
        return (*self.own_labels, *([OTHER] * self.has_other), *([MISSING] * self.missing))

    @property
    def size(self) -> int:
        """Return the number of codes."""
        return len(self.labels)

    @property
    def other_code(self) -> int | None:
        """Return the code of undeclared values, None if none is declared."""
        return len(self.own_labels) if self.has_other else None

    @property
    def missing_code(self) -> int | None:
        """Return the code of missing values, None if none is declared."""
        return self.size - 1 if self.missing else None

    @cached_property
    def scores(self) -> tuple[Fraction | None, ...]:
        """Return the number that each code stands for in a mean; None for OTHER and MISSING."""
        extra = self.size - len(self.own_labels)
        return (*self.own_scores, *([None] * extra))

    def code_of(self, value: Value) -> int:
        """Return the code of a label, or of the number that a label stands for.

        Raises:
            UsageError: `value` is outside the declared domain.
        """
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if isinstance(text, str) and text in self.labels:
            return self.labels.index(text)
        code = self._code_of_number(value)
        if code is None:
            raise UsageError(
                "value-outside-domain",
                f"Expected a value of the declared domain, found {quote(value)}.",
                f"Write {nearest(str(value), self.labels)}.",
            )
        return code

    def _code_of_number(self, value: Value) -> int | None:  # noqa: ARG002 -- for other kinds
        return None

    @model_validator(mode="after")
    def _at_least_two_codes(self) -> "_Domain":
        refuse_any(self._domain_problems())
        return self

    def _domain_problems(self) -> list[Problem]:
        if 2 <= self.size <= MAX_SIZE:
            return []
        return [
            Problem((), f"2 to {MAX_SIZE} codes", str(self.size), "more levels, or fewer of them")
        ]


class Boolean(_Domain):
    """No or yes, coded 0 and 1."""

    kind: Literal["boolean"]

    @property
    def own_labels(self) -> tuple[str, ...]:
        """Return "0" and "1"."""
        return ("0", "1")

    @property
    def own_scores(self) -> tuple[Fraction | None, ...]:
        """Return 0 and 1, so that a mean is a share."""
        return (Fraction(0), Fraction(1))

    def _code_of_number(self, value: Value) -> int | None:
        return int(value) if not isinstance(value, str) and value in (0, 1) else None


class _Levels(_Domain):
    """Declared levels, in the order of the study."""

    levels: tuple[Label, ...] = Field(max_length=MAX_SIZE)
    other: StrictBool = False

    @property
    def own_labels(self) -> tuple[str, ...]:
        """Return the declared levels."""
        return self.levels

    @property
    def has_other(self) -> bool:
        """Return whether `other = true` is declared."""
        return self.other

    def _domain_problems(self) -> list[Problem]:
        repeated = sorted({level for level in self.levels if self.levels.count(level) > 1})
        return super()._domain_problems() + [
            Problem(("levels",), "each level once", f"{level!r} twice", "it once")
            for level in repeated
        ]


class Categorical(_Levels):
    """Levels without an order or a number."""

    kind: Literal["categorical"]

    @property
    def own_scores(self) -> tuple[Fraction | None, ...]:
        """Return None for each level: categories have no mean."""
        return (None,) * len(self.levels)


class Ordinal(_Levels):
    """Levels in rising order, scored 0, 1, 2, ..."""

    kind: Literal["ordinal"]

    @property
    def own_scores(self) -> tuple[Fraction | None, ...]:
        """Return the ranks."""
        return tuple(Fraction(rank) for rank in range(len(self.levels)))


class Numeric(_Domain):
    """A number, binned on public edges; the last bin includes its upper edge."""

    kind: Literal["numeric"]
    edges: tuple[Exact, ...] = Field(min_length=2, max_length=MAX_SIZE + 1)
    unit: Text = ""

    @property
    def own_labels(self) -> tuple[str, ...]:
        """Return "[a, b)" per bin, and "[a, b]" for the last."""
        texts = [decimal_text(edge) for edge in self.edges]
        last = len(texts) - 2
        return tuple(
            f"[{low}, {high}{']' if bin_ == last else ')'}"
            for bin_, (low, high) in enumerate(pairwise(texts))
        )

    @property
    def own_scores(self) -> tuple[Fraction | None, ...]:
        """Return the midpoints of the bins."""
        return tuple((Fraction(low) + Fraction(high)) / 2 for low, high in pairwise(self.edges))

    def _code_of_number(self, value: Value) -> int | None:
        try:
            number = Decimal(value)
        except InvalidOperation:
            return None
        if not number.is_finite() or not self.edges[0] <= number <= self.edges[-1]:
            return None
        return min(bisect_right(self.edges, number) - 1, len(self.edges) - 2)

    def _domain_problems(self) -> list[Problem]:
        return super()._domain_problems() + [
            Problem(
                ("edges", position + 1),
                "strictly rising edges",
                f"{decimal_text(low)} before {decimal_text(high)}",
                "the edges in rising order, each once",
            )
            for position, (low, high) in enumerate(pairwise(self.edges))
            if low >= high
        ]


Variable: TypeAlias = Annotated[
    Boolean | Categorical | Ordinal | Numeric, Field(discriminator="kind")
]
