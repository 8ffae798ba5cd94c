"""Expressions that turn a site's columns into codes of the study's public domain.

One ibis expression per variable, compiled into the query; no row passes through Python. ibis
publishes no types: its columns and tables are `Any`, here, in `bounding.py` and in `engine.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias

import ibis

from client.source.spelling import Spellings
from protocol.study.variables import Count, Numeric, Variable

Column: TypeAlias = Any  # an ibis expression of one column, or of one value

_LEAF = 4  # searching so few spellings one by one is as fast as bisecting them
_INT64_LIMIT = 2**63
_WHOLE = r"^(-?[0-9]+)\.0+$"
_DECIMAL = r"^(-?[0-9]+)(?:\.0+|(\.[0-9]*[1-9])0*)$"
_WHITE_SPACE = (  # of Unicode, as in Python's `str.strip`
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)


class Kind(Enum):
    """How a column is compared; the values are ibis type names."""

    TEXT = "string"
    INTEGER = "int64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"


@dataclass(frozen=True, slots=True)
class Fates:
    """The codes of values that the study does not declare; None leaves the record out.

    `unknown`: an undeclared level, or text that is no number. `below`, `above`: a number outside
    the edges of a numeric variable.
    """

    missing: int | None
    unknown: int | None
    below: int | None = 0
    above: int | None = 0


def fates_of(variable: Variable) -> Fates:
    """Return the study's rule for what it does not declare.

    Missing values are MISSING, undeclared levels OTHER, if the study has these. Numbers outside
    the edges go to the nearest bin; where numbers are expected, what is none counts as missing.
    """
    match variable:
        case Numeric() | Count():
            last_bin = len(variable.edges) - 2
            return Fates(variable.missing_code, variable.missing_code, 0, last_bin)
        case _:
            return Fates(variable.missing_code, variable.other_code)


def is_readable(column: Column) -> bool:
    """Return whether the column holds text, numbers, booleans or dates."""
    return _kind_of(column) is not None


def encoded(column: Column, variable: Variable, known: Spellings, fates: Fates) -> Column:
    """Return the int32 code of `column` in the domain of `variable`; NULL leaves the record out.

    Precondition: `is_readable(column)`; the variable is in one column.
    """
    value, kind = readable(column)
    undeclared = code_literal(fates.unknown)
    if isinstance(variable, Numeric | Count):
        undeclared = _binned_by_fate(value, kind, variable, fates)
    absent = value.isnull() | is_nan(value, kind)
    codes = spelled(value, kind, known)  # first, since most values are spelled; NULL never is
    return ibis.coalesce(
        *codes, ibis.cases((absent, code_literal(fates.missing)), else_=undeclared)
    )


def as_number(value: Column, kind: Kind) -> tuple[Column, Kind]:
    """Return text as float64, NULL where it is no number; numbers as they are."""
    return (value.try_cast("float64"), Kind.FLOAT64) if kind is Kind.TEXT else (value, kind)


def is_nan(value: Column, kind: Kind) -> Column:
    """Return whether a number is NaN; NULL, or false, for NULL."""
    return value.isnan() if kind in (Kind.FLOAT32, Kind.FLOAT64) else ibis.literal(value=False)


def plain_text(column: Column) -> Column:
    """Return the text of a unit key: one for 1, 1.0 and " 1"; NULL for NULL, NaN and blanks.

    pandas writes whole numbers as 1.0 where one is missing, so ".0" at the end of text goes, as
    does white space around it. Leading zeros and the case of letters stay: "01" is another unit
    than "1", and "A" than "a"; so do exponents and signs, in text. No decimal and no integer
    passes through a float, which would take neighbours above 2^53 for one unit.

    Precondition: `is_readable(column)`.
    """
    if column.type().is_decimal():
        return column.cast("string").re_replace(_DECIMAL, r"\1\2")
    value, kind = readable(column)
    match kind:
        case Kind.INTEGER:
            return value.cast("string")
        case Kind.TEXT:
            text = _trim(value.cast("string"), _WHITE_SPACE).nullif("")
            whole = text.re_replace(_WHOLE, r"\1")
            return ibis.cases((text.endswith("0"), whole), else_=text)
    whole = value.try_cast("int64")
    return ibis.cases(
        (value.isnan(), ibis.null("string")),
        (value == whole, whole.cast("string")),
        else_=value.cast("string"),
    )


@ibis.udf.scalar.builtin(name="trim")  # type: ignore[untyped-decorator]  # ibis has no types
def _trim(text: str, characters: str) -> str:  # type: ignore[empty-body]
    """Return `text` without the `characters` at its ends; ibis's own knows ASCII ones alone."""


