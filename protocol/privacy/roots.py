"""Square roots of fractions, without floating point: the same digits on every machine."""

from fractions import Fraction
from math import isqrt

ROOT_BITS = 64  # a root is within a factor 1 + 2^-64 of the real one


def root_below(value: Fraction) -> Fraction:
    """Return a number r <= sqrt(value) with sqrt(value) < r (1 + 2^-64), for value >= 0."""
    shift = _shift(value)
    return Fraction(isqrt((value.numerator << 2 * shift) // value.denominator), 1 << shift)


def root_above(value: Fraction) -> Fraction:
    """Return a number r >= sqrt(value) with r <= sqrt(value) (1 + 2^-63), for value >= 0."""
    root = root_below(value)
    return root if root * root == value else root + Fraction(1, 1 << _shift(value))


def _shift(value: Fraction) -> int:
    """Return how far to scale, so that the integer root has more than 64 bits."""
    magnitude = value.numerator.bit_length() - value.denominator.bit_length()
    return max(0, ROOT_BITS + 2 - magnitude // 2)
