"""Rules computed in numpy, a column at a time: each row from the same row of the parents alone.

Numbers and truths are float64, truths 0 and 1, missing is NaN; labels are codes, missing is -1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.study.expression import Expression
from protocol.study.expression_algebra import Kind, Operand, recoding, translated

Reals: TypeAlias = NDArray[np.float64]  # shape (n,); NaN is missing
Codes: TypeAlias = NDArray[np.int64]  # shape (n,); -1 is missing
_Array: TypeAlias = NDArray[Any]  # Reals or Codes; shape (n,), or () for all rows alike


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """A column of labels: `codes`, shape (n,), are places in `labels`, -1 is missing."""

    codes: Codes
    labels: tuple[str, ...]

    def codes_in(self, labels: Sequence[str]) -> Codes:
        """Return the same column as codes of other `labels`, -1 for one not among them."""
        return _recoded(self.codes, recoding(self.labels, labels))


Column: TypeAlias = Reals | Levels


def evaluate(expression: Expression, columns: Mapping[str, Column], rows: int) -> Column:
    """Return what the rule computes, shape (rows,), from columns of shape (rows,).

    Boolean variables are columns of 0, 1 and NaN. Any division into chunks of rows gives the
    same bytes.

    Precondition: `check_rule` has nothing against the rule; `labels` of a parent are the
    variable's, in order, without MISSING.
    """
    parents = {name: _operand(columns[name]) for name in expression.names}
    with np.errstate(all="ignore"):
        result = translated(expression, parents, ArrayAlgebra())
    if result.kind is Kind.LEVEL:
        codes = np.broadcast_to(result.column, rows).astype(np.int64)
        return Levels(codes, result.labels)
    return np.broadcast_to(result.column, rows).astype(np.float64)


def _operand(column: Column) -> Operand[_Array]:
    if isinstance(column, Levels):
        return Operand(Kind.LEVEL, column.codes, column.labels)
    return Operand(Kind.NUMBER, _finite(np.ascontiguousarray(column, dtype=np.float64)))


class ArrayAlgebra:
    """The operations of rules on numpy arrays; see `expression_algebra.Algebra`."""

    def number(self, value: Decimal) -> _Array:
        """Return a number for all rows."""
        return np.array(float(value))

    def code(self, value: int) -> _Array:
        """Return a code for all rows."""
        return np.array(value)

    def recoded(self, codes: _Array, table: Sequence[int]) -> _Array:
        """Return `table` at the codes."""
        return _recoded(codes, table)

    def apply(self, operation: str, *columns: _Array) -> _Array:
        """Return one of OPERATIONS on columns."""
        if operation in _COMPARING:
            return _compared(_COMPARING[operation], *columns)
        if operation in _DECIDING:
            return _DECIDING[operation](*columns)
        return _finite(_COMPUTING[operation](*columns))


def _finite(numbers: _Array) -> _Array:
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _missing(column: _Array) -> _Array:
    return column < 0 if column.dtype == np.int64 else np.isnan(column)


def _recoded(codes: _Array, table: Sequence[int]) -> _Array:
    return np.take(np.array([*table, -1]), codes)  # -1, missing, takes the last


def _compared(compare: Callable[[_Array, _Array], _Array], left: _Array, right: _Array) -> _Array:
    return np.where(_missing(left) | _missing(right), np.nan, compare(left, right))


def _and(left: _Array, right: _Array) -> _Array:
    return np.where(np.fmin(left, right) == 0, 0.0, np.minimum(left, right))


def _or(left: _Array, right: _Array) -> _Array:
    return np.where(np.fmax(left, right) == 1, 1.0, np.maximum(left, right))


def _chosen(condition: _Array, first: _Array, second: _Array) -> _Array:
    absent = -1 if first.dtype == np.int64 else np.nan
    return np.where(np.isnan(condition), absent, np.where(condition == 1, first, second))


def _rounded(numbers: _Array) -> _Array:
    whole = np.trunc(numbers)
    return np.where(np.abs(numbers - whole) >= 0.5, whole + np.copysign(1.0, numbers), whole)


def _remainder(numbers: _Array, divisor: _Array) -> _Array:
    """Return the remainder with the divisor's sign, as every engine can write it."""
    remainder: _Array = np.fmod(np.fmod(numbers, divisor) + divisor, divisor)
    return remainder


def _same(column: _Array) -> _Array:
    return column


_Operation: TypeAlias = Callable[..., _Array]

_COMPARING: Mapping[str, _Operation] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_DECIDING: Mapping[str, _Operation] = {
    "and": _and,
    "or": _or,
    "not": lambda truths: 1.0 - truths,
    "choose": _chosen,
    "is_missing": lambda column: _missing(column).astype(np.float64),
    "as_number": _same,
    "as_truth": lambda numbers: _compared(np.not_equal, numbers, np.zeros_like(numbers)),
}
_COMPUTING: Mapping[str, _Operation] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "//": lambda left, right: np.floor(left / right),
    "%": _remainder,
    "**": np.power,
    "negative": np.negative,
    "abs": np.abs,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": _rounded,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "min": np.minimum,
    "max": np.maximum,
}
