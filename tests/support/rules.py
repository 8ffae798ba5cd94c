"""Rules at random, columns with every awkward value, and rules computed one row at a time."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import TypeAlias

import numpy as np

from protocol.study.expression import Expression
from protocol.study.expression_algebra import Kind, Operand, translated
from protocol.study.expression_arrays import Column, Levels
from protocol.study.variables import Boolean, Categorical, Numeric, Ordinal, Variable

SEXES = ("female", "male")
STAGES = ("I", "II", "III")
VARIABLES: Mapping[str, Variable] = {
    "x": Numeric(kind="numeric", edges=(Decimal(0), Decimal(1), Decimal(2)), missing=True),
    "lab.y": Numeric(kind="numeric", edges=(Decimal(0), Decimal(1), Decimal(2)), missing=True),
    "b": Boolean(kind="boolean", missing=True),
    "sex": Categorical(kind="categorical", levels=SEXES, missing=True),
    "stage": Ordinal(kind="ordinal", levels=STAGES, other=True, missing=True),
}
TARGETS: Mapping[Kind, Variable] = {
    Kind.NUMBER: VARIABLES["x"],
    Kind.TRUTH: VARIABLES["b"],
    Kind.LEVEL: Categorical(
        kind="categorical", levels=(*SEXES, *STAGES, "low"), other=True, missing=True
    ),
}
AWKWARD = (
    *(math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, 3.0, 7.25, -4.0),
    *(0.1, 1e308, -1e308, 5e-324, 0.49999999999999994, 4503599627370497.0, 1e-300),
)
_NUMBERS = ("0", "1", "-1", "2", "0.5", "-2.5", "10", "0.1", "1000000000000000")
_DIVISORS = ("2", "-3", "0.5", "10")
_EXACT = ("abs", "floor", "ceil", "round", "sqrt")  # to the last bit, in every engine
_ROUNDED = ("exp", "log")


def dice(seed: int) -> Random:
    """Return the same choices for the same seed."""
    return Random(seed)  # noqa: S311 -- nothing here is secret


def columns(random: Random, rows: int) -> dict[str, Column]:
    """Return columns of VARIABLES; missing and awkward values are frequent."""

    def reals(values: Sequence[float]) -> Column:
        return np.array(random.choices(values, k=rows), dtype=np.float64)

    def levels(labels: tuple[str, ...]) -> Column:
        return Levels(np.array(random.choices(range(-1, len(labels)), k=rows), np.int64), labels)

    return {
        "x": reals(AWKWARD),
        "lab.y": reals(AWKWARD),
        "b": reals((0.0, 1.0, math.nan)),
        "sex": levels(SEXES),
        "stage": levels((*STAGES, "OTHER")),
    }


@dataclass(frozen=True)
class Rules:
    """Texts of rules at random; `exact` ones mean the same to the last bit in every engine."""

    random: Random
    exact: bool = False

    def text(self, kind: Kind, depth: int) -> str:
        """Return a rule of this kind."""
        if depth == 0 or self.random.random() < 0.1:
            return self._leaf(kind)
        if self.random.random() < 0.15:
            return self._choice(kind, depth - 1)
        match kind:
            case Kind.NUMBER:
                return self._number(depth - 1)
            case Kind.TRUTH:
                return self._truth(depth - 1)
        return self._choice(kind, depth - 1)

    def _leaf(self, kind: Kind) -> str:
        match kind:
            case Kind.NUMBER:
                return self.random.choice(("x", "lab.y", "b", *_NUMBERS))
            case Kind.TRUTH:
                return self.random.choice(("b", "b", "True", "False", "sex == 'male'", "x > 1"))
        return self.random.choice(("sex", "stage", "'low'", "'II'", "'male'"))

    def _choice(self, kind: Kind, depth: int) -> str:
        condition, first, second, third = (
            self.text(each, depth) for each in (Kind.TRUTH, kind, kind, kind)
        )
        other = self.text(Kind.TRUTH, depth)
        forms = (
            f"where({condition}, {first}, {second})",
            f"({first} if {condition} else {second})",
            f"cases({condition}, {first}, {other}, {second}, {third})",
        )
        return self.random.choice(forms)

    def _number(self, depth: int) -> str:
        a, b, c = (self.text(Kind.NUMBER, depth) for _ in range(3))
        function = self.random.choice(_EXACT if self.exact else (*_EXACT, *_ROUNDED))
        divisor = self.random.choice(_DIVISORS)
        forms = [
            *(f"({a}) {sign} ({b})" for sign in ("+", "-", "*", "/", "//")),
            *(f"({a}) % {divisor}", f"-({a})", f"{function}({a})", f"clip({a}, {b}, {c})"),
            *(f"min({a}, {b}, {c})", f"max({a}, {b})"),
        ]
        if not self.exact:
            forms += [f"({a}) ** {divisor}", f"2.5 ** ({a})"]
        return self.random.choice(forms)

    def _truth(self, depth: int) -> str:
        a, b, c = (self.text(Kind.NUMBER, depth) for _ in range(3))
        p, q, r = (self.text(Kind.TRUTH, depth) for _ in range(3))
        kind = self.random.choice(list(Kind))
        sign = self.random.choice(("==", "!=", "<", "<=", ">", ">="))
        forms = (
            *(f"({a}) {sign} ({b})", f"({a}) <= ({b}) < ({c})", f"not ({p})"),
            *(f"({p}) and ({q})", f"({p}) or ({q}) or ({r})", f"is_missing({self.text(kind, 1)})"),
            *(f"stage {sign} 'II'", "'III' != stage", "stage in ('I', 'OTHER')"),
            *("sex not in ['male']", f"({a}) in (0, 1, {b})"),
            *(f"where({p}, sex, 'male') == sex", f"where({q}, stage, 'low') in ('low', 'I')"),
        )
        return self.random.choice(forms)


_Value: TypeAlias = float | int | bool | None


def by_row(
    expression: Expression, parents: Mapping[str, Column], rows: int
) -> list[float | str | None]:
    """Return what the rule computes in each row, None for missing; the slow and plain way."""
    results: list[float | str | None] = []
    for row in range(rows):
        operands = {name: _operand(parents[name], row) for name in expression.names}
        result = translated(expression, operands, RowAlgebra())
        value = result.column
        results.append(result.labels[int(value)] if value is not None and result.labels else value)
    return results


def plain(column: Column) -> list[float | str | None]:
    """Return a column as `by_row` returns it."""
    if isinstance(column, Levels):
        return [None if code < 0 else column.labels[code] for code in column.codes]
    return [None if math.isnan(value) else float(value) for value in column]


def _operand(column: Column, row: int) -> Operand[_Value]:
    if isinstance(column, Levels):
        code = int(column.codes[row])
        return Operand(Kind.LEVEL, None if code < 0 else code, column.labels)
    value = float(column[row])
    return Operand(Kind.NUMBER, value if math.isfinite(value) else None)


class RowAlgebra:
    """Rules on the values of one row, by Python's own arithmetic."""

    def number(self, value: Decimal) -> _Value:
        return float(value)

    def code(self, value: int) -> _Value:
        return None if value < 0 else value

    def recoded(self, codes: _Value, table: Sequence[int]) -> _Value:
        return None if codes is None else self.code(table[int(codes)])

    def apply(self, operation: str, *columns: _Value) -> _Value:
        match operation, columns:
            case "and" | "or", _ if (operation == "or") in columns:
                return operation == "or"
            case "choose", (None, _, _):
                return None
            case "choose", (condition, first, second):
                return first if condition else second
            case "is_missing", (value,):
                return value is None
        if None in columns:
            return None
        return _computed(operation, [value for value in columns if value is not None])


