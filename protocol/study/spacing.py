"""Where the parts of a bin begin and end: the same decimals on every machine.

Evenly spaced on the scale of the numbers, or of their logarithms. Edges of bins stay as the study
writes them; those of parts are rounded to 12 significant digits.
"""

from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Literal, TypeAlias

Spacing: TypeAlias = Literal["linear", "log"]

_SHOWN = Context(prec=12, rounding=ROUND_HALF_EVEN)
_WORKING = Context(prec=40, rounding=ROUND_HALF_EVEN)  # in which ln and exp are correctly rounded


def part_edges(edges: Sequence[Decimal], parts: int, spacing: Spacing) -> tuple[Decimal, ...]:
    """Return the edges of `parts` parts of every bin: (len(edges) - 1) * parts + 1 numbers.

    Precondition: edges rise, and start above 0 where spacing is "log". Parts that 12 digits
    cannot tell apart have edges that do not rise.
    """
    inner = _linear if spacing == "linear" else _logarithmic
    found = [edges[0]]
    for low, high in pairwise(edges):
        found += [*inner(low, high, parts), high]
    return tuple(found)


def _linear(low: Decimal, high: Decimal, parts: int) -> Iterator[Decimal]:
    for part in range(1, parts):
        value = Fraction(low) + (Fraction(high) - Fraction(low)) * Fraction(part, parts)
        yield _SHOWN.divide(Decimal(value.numerator), Decimal(value.denominator))


def _logarithmic(low: Decimal, high: Decimal, parts: int) -> Iterator[Decimal]:
    if parts == 1:
        return
    start, width = _WORKING.ln(low), _WORKING.subtract(_WORKING.ln(high), _WORKING.ln(low))
    for part in range(1, parts):
        share = Fraction(part, parts)
        way = _WORKING.multiply(width, Decimal(share.numerator))
        way = _WORKING.divide(way, Decimal(share.denominator))
        yield _SHOWN.plus(_WORKING.exp(_WORKING.add(start, way)))
