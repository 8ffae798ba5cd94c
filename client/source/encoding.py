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
from protocol.study.variables import Numeric, Variable

Column: TypeAlias = Any  # an ibis expression of one column, or of one value

_LEAF = 4  # searching so few spellings one by one is as fast as bisecting them
_INT64_LIMIT = 2**63
_WHOLE = r"^(-?[0-9]+)\.0+$"
_DECIMAL = r"^(-?[0-9]+)(?:\.0+|(\.[0-9]*[1-9])0*)$"
_WHITE_SPACE = (  # of Unicode, as in Python's `str.strip`
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)


class _Kind(Enum):
    """How a column is compared; the values of number kinds are ibis type names."""

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
    below: int = 0
    above: int = 0


def fates_of(variable: Variable) -> Fates:
    """Return the study's rule for what it does not declare.

    Missing values are MISSING, undeclared levels OTHER, if the study has these. Numbers outside
    the edges go to the nearest bin; in a numeric variable, what is no number counts as missing.
    """
    match variable:
        case Numeric():
            last_bin = len(variable.edges) - 2
            return Fates(variable.missing_code, variable.missing_code, 0, last_bin)
        case _:
            return Fates(variable.missing_code, variable.other_code)


def is_readable(column: Column) -> bool:
    """Return whether the column holds text, numbers, booleans or dates."""
    return _kind_of(column) is not None


def encoded(column: Column, variable: Variable, known: Spellings, fates: Fates) -> Column:
    """Return the int32 code of `column` in the domain of `variable`; NULL leaves the record out.

    Precondition: `is_readable(column)`.
    """
    value, kind = _readable(column)
    absent = value.isnull()
    if kind in (_Kind.FLOAT32, _Kind.FLOAT64):
        absent = absent | value.isnan()
    undeclared = _unspelled(value, kind, variable, fates)
    codes = _spelled(value, kind, known)  # first, since most values are spelled; NULL never is
    return ibis.coalesce(*codes, ibis.cases((absent, _code(fates.missing)), else_=undeclared))


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
    value, kind = _readable(column)
    match kind:
        case _Kind.INTEGER:
            return value.cast("string")
        case _Kind.TEXT:
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


def _kind_of(column: Column) -> _Kind | None:
    type_ = column.type()
    if type_.is_integer():
        return _Kind.INTEGER
    if type_.is_float32():
        return _Kind.FLOAT32
    if type_.is_floating() or type_.is_decimal():
        return _Kind.FLOAT64
    textual = type_.is_string() or type_.is_boolean() or type_.is_date() or type_.is_uuid()
    return _Kind.TEXT if textual else None


def _readable(column: Column) -> tuple[Column, _Kind]:
    """Return the column as one of the kinds, without a cast where it is one."""
    kind = _kind_of(column)
    if kind is None:
        raise AssertionError("a column that is_readable refuses")
    if column.type().is_integer() or column.type().is_string():
        return column, kind
    return column.cast(kind.value), kind


def _spelled(value: Column, kind: _Kind, known: Spellings) -> list[Column]:
    """Return the codes by equal text, then by equal number; each NULL where nothing is equal."""
    if kind is not _Kind.TEXT:
        return _looked_up(value, known.by_number, kind)
    by_text = _looked_up(value, known.by_text, kind)
    number = value.try_cast("float64")
    return by_text + _looked_up(number, known.by_number, _Kind.FLOAT64)


def _looked_up(
    value: Column, codes: Mapping[str, int] | Mapping[float, int], kind: _Kind
) -> list[Column]:
    keys: list[Any] = list(codes)
    if kind is _Kind.INTEGER:
        keys = [key for key in keys if _is_int64(key)]
    keys.sort(key=lambda key: key.encode() if isinstance(key, str) else key)
    pairs = [(_literal(key, kind), codes[key]) for key in keys]
    return [_bisected(value, pairs)] if pairs else []


def _bisected(value: Column, pairs: Sequence[tuple[Any, int]]) -> Column:
    """Return the code of the key that equals `value`, NULL if none; `pairs` rise by key."""
    if len(pairs) <= _LEAF:
        return ibis.cases(*((value == key, _code(code)) for key, code in pairs), else_=_code(None))
    middle = len(pairs) // 2
    below, above = _bisected(value, pairs[:middle]), _bisected(value, pairs[middle:])
    return ibis.cases((value < pairs[middle][0], below), else_=above)


def _unspelled(value: Column, kind: _Kind, variable: Variable, fates: Fates) -> Column:
    if not isinstance(variable, Numeric):
        return _code(fates.unknown)
    if kind is not _Kind.TEXT:
        return _binned(value, kind, variable, fates)
    number = value.try_cast("float64")
    return ibis.cases(
        (number.isnull(), _code(fates.unknown)),
        (number.isnan(), _code(fates.missing)),
        else_=_binned(number, _Kind.FLOAT64, variable, fates),
    )


def _binned(value: Column, kind: _Kind, variable: Numeric, fates: Fates) -> Column:
    edges = [_literal(edge, kind) for edge in variable.edges]
    return ibis.cases(
        (value < edges[0], _code(fates.below)),
        (value > edges[-1], _code(fates.above)),
        else_=_bin(value, edges[1:-1], 0),
    )


def _bin(value: Column, edges: Sequence[Any], first: int) -> Column:
    """Return `first` plus the number of rising `edges` that are at most `value`."""
    if not edges:
        return _code(first)
    middle = len(edges) // 2
    below = _bin(value, edges[:middle], first)
    above = _bin(value, edges[middle + 1 :], first + middle + 1)
    return ibis.cases((value < edges[middle], below), else_=above)


def _is_int64(number: float) -> bool:
    return number == int(number) and abs(number) < _INT64_LIMIT


def _literal(value: str | float | Decimal, kind: _Kind) -> Column:
    """Return a literal that the engine compares with a column of this kind without rounding."""
    if isinstance(value, str):
        return ibis.literal(value)
    if kind is _Kind.INTEGER and value == int(value):
        return ibis.literal(int(value))
    number = ibis.literal(str(value))  # through text: engines round decimal literals differently
    return number.cast("float64" if kind is _Kind.INTEGER else kind.value)


def _code(code: int | None) -> Column:
    return ibis.null("int32") if code is None else ibis.literal(code, "int32")
