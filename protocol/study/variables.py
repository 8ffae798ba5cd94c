"""Variables and their public domains: what values exist is decided by the study, never by data.

A domain is a list of labels; the position of a label is its code, 0 .. size - 1. Declared OTHER
and MISSING come last, in this order.
"""

from bisect import bisect_right
from collections import Counter
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from protocol.errors import UsageError
from protocol.study.problems import Problem, nearest, quote, refuse_any
from protocol.study.quantities import MISSING, OTHER, Exact, Label, Text, decimal_text
from protocol.study.spacing import Spacing, part_edges

MAX_SIZE = 4096
MAX_DETAIL = 64

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
        repeated = sorted(level for level, count in Counter(self.levels).items() if count > 1)
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


class _Edged(_Domain):
    """A domain cut by public edges in strictly rising order; the last bin includes its end."""

    edges: tuple[Exact, ...] = Field(min_length=2, max_length=MAX_SIZE + 1)
    unit: Text = ""

    def _bin_of(self, value: Value) -> int | None:
        """Return the bin of a number, None if it is none or lies outside the edges."""
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


class Numeric(_Edged):
    """A number, binned on public edges; the last bin includes its upper edge.

    `detail` divides every bin for a one-way histogram of its own, which places values inside
    bins; `spacing` says whether these parts, and values inside them, are spread evenly on the
    scale of the numbers or of their logarithms.
    """

    kind: Literal["numeric"]
    detail: StrictInt = Field(default=1, ge=1, le=MAX_DETAIL)
    spacing: Spacing = "linear"

    @property
    def own_labels(self) -> tuple[str, ...]:
        """Return "[a, b)" per bin, and "[a, b]" for the last."""
        return _interval_labels(self.edges)

    @property
    def own_scores(self) -> tuple[Fraction | None, ...]:
        """Return the midpoints of the bins."""
        return tuple((Fraction(low) + Fraction(high)) / 2 for low, high in pairwise(self.edges))

    @property
    def bounds(self) -> tuple[Fraction, Fraction]:
        """Return the first and the last edge, to which values are clamped."""
        return Fraction(self.edges[0]), Fraction(self.edges[-1])

    @property
    def parts(self) -> int:
        """Return the number of parts of all bins."""
        return (len(self.edges) - 1) * self.detail

    @cached_property
    def part_edges(self) -> tuple[Decimal, ...]:
        """Return the edges of all parts of all bins, strictly rising: `parts` + 1 numbers."""
        return part_edges(self.edges, self.detail, self.spacing)

    def _code_of_number(self, value: Value) -> int | None:
        return self._bin_of(value)

    def _domain_problems(self) -> list[Problem]:
        problems = super()._domain_problems()
        if self.spacing == "log" and self.edges[0] <= 0:
            found = f"{decimal_text(self.edges[0])} as the first"
            problems.append(
                Problem(("edges", 0), "edges above 0 where spacing is log", found, "0.1, say")
            )
        if self.detail > 1 and self.parts > MAX_SIZE:  # before the edges of parts are computed
            expected = f"at most {MAX_SIZE} parts of bins"
            problems.append(Problem(("detail",), expected, str(self.parts), "detail = 1"))
        if not problems and any(low >= high for low, high in pairwise(self.part_edges)):
            expected = "parts of bins that 12 digits can tell apart"
            problems.append(Problem(("detail",), expected, str(self.detail), "detail = 1"))
        return problems


