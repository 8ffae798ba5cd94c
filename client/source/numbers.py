"""Expressions that turn a site's numbers into integers: parts of bins, and steps of moments.

A number outside the outer edges of its variable stands at the nearest one; one that the site
spells as a bin, in the middle of it.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import floor

import ibis

from client.source.encoding import (
    Column,
    Kind,
    as_number,
    binned,
    code_literal,
    is_nan,
    literal,
    readable,
    spelled,
)
from client.source.spelling import Spellings
from protocol.privacy.moments import scaled
from protocol.study.variables import Count, Numeric


@dataclass(frozen=True, slots=True)
class Reading:
    """What is made of a number: outside the edges, within them, and of a number that is known."""

    missing: Column
    below: Column
    above: Column
    within: Callable[[Column, Kind], Column]
    at: Callable[[Fraction], Column]  # within the edges
    single: bool = True  # whether single precision may stay


def read_column(
    column: Column, variable: Numeric | Count, known: Spellings, reading: Reading
) -> Column:
    """Return what `reading` makes of the numbers in a column of the site's.

    Precondition: `is_readable(column)`.
    """
    value, kind = readable(column)
    found = read_number(*as_number(value, kind), variable, reading)
    by_spelling = spelled(value, kind, known)
    if not by_spelling:
        return found
    code = ibis.coalesce(*by_spelling)
    middles = ((each, variable.scores[each]) for each in sorted(set(known.by_text.values())))
    return ibis.cases(
        *(
            (code == code_literal(each), reading.missing if at is None else reading.at(at))
            for each, at in middles
        ),
        else_=found,
    )


def read_number(number: Column, kind: Kind, variable: Numeric | Count, reading: Reading) -> Column:
    """Return what `reading` makes of numbers; NULL and NaN are missing."""
    if kind is Kind.FLOAT32 and not reading.single:
        number, kind = number.cast("float64"), Kind.FLOAT64
    return ibis.cases(
        (number.isnull() | is_nan(number, kind), reading.missing),
        (number < literal(variable.edges[0], kind), reading.below),
        (number > literal(variable.edges[-1], kind), reading.above),
        else_=reading.within(number, kind),
    )


def value_of(variable: Numeric | Count) -> Reading:
    """Return the number itself, as float64, at most at the edges; NULL if it is missing."""
    low, high = variable.bounds
    return Reading(
        missing=ibis.null("float64"),
        below=_float64(low),
        above=_float64(high),
        within=lambda number, _: number.cast("float64"),
        at=_float64,
    )


def is_fraction() -> Reading:
    """Return whether the number lies within the edges and is not whole, as a boolean."""
    no = ibis.literal(value=False)
    return Reading(
        missing=no,
        below=no,
        above=no,
        within=lambda number, _: number.cast("float64") % _float64(Fraction(1)) != 0,
        at=lambda _: no,
    )


def is_outside() -> Reading:
    """Return whether the number lies outside the edges, as a boolean."""
    no, yes = ibis.literal(value=False), ibis.literal(value=True)
    return Reading(missing=no, below=yes, above=yes, within=lambda *_: no, at=lambda _: no)


def cell_of(edges: Sequence[Decimal]) -> Reading:
    """Return the cell between `edges`, as int32, NULL if the number is missing.

    Bins and their parts: numbers in single precision are compared with edges in it.
    """
    last = len(edges) - 2
    outside = code_literal(0), code_literal(last)
    return Reading(
        missing=code_literal(None),
        below=outside[0],
        above=outside[1],
        within=lambda number, kind: binned(number, kind, edges, outside),
        at=lambda value: code_literal(min(bisect_right(edges, value) - 1, last)),
    )


def steps_of(variable: Numeric | Count, steps: int) -> Reading:
    """Return the number in steps from -steps at the first edge to steps at the last, as int16.

    Halves are rounded away from zero; NULL if the number is missing. Never beyond -steps or
    steps: the width is the difference of the same doubles, and rounding is monotone.
    """
    low, high = variable.bounds
    width = float(high) - float(low)

    def within(number: Column, _: Kind) -> Column:
        if width == 0:  # edges that doubles cannot tell apart
            return _int16(0)
        # Scaled by a power of two first, which is exact: halves stay halves.
        above = (number.cast("float64") - _float64(low)) * _float64(Fraction(2 * steps))
        return (above / _float64(Fraction(width)) - float(steps)).round().cast("int16")

    def at(value: Fraction) -> Column:
        exact = steps * scaled(value, low, high)
        return _int16(floor(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1))

    return Reading(ibis.null("int16"), _int16(-steps), _int16(steps), within, at, single=False)


def _int16(value: int) -> Column:
    return ibis.literal(value, "int16")


def _float64(value: Fraction) -> Column:
    return ibis.literal(str(float(value))).cast("float64")
