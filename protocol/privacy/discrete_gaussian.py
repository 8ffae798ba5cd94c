"""The discrete Gaussian N_Z(0, s^2), exactly, many at a time (Canonne, Kamath, Steinke 2020).

Algorithm 3 of the paper: a discrete Laplace X of scale t = floor(s) + 1 is kept with probability
exp(-(|X| - s^2/t)^2 / (2 s^2)). X itself is made of Bernoulli(exp(-gamma)) too (algorithm 2): a
remainder below t, kept with exp(-U/t), and the number of times exp(-1) comes up in a row.

Why this is exact although it looks at floats. A Bernoulli(p) is 1 where a uniform real of [0, 1)
lies below p. Of that real we draw the first 64 bits, r: it lies in [r, r + 1) / 2^64. Only if that
interval lies whole on one side of p is the answer given at once. A float only says which side, and
only if it is clear by `_MARGIN` = 2^-32 of p: a million times what the float can be wrong by. For
gamma = q^2 / 2 is computed from numbers below 2^53 in five roundings of 2^-53, which add up to less
than (|q| + 3 q^2) 2^-53, that is 2^-39 where |q| <= 64; where |q| is larger, p is far below the
2^-62 that `_LEAST` asks for besides. And numpy's `exp` is right to 4 units in its last place.
Whatever is not clear, one decision in 2^31, is taken by integers: further bits of the same uniform
real are drawn, and exp is bounded from both sides at as many digits as it takes. So each Bernoulli
has exactly its probability, and a draw that is kept has exactly the law of the paper's.

Random bytes are an argument and every one of them is used as it comes. The number of draws depends
on the values drawn, as in OpenDP's sampler: who can time this code to the microsecond is outside
the threat model (SPEC 2).
"""

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Entropy: TypeAlias = Callable[[int], bytes]  # that many uniform, independent bytes
Integers: TypeAlias = NDArray[np.int64]
_Words: TypeAlias = NDArray[np.uint64]
_Floats: TypeAlias = NDArray[np.float64]
_Flags: TypeAlias = NDArray[np.bool_]

LARGEST_SCALE = 2**37
SCALE_BITS = 16  # a scale is a multiple of 2^-16

_WORD_BITS = 64
_MARGIN = 2.0**-32  # of p: how clear a float has to be
_LEAST = 2.0**-62  # and beside it: two units of the last bit drawn
_FIRST_DIGITS = 40
_YIELD = 0.45  # more than a candidate is worth on average, 0.48, rounded down
_SPARE = 64
_BATCH = 2**18  # draws at a time: memory stays flat, and in cache


def sample(scale: Fraction, count: int, entropy: Entropy) -> Integers:
    """Return `count` independent draws of N_Z(0, scale^2), shape (count,).

    Precondition: 1 <= scale < 2^37, a multiple of 2^-16.

    Raises:
        ValueError: `scale` breaks the precondition.
    """
    if not 1 <= scale < LARGEST_SCALE or (scale * 2**SCALE_BITS).denominator != 1:
        raise ValueError(f"expected a multiple of 2^-16 from 1 to below 2^37, found {scale}")
    drawn = np.empty(count, np.int64)
    filled = 0
    while filled < count:
        wanted = min(count - filled, _BATCH)
        found = _accepted(scale, int(wanted / _YIELD) + _SPARE, entropy)
        taken = min(found.size, count - filled)
        drawn[filled : filled + taken] = found[:taken]
        filled += taken
    return drawn


def _accepted(scale: Fraction, candidates: int, entropy: Entropy) -> Integers:
    """Return those of a number of candidates that algorithm 3 keeps."""
    t = int(scale) + 1
    laplace = _discrete_laplace(t, candidates, entropy)
    shift = scale * scale / t
    distance = np.abs(laplace).astype(np.float64) - float(shift)
    gamma = (distance / float(scale)) ** 2 / 2

    def exact(at: int) -> Fraction:
        return (abs(int(laplace[at])) - shift) ** 2 / (2 * scale * scale)

    kept: Integers = laplace[_bernoulli_exp(gamma, exact, entropy)]
    return kept