class Count(_Edged):
    """A number of events, 0, 1, 2, ..., in bins of whole numbers; the last one has its end.

    With edges 0, 1, 2, 5, 9 the bins are 0, 1, 2 to 4, 5 to 9; larger counts are clamped to 9.
    """

    kind: Literal["count"]

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Return the smallest and the largest count of each bin."""
        whole = [int(edge) for edge in self.edges]
        last = len(whole) - 2
        return tuple(
            (low, high if bin_ == last else high - 1)
            for bin_, (low, high) in enumerate(pairwise(whole))
        )

    @property
    def own_labels(self) -> tuple[str, ...]:
        """Return "2" for a bin of one count, "2-4" for one of several."""
        return tuple(str(a) if a == b else f"{a}-{b}" for a, b in self.ranges)

    @property
    def own_scores(self) -> tuple[Fraction | None, ...]:
        """Return the midpoints of the bins."""
        return tuple(Fraction(low + high, 2) for low, high in self.ranges)

    @property
    def bounds(self) -> tuple[Fraction, Fraction]:
        """Return the first and the last edge, to which counts are clamped."""
        return Fraction(self.edges[0]), Fraction(self.edges[-1])

    def _code_of_number(self, value: Value) -> int | None:
        return self._bin_of(value)

    def _domain_problems(self) -> list[Problem]:
        return super()._domain_problems() + [
            Problem(
                ("edges", at), "whole numbers from 0", decimal_text(edge), "edges = [0, 1, 2, 10]"
            )
            for at, edge in enumerate(self.edges)
            if edge < 0 or edge != int(edge)
        ]


class Survival(_Edged):
    """A time to an event, or to the end of observation, in intervals between public edges.

    What is measured of a person is the interval in which observation ended and how: codes are
    "event [a, b)" for every interval, then "censored [a, b)". Who is still observed at the last
    edge is censored in the last interval. A site holds two columns, the time and whether it is
    that of an event; a row without a time from 0 on, or of which the latter is not known, is left
    out. What the model holds is the interval of the event itself, or none.
    """

    kind: Literal["survival"]

    @property
    def intervals(self) -> tuple[str, ...]:
        """Return "[a, b)" per interval, and "[a, b]" for the last."""
        return _interval_labels(self.edges)

    @property
    def own_labels(self) -> tuple[str, ...]:
        """Return the exits by event, then those by censoring."""
        return tuple(
            f"{way} {interval}" for way in ("event", "censored") for interval in self.intervals
        )

    @property
    def own_scores(self) -> tuple[Fraction | None, ...]:
        """Return None for each: an exit is no number; see `Study.model_scores`."""
        return (None,) * (2 * (len(self.edges) - 1))

    def _domain_problems(self) -> list[Problem]:
        problems = super()._domain_problems()
        if self.edges[0] != 0:
            found = f"{decimal_text(self.edges[0])} as the first"
            problems.append(Problem(("edges", 0), "times from 0", found, "edges = [0, ...]"))
        if self.missing:
            problems.append(
                Problem(("missing",), "no MISSING: a row without is left out", "true", "false")
            )
        return problems


class Missingness(_Domain):
    """Whether the value of another variable is missing: 1 if it is.

    With such a node the model holds the other variable's true value, which is never MISSING, and
    hides it in synthetic data where the node says so.
    """

    kind: Literal["missingness"]
    of: str

    @property
    def own_labels(self) -> tuple[str, ...]:
        """Return "0" and "1"."""
        return ("0", "1")

    @property
    def own_scores(self) -> tuple[Fraction | None, ...]:
        """Return 0 and 1, so that a mean is the share that is missing."""
        return (Fraction(0), Fraction(1))

    def _code_of_number(self, value: Value) -> int | None:
        return int(value) if not isinstance(value, str) and value in (0, 1) else None

    def _domain_problems(self) -> list[Problem]:
        problems = super()._domain_problems()
        if self.missing:
            problems.append(Problem(("missing",), "an indicator, never missing", "true", "false"))
        return problems


def _interval_labels(edges: tuple[Decimal, ...]) -> tuple[str, ...]:
    texts = [decimal_text(edge) for edge in edges]
    last = len(texts) - 2
    return tuple(
        f"[{low}, {high}{']' if bin_ == last else ')'}"
        for bin_, (low, high) in enumerate(pairwise(texts))
    )


Variable: TypeAlias = Annotated[
    Boolean | Categorical | Ordinal | Numeric | Count | Survival | Missingness,
    Field(discriminator="kind"),
]


def model_labels(variable: Variable, *, hidden: bool) -> tuple[str, ...]:
    """Return the levels that a variable has in the model, in code order.

    Those that are measured, except that a hidden one is never MISSING (see `missingness`), and
    that a survival variable is the interval of the event, or "none" by the last edge.
    """
    if isinstance(variable, Survival):
        return (*variable.intervals, "none")
    return variable.labels[: variable.missing_code] if hidden else variable.labels
