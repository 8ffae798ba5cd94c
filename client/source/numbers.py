"""Expressions that turn a site's numbers into integers: parts of bins, and steps of moments.

A number is clamped to the outer edges of its variable. One that the site spells as a bin stands
in the middle of it.
"""

from decimal import Decimal
from fractions import Fraction

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
from protocol.study.variables import Count, Numeric


def clamped(column: Column, variable: Numeric | Count, known: Spellings) -> Column:
    """Return the numbers of `column` within the variable's edges, NULL where there is none.

    In single precision if the column is, since its bins are; else float64.

    Precondition: `is_readable(column)`.
    """
    value, kind = readable(column)
    number, number_kind = as_number(value, kind)
    inside = _within(number, number_kind, variable)
    found = spelled(value, kind, known)
    if not found:
        return inside
    code, codes = ibis.coalesce(*found), sorted(set(known.by_text.values()))
    middles = [
        (code == code_literal(each), _middle(variable, each, inside.type())) for each in codes
    ]
    return ibis.cases(*middles, else_=inside)


def within(number: Column, variable: Numeric | Count) -> Column:
    """Return float64 numbers within the variable's edges, NULL where there is none."""
    return _within(number, Kind.FLOAT64, variable)


def bin_of(number: Column, variable: Numeric | Count) -> Column:
    """Return the bin of numbers within the variable's edges, as int32; NULL stays."""
    return _cell(number, variable.edges)


def part_of(number: Column, variable: Numeric) -> Column:
    """Return the part of a bin (`Numeric.part_edges`) of numbers within the edges, as int32."""
    return _cell(number, variable.part_edges)


def steps_of(number: Column, variable: Numeric | Count, steps: int) -> Column:
    """Return numbers within the edges as whole steps from -steps to steps, as int32; NULL stays.

    The edges become -steps and steps; halves are rounded away from zero.
    """
    low, high = variable.bounds
    lowest, width = _float64(low), _float64(high - low)
    # Scaled by a power of two first: so that halves stay halves as long as possible.
    exact = (number.cast("float64") - lowest) * (2.0 * steps) / width - float(steps)
    return exact.round().cast("decimal(38, 0)").cast("int32").clip(-steps, steps)


def _within(number: Column, kind: Kind, variable: Numeric | Count) -> Column:
    narrow = kind is Kind.FLOAT32
    type_, kind_of_edges = ("float32", kind) if narrow else ("float64", Kind.FLOAT64)
    low, high = (literal(edge, kind_of_edges) for edge in (variable.edges[0], variable.edges[-1]))
    return ibis.cases(
        (number.isnull() | is_nan(number, kind), ibis.null(type_)),
        (number < literal(variable.edges[0], kind), low),
        (number > literal(variable.edges[-1], kind), high),
        else_=number.cast(type_),
    )


def _cell(number: Column, edges: tuple[Decimal, ...]) -> Column:
    kind = Kind.FLOAT32 if number.type().is_float32() else Kind.FLOAT64
    outside = code_literal(0), code_literal(len(edges) - 2)
    return ibis.cases(
        (number.isnull(), code_literal(None)), else_=binned(number, kind, edges, outside)
    )


def _middle(variable: Numeric | Count, code: int, type_: object) -> Column:
    middle = variable.scores[code]
    return ibis.null(type_) if middle is None else _float64(middle).cast(type_)


def _float64(value: Fraction) -> Column:
    return ibis.literal(str(float(value))).cast("float64")
