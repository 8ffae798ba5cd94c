"""Rules computed in the site's query engine, as one expression over its columns.

Numbers are float64 in which NaN is missing, truths boolean and codes int64 in which NULL is.
Engines expand CASE and NULLIF to copies of what they test, which doubles the query at every
operation inside another. So no operation here mentions an operand twice:

* `x % infinity` is x if x is finite, and NaN otherwise;
* `greatest` takes NaN for the greatest number, so it keeps what is missing; `least` would not;
* a choice takes an element of an array of both values, and NULL at NULL;
* a comparison looks at the difference, bound to a name by an array of one element. In IEEE 754
  its sign is exact: it is 0 only for equal numbers, and overflow keeps the sign.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias

import ibis

from client.source.encoding import Column
from protocol.study.expression import COMPARISONS, Expression
from protocol.study.expression_algebra import Kind, Operand, translated

_INFINITY = "inf"


def rule_column(expression: Expression, parents: Mapping[str, Operand[Column]]) -> Operand[Column]:
    """Return what the rule computes from the columns of its parents.

    Make these with `numbers`, `truths` and `levels`. Preconditions as for `translated`. Numbers
    of the result are NULL where they are missing.
    """
    result = translated(expression, parents, ColumnAlgebra())
    if result.kind is not Kind.NUMBER:
        return result
    return Operand(Kind.NUMBER, _bound(result.column, _null_for_nan))


def numbers(column: Column) -> Operand[Column]:
    """Return a column of numbers as a parent; NULL, NaN and infinities are missing."""
    return Operand(Kind.NUMBER, _finite(column.cast("float64").fill_null(_real("nan"))))


def truths(column: Column) -> Operand[Column]:
    """Return a column of booleans, or of 0 and 1, as a parent; NULL and NaN are missing."""
    if column.type().is_floating():
        return Operand(Kind.TRUTH, _compared("!=", numbers(column).column, _real("0")))
    return Operand(Kind.TRUTH, column.cast("boolean"))


def levels(codes: Column, labels: tuple[str, ...]) -> Operand[Column]:
    """Return a column of codes of `labels` as a parent; NULL is missing."""
    return Operand(Kind.LEVEL, codes.cast("int64"), labels)


class ColumnAlgebra:
    """The operations of rules on columns of a query; see `expression_algebra.Algebra`."""

    def number(self, value: Decimal) -> Column:
        """Return a number for all rows."""
        return _real(str(value))

    def code(self, value: int) -> Column:
        """Return a code for all rows."""
        return _code(value)

    def recoded(self, codes: Column, table: Sequence[int]) -> Column:
        """Return `table` at the codes."""
        return _element_of_integers(ibis.array([_code(code) for code in table]), codes + 1)

    def apply(self, operation: str, *columns: Column) -> Column:
        """Return one of OPERATIONS on columns."""
        if operation in COMPARISONS:
            return _compared(operation, *columns)
        if operation in _DECIDING:
            return _DECIDING[operation](*columns)
        return _finite(_COMPUTING[operation](*columns))


_Operation: TypeAlias = Callable[..., Column]


def _real(text: str) -> Column:
    return ibis.literal(text).cast("float64")  # engines round decimal literals differently


def _code(code: int) -> Column:
    return ibis.null("int64") if code < 0 else ibis.literal(code, "int64")


def _finite(column: Column) -> Column:
    return column % _real(_INFINITY)


def _bound(column: Column, then: _Operation) -> Column:
    """Return `then` of a column that the engine computes once, however often `then` names it."""
    return ibis.array([column]).map(then)[0]


def _null_for_nan(number: Column) -> Column:
    return ibis.cases((number.isnan(), ibis.null("float64")), else_=number)


def _compared(operation: str, left: Column, right: Column) -> Column:
    compare = _COMPARING[operation]
    if left.type().is_integer():
        return compare(left, right)

    def sign(difference: Column) -> Column:
        absent = (difference.isnan(), ibis.null("boolean"))
        return ibis.cases(absent, else_=compare(difference, _real("0")))

    return _bound(left - right, sign)


def _chosen(condition: Column, first: Column, second: Column) -> Column:
    place = condition.cast("int64") + 1
    both = ibis.array([second, first])
    if first.type().is_boolean():
        return _element_of_truths(both, place)
    if first.type().is_integer():
        return _element_of_integers(both, place)
    return _element_of_numbers(both, place).fill_null(_real("nan"))


def _minimum(left: Column, right: Column) -> Column:
    return -ibis.greatest(-left, -right)


def _remainder(column: Column, divisor: Column) -> Column:
    return (column % divisor + divisor) % divisor


def _as_number(truth: Column) -> Column:
    return truth.cast("float64").fill_null(_real("nan"))


def _is_missing(column: Column) -> Column:
    if column.type().is_floating():
        return column.isnan()
    return column.cast("int64").isnull()  # ibis writes "NOT x IS NULL" for (NOT x) IS NULL


def _function(name: str) -> _Operation:
    """Return the engine's function of one number; ibis's own floor and round make integers."""

    @ibis.udf.scalar.builtin(name=name, signature=(("float64",), "float64"))  # type: ignore[untyped-decorator]
    def function(number: Column) -> Column:  # noqa: ARG001 -- the engine has the body
        raise AssertionError(name)

    return function  # type: ignore[no-any-return]


def _element(type_: str) -> _Operation:
    """Return the engine's choice of an element of an array, the first at 1; NULL at NULL."""

    @ibis.udf.scalar.builtin(  # type: ignore[untyped-decorator]
        name="list_extract", signature=((f"array<{type_}>", "int64"), type_)
    )
    def function(array: Column, place: Column) -> Column:  # noqa: ARG001 -- as above
        raise AssertionError(type_)

    return function  # type: ignore[no-any-return]


_element_of_numbers = _element("float64")
_element_of_integers = _element("int64")
_element_of_truths = _element("boolean")

_COMPARING: Mapping[str, _Operation] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}
_DECIDING: Mapping[str, _Operation] = {
    "and": lambda left, right: left & right,
    "or": lambda left, right: left | right,
    "not": lambda truth: ~truth,
    "choose": _chosen,
    "is_missing": _is_missing,
    "as_number": _as_number,
    "as_truth": lambda number: _compared("!=", number, _real("0")),
}
_floor = _function("floor")
_COMPUTING: Mapping[str, _Operation] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "//": lambda left, right: _floor(left / right),
    "%": _remainder,
    "**": lambda left, right: left**right,
    "negative": lambda column: -column,
    "abs": _function("abs"),
    "floor": _floor,
    "ceil": _function("ceil"),
    "round": _function("round"),
    "sqrt": _function("sqrt"),
    "exp": _function("exp"),
    "log": _function("ln"),
    "min": _minimum,
    "max": ibis.greatest,
}