def _discrete_laplace(t: int, candidates: int, entropy: Entropy) -> Integers:
    """Return draws of P(x) proportional to exp(-|x| / t); fewer than `candidates`."""
    remainder = _uniform(t, candidates, entropy)
    kept = _bernoulli_exp(remainder / float(t), lambda at: Fraction(int(remainder[at]), t), entropy)
    magnitude: Integers = remainder[kept]
    magnitude += t * _successes(magnitude.size, entropy)
    negative = np.unpackbits(_octets(-(-magnitude.size // 8), entropy))[: magnitude.size] == 1
    kept = ~(negative & (magnitude == 0))  # or zero would come up twice as often
    signed: Integers = np.where(negative, -magnitude, magnitude)[kept]
    return signed


def _uniform(bound: int, count: int, entropy: Entropy) -> Integers:
    """Return `count` integers below `bound`: the bits that it takes, again where they are not."""
    shift = np.uint64(_WORD_BITS - max(bound - 1, 1).bit_length())
    drawn = np.empty(count, np.int64)
    filled = 0
    while filled < count:
        found = (_words(2 * (count - filled) + _SPARE, entropy) >> shift).astype(np.int64)
        found = found[found < bound][: count - filled]
        drawn[filled : filled + found.size] = found
        filled += found.size
    return drawn


def _successes(count: int, entropy: Entropy) -> Integers:
    """Return how often in a row Bernoulli(exp(-1)) comes up, `count` times.

    That is the k for which a uniform real lies in [e^-(k+1), e^-k).
    """
    words = _words(count, entropy)
    descending = _POWERS[::-1]  # floor(2^64 e^-k), ascending
    below = descending.size - np.searchsorted(descending, words, side="right")
    # Where r is the floor itself, or 0, the first 64 bits do not say it.
    for at in np.flatnonzero(np.isin(words, _POWERS) | (words == 0)):
        below[at] = _successes_of(int(words[at]), entropy)
    return below.astype(np.int64)


def _successes_of(first_bits: int, entropy: Entropy) -> int:
    real = _LazyUniform(first_bits, entropy)
    count = 0
    while real.is_below_exp(Fraction(count + 1)):
        count += 1
    return count


def _bernoulli_exp(gamma: _Floats, exact: Callable[[int], Fraction], entropy: Entropy) -> _Flags:
    """Return independent Bernoulli(exp(-gamma)); `exact` is the gamma of one place as it is."""
    words = _words(gamma.size, entropy)
    accepted, unclear = _decide(words, gamma)
    for at in np.flatnonzero(unclear):
        accepted[at] = _LazyUniform(int(words[at]), entropy).is_below_exp(exact(int(at)))
    return accepted


def _decide(words: _Words, gamma: _Floats) -> tuple[_Flags, _Flags]:
    """Return where a real that begins with `words` is below exp(-gamma), and where that is open."""
    probability = np.exp(-gamma)
    uniform = words.astype(np.float64) * 2.0**-_WORD_BITS
    doubt = probability * _MARGIN + _LEAST
    return uniform < probability, np.abs(uniform - probability) <= doubt


class _LazyUniform:
    """A uniform real of [0, 1) of which only the bits that are asked for are drawn."""

    def __init__(self, first_bits: int, entropy: Entropy) -> None:
        self._value, self._bits, self._entropy = first_bits, _WORD_BITS, entropy

    def is_below_exp(self, gamma: Fraction) -> bool:
        """Return whether it is below exp(-gamma), gamma >= 0."""
        digits = _FIRST_DIGITS
        while True:
            low, high = exp_bounds(gamma, digits)
            if Fraction(self._value + 1, 2**self._bits) <= low:
                return True
            if Fraction(self._value, 2**self._bits) >= high:
                return False
            self._value = self._value << 64 | int.from_bytes(self._entropy(8), "big")
            self._bits += _WORD_BITS
            digits += 20  # 64 bits and a little


def exp_bounds(gamma: Fraction, digits: int) -> tuple[Fraction, Fraction]:
    """Return bounds of exp(-gamma), gamma >= 0, from below and above, at so many digits.

    `Decimal.exp` is correctly rounded; one unit in its last place more is sure to be outside.
    """
    if gamma == 0:
        return Fraction(1), Fraction(1)
    bounds = []
    for rounding, unit in ((ROUND_CEILING, -1), (ROUND_FLOOR, 1)):
        context = Context(prec=digits, rounding=rounding)
        rounded = context.divide(Decimal(gamma.numerator), Decimal(gamma.denominator))
        value = rounded.copy_negate().exp(Context(prec=digits))
        last = Decimal((0, (1,), value.as_tuple().exponent))  # type: ignore[arg-type]
        bounds.append(Fraction(value) + unit * Fraction(last))
    return bounds[0], bounds[1]


def _powers() -> _Words:
    """Return floor(2^64 e^-k) for k = 1, 2, ... as long as it is positive."""
    floors = []
    for power in range(1, 45):
        low, high = (int(2**_WORD_BITS * bound) for bound in exp_bounds(Fraction(power), 60))
        if low != high:
            raise AssertionError("60 digits do not tell a power of e")
        floors.append(low)
    return np.array(floors, np.uint64)


def _words(count: int, entropy: Entropy) -> _Words:
    return np.frombuffer(entropy(8 * count), np.uint64)


def _octets(count: int, entropy: Entropy) -> NDArray[np.uint8]:
    return np.frombuffer(entropy(count), np.uint8)


_POWERS = _powers()