def _kind_of(column: Column) -> Kind | None:
    type_ = column.type()
    if type_.is_integer():
        return Kind.INTEGER
    if type_.is_float32():
        return Kind.FLOAT32
    if type_.is_floating() or type_.is_decimal():
        return Kind.FLOAT64
    textual = type_.is_string() or type_.is_boolean() or type_.is_date() or type_.is_uuid()
    return Kind.TEXT if textual else None


def readable(column: Column) -> tuple[Column, Kind]:
    """Return the column as one of the kinds, without a cast where it is one."""
    kind = _kind_of(column)
    if kind is None:
        raise AssertionError("a column that is_readable refuses")
    if column.type().is_unsigned_integer():  # ibis compares none with a number below 0
        return column.cast("decimal(20, 0)"), kind
    if column.type().is_integer() or column.type().is_string():
        return column, kind
    return column.cast(kind.value), kind


def spelled(value: Column, kind: Kind, known: Spellings) -> list[Column]:
    """Return the codes by equal text, then by equal number; each NULL where nothing is equal."""
    if kind is not Kind.TEXT:
        return _looked_up(value, known.by_number, kind)
    by_text = _looked_up(value, known.by_text, kind)
    number = value.try_cast("float64")
    return by_text + _looked_up(number, known.by_number, Kind.FLOAT64)


def _looked_up(
    value: Column, codes: Mapping[str, int] | Mapping[float, int], kind: Kind
) -> list[Column]:
    keys: list[Any] = list(codes)
    if kind is Kind.INTEGER:
        keys = [key for key in keys if _is_int64(key)]
    keys.sort(key=lambda key: key.encode() if isinstance(key, str) else key)
    pairs = [(literal(key, kind), codes[key]) for key in keys]
    return [_bisected(value, pairs)] if pairs else []


def _bisected(value: Column, pairs: Sequence[tuple[Any, int]]) -> Column:
    """Return the code of the key that equals `value`, NULL if none; `pairs` rise by key."""
    if len(pairs) <= _LEAF:
        return ibis.cases(
            *((value == key, code_literal(code)) for key, code in pairs), else_=code_literal(None)
        )
    middle = len(pairs) // 2
    below, above = _bisected(value, pairs[:middle]), _bisected(value, pairs[middle:])
    return ibis.cases((value < pairs[middle][0], below), else_=above)


def binned(
    value: Column, kind: Kind, edges: Sequence[Decimal], outside: tuple[Column, Column]
) -> Column:
    """Return the bin of a number that is neither NULL nor NaN, as int32.

    The last bin includes its upper edge; `outside` are the codes below and above all edges.
    """
    cuts = [literal(edge, kind) for edge in edges]
    return ibis.cases(
        (value < cuts[0], outside[0]),
        (value > cuts[-1], outside[1]),
        else_=_bin(value, cuts[1:-1], 0),
    )


def _binned_by_fate(value: Column, kind: Kind, variable: Numeric | Count, fates: Fates) -> Column:
    number, number_kind = as_number(value, kind)
    outside = code_literal(fates.below), code_literal(fates.above)
    found = binned(number, number_kind, variable.edges, outside)
    if kind is not Kind.TEXT:
        return found
    return ibis.cases(
        (number.isnull(), code_literal(fates.unknown)),
        (number.isnan(), code_literal(fates.missing)),
        else_=found,
    )


def _bin(value: Column, edges: Sequence[Any], first: int) -> Column:
    """Return `first` plus the number of rising `edges` that are at most `value`."""
    if not edges:
        return code_literal(first)
    middle = len(edges) // 2
    below = _bin(value, edges[:middle], first)
    above = _bin(value, edges[middle + 1 :], first + middle + 1)
    return ibis.cases((value < edges[middle], below), else_=above)


def _is_int64(number: float) -> bool:
    return number == int(number) and abs(number) < _INT64_LIMIT


def literal(value: str | float | Decimal, kind: Kind) -> Column:
    """Return a literal that the engine compares with a column of this kind without rounding."""
    if isinstance(value, str):
        return ibis.literal(value)
    if kind is Kind.INTEGER and value == int(value):
        return ibis.literal(int(value))
    number = ibis.literal(str(value))  # through text: engines round decimal literals differently
    return number.cast("float64" if kind is Kind.INTEGER else kind.value)


def code_literal(code: int | None) -> Column:
    """Return a code as int32."""
    return ibis.null("int32") if code is None else ibis.literal(code, "int32")