def _computed(operation: str, values: Sequence[float]) -> _Value:
    try:
        result = _PLAIN[operation](*values)
    except (ArithmeticError, ValueError):
        return None
    return None if isinstance(result, complex) or not math.isfinite(result) else result


def _away_from_zero(value: float) -> float:
    whole = math.trunc(value)
    return whole + math.copysign(abs(value - whole) >= 0.5, value)


_PLAIN: Mapping[str, Callable[..., float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: float(math.floor(a / b)),
    "%": lambda a, b: math.fmod(math.fmod(a, b) + b, b),
    "**": lambda a, b: a**b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "abs": abs,
    "floor": lambda a: float(math.floor(a)),
    "ceil": lambda a: float(math.ceil(a)),
    "round": lambda a: float(_away_from_zero(a)),
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "min": min,
    "max": max,
    "negative": lambda a: -a,
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "not": lambda a: not a,
    "as_number": float,
    "as_truth": bool,
}


def spellings(text: str) -> list[str]:
    """Return other ways to write the same rule: spaces, line breaks, comments, parentheses."""
    spread = text.replace(" ", "\n   ").replace("(", "( ").replace(",", " , ")
    return [f"  {text}  ", f"({text})", f"(({text}))", spread, f"# why\n{text}  # so"]


def numbered(texts: Sequence[str]) -> list[str]:
    """Return ids of test cases."""
    return [f"{place}-{text[:30]}" for place, text in zip(itertools.count(), texts, strict=False)]
