"""Compiled kernels: noise, codes of tables and values of regressions, in one pass over a chunk.

They give the bytes of `noise.py`, `tables.py` and `normal.py`, which are numpy alone: the same
words, the same comparisons of integers, and for numbers the same IEEE operations in the same order
(nothing is fused or reordered: numba's `fastmath` stays off). The only place of numba, which is
the extra `fast`; they release the interpreter's lock, so that threads share the work.

Philox4x64-10: Salmon, Moraes, Dror, Shaw 2011, section 3.3.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from server.causal.sampling.normal import (
    CENTRAL,
    CENTRAL_ABOVE,
    CENTRAL_BELOW,
    CENTRE,
    FAR_ABOVE,
    FAR_BELOW,
    HALF_STEP,
    LN2_HIGH,
    LN2_LOW,
    LOG_EVEN,
    LOG_ODD,
    NEAR,
    NEAR_ABOVE,
    NEAR_BELOW,
    ROOT_HALF,
    SHIFT,
    Polynomial,
)
from server.causal.sampling.tables import Packed

Array = NDArray[Any]
Word = np.uint64
Word32 = np.uint32

_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_ROUNDS = 10
_CAP = np.uint32(2**32 - 2)
_TOP_BITS = np.uint64(11)
_STEP = 2.0**-53
_EXPONENT_AT, _EXPONENT_BIAS = np.uint64(52), np.int32(1022)  # of a double in [1/2, 1)
_FRACTION_BITS, _HALF_BITS = np.uint64(2**52 - 1), np.uint64(1022 << 52)
_NEAR_ROWS = 1024  # that are worked on at a time, in the nearest cache
_MOST_COUNTED = 8  # bins of a number up to which all edges are compared
_MOST_SCANNED = 12  # thresholds of a node up to which all are compared, without a branch


@intrinsic
def _multiplied(typing_context: Any, left: Any, right: Any) -> Any:  # noqa: ANN401, ARG001 - numba's
    """Return the upper and the lower 64 bits of a product of two 64-bit numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        wide, narrow = ir.IntType(128), ir.IntType(64)
        factors = [builder.zext(argument, wide) for argument in arguments]
        product = builder.mul(*factors)
        upper = builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), narrow)
        lower = builder.trunc(product, narrow)
        return context.make_tuple(builder, signature.return_type, (upper, lower))

    pair = types.UniTuple(types.uint64, 2)  # type: ignore[no-untyped-call]
    return pair(types.uint64, types.uint64), generate


_product: Any = _multiplied  # to a type checker it is a function of three arguments


@njit(nogil=True, cache=True)
def words_into(out: Array, seed: Word, label: Word, first_block: int) -> None:
    """Fill `out`, 64-bit words, a multiple of 4 of them, with blocks from `first_block` on."""
    for block in range(len(out) // 4):
        # numpy adds 1 to the counter before it encrypts
        word_0, word_1 = np.uint64(first_block + block + 1), np.uint64(0)
        word_2, word_3 = np.uint64(0), np.uint64(0)
        key_0, key_1 = np.uint64(seed), np.uint64(label)
        for _ in range(_ROUNDS):
            upper_0, lower_0 = _product(_MULTIPLIER_0, word_0)
            upper_1, lower_1 = _product(_MULTIPLIER_1, word_2)
            word_0, word_1 = upper_1 ^ word_1 ^ key_0, lower_1
            word_2, word_3 = upper_0 ^ word_3 ^ key_1, lower_0
            key_0, key_1 = key_0 + _WEYL_0, key_1 + _WEYL_1
        out[4 * block] = word_0
        out[4 * block + 1] = word_1
        out[4 * block + 2] = word_2
        out[4 * block + 3] = word_3


@njit(nogil=True, cache=True)
def fractions_into(out: Array, seed: Word, label: Word, first_block: int) -> None:
    """Fill `out`, float64, with the fractions of blocks from `first_block` on."""
    words = np.empty((len(out) + 3) // 4 * 4, dtype=np.uint64)
    words_into(words, seed, label, first_block)
    for place in range(len(out)):
        out[place] = np.float64(words[place] >> _TOP_BITS) * _STEP


@njit(nogil=True, cache=True)
def tables_into(
    codes: Array,
    at: tuple[int, int],
    nodes: tuple[int, int],
    noise: tuple[Word, int],
    packed: Packed,
) -> None:
    """Draw nodes nodes[0] .. nodes[1] - 1 of a world in columns at[0] .. at[1] - 1 of `codes`.

    `noise` is the seed, and the block of the first of these rows.
    """
    start, stop = at
    raw = np.empty((stop - start + 7) // 8 * 4, dtype=np.uint64)
    words = raw.view(np.uint32)
    row = np.zeros(stop - start, dtype=np.uint32)  # unsigned: no test for indices below 0
    for node in range(nodes[0], nodes[1]):
        column = codes[node, start:stop]
        if packed.fixed[node] >= 0:
            column[:] = packed.fixed[node]
            continue
        words_into(raw, noise[0], packed.labels[node], noise[1])
        for place in range(len(words)):
            words[place] = min(words[place], _CAP)
        first, last = packed.parents_at[node], packed.parents_at[node + 1]
        bounds = packed.thresholds[packed.thresholds_at[node] : packed.thresholds_at[node + 1]]
        levels = packed.sizes[node] - 1
        if first == last:
            _reached(words, bounds, column)
            continue
        _rows_into(row, codes, start, packed.parents[first:last], packed.parent_sizes[first:last])
        if levels <= _MOST_SCANNED:
            _scanned(words, bounds, np.uint32(packed.rows[node]), row, column)
        else:
            _searched(words, bounds, np.uint32(packed.rows[node]), row, column)


@njit(nogil=True, cache=True)
def _rows_into(row: Array, codes: Array, start: int, parents: Array, sizes: Array) -> None:
    """Fill `row` with the row of a table that the parents' codes choose; the last is fastest."""
    stop = start + len(row)
    first = codes[parents[0], start:stop]
    if len(parents) == 1:
        for place in range(len(row)):
            row[place] = np.uint32(first[place])
        return
    size, second = sizes[1], codes[parents[1], start:stop]
    for place in range(len(row)):
        row[place] = np.uint32(first[place]) * size + np.uint32(second[place])
    for parent in range(2, len(parents)):
        size, other = sizes[parent], codes[parents[parent], start:stop]
        for place in range(len(row)):
            row[place] = row[place] * size + np.uint32(other[place])


@njit(nogil=True, cache=True)
def _reached(words: Array, bounds: Array, column: Array) -> None:
    """Count the thresholds that each word reaches, the same for all rows."""
    for place in range(len(column)):
        column[place] = words[place] >= bounds[0]
    for level in range(1, len(bounds)):
        bound = bounds[level]
        for place in range(len(column)):
            column[place] += words[place] >= bound


@njit(nogil=True, cache=True)
def _scanned(words: Array, bounds: Array, rows: Word32, row: Array, column: Array) -> None:
    """Count the thresholds of each word's row; up to three at a time, so that words are read once.

    `bounds` hold those of the first level for all rows, then those of the next.
    """
    levels = len(bounds) // rows
    second, third = bounds[rows % len(bounds) :], bounds[2 * rows % len(bounds) :]
    if levels == 1:
        for place in range(len(column)):
            column[place] = words[place] >= bounds[row[place]]
    elif levels == 2:
        for place in range(len(column)):
            word, at = words[place], row[place]
            column[place] = np.int8(word >= bounds[at]) + np.int8(word >= second[at])
    else:
        for place in range(len(column)):
            word, at = words[place], row[place]
            pair = np.int8(word >= bounds[at]) + np.int8(word >= second[at])
            column[place] = pair + np.int8(word >= third[at])
        for level in range(3, levels):
            bound = bounds[level * rows :]
            for place in range(len(column)):
                column[place] += words[place] >= bound[row[place]]


@njit(nogil=True, cache=True)
def _searched(words: Array, bounds: Array, rows: Word32, row: Array, column: Array) -> None:
    """Count the thresholds of each word's row by halving: they do not fall."""
    levels = int(len(bounds) // rows)
    for place in range(len(column)):
        word, at, low, high = words[place], row[place], 0, levels
        while low < high:
            middle = (low + high) // 2
            if word >= bounds[middle * rows + at]:
                low = middle + 1
            else:
                high = middle
        column[place] = low


@njit(nogil=True, cache=True)
def gaussian_into(
    values: Array,
    uniform: Array,
    row: Array,
    columns: Array,
    regressors: Array,
    law: tuple[Array, Array, float, float],
) -> None:
    """Fill `values` with quantiles of normal responses at `uniform`.

    `row`, shape (rows,), is the row of coefficients and scale; `regressors` are the rows of
    `columns`, shape (numbers, rows), that enter; `law` holds coefficients, scale, and the bounds
    that values are clamped to.
    """
    coefficients, scale, low, high = law
    quantiles = np.empty_like(uniform)
    quantiles_into(quantiles, uniform)
    if len(coefficients) == 1:  # the same for all: the compiler takes several rows at a time
        _one_law(values, quantiles, columns, regressors, law)
        return
    for place in range(len(values)):
        values[place] = coefficients[row[place], 0]
    for slope in range(len(regressors)):
        regressor = columns[regressors[slope]]
        for place in range(len(values)):
            values[place] += coefficients[row[place], slope + 1] * regressor[place]
    for place in range(len(values)):
        value = values[place] + scale[row[place]] * quantiles[place]
        values[place] = min(max(value, low), high)


@njit(nogil=True, cache=True)
def _one_law(
    values: Array,
    quantiles: Array,
    columns: Array,
    regressors: Array,
    law: tuple[Array, Array, float, float],
) -> None:
    """Do the same where all rows have the coefficients and the scale of the first."""
    coefficients, scale, low, high = law
    constant, deviation = coefficients[0, 0], scale[0]
    predictor = np.empty(_NEAR_ROWS)
    for start in range(0, len(values), _NEAR_ROWS):
        count = min(_NEAR_ROWS, len(values) - start)
        predictor[:] = constant
        for slope in range(len(regressors)):
            coefficient = coefficients[0, slope + 1]
            regressor = columns[regressors[slope], start : start + count]
            for place in range(count):
                predictor[place] += coefficient * regressor[place]
        out, noise = values[start : start + count], quantiles[start : start + count]
        for place in range(count):
            value = predictor[place] + deviation * noise[place]
            out[place] = min(max(value, low), high)


@njit(nogil=True, cache=True)
def quantiles_into(out: Array, uniform: Array) -> None:
    """Fill `out` with normal quantiles: `normal.normal_quantile`, step by step.

    The approximation for the centre is taken everywhere, without a branch, so that several are
    computed at a time; the 15 % outside are collected and taken anew.
    """
    tails, places, outside = np.empty_like(out), np.empty(len(out), dtype=np.int32), 0
    for place in range(len(out)):
        centred = (uniform[place] - 0.5) + HALF_STEP
        square = CENTRE - centred * centred
        out[place] = centred * _eight(CENTRAL_ABOVE, square) / _eight(CENTRAL_BELOW, square)
    for place in range(len(out)):
        tail = 0.5 - abs((uniform[place] - 0.5) + HALF_STEP)
        tails[outside], places[outside] = tail, place
        outside += tail < 0.5 - CENTRAL
    depths = np.empty(outside)
    _depths_into(depths, tails[:outside])
    for at in range(outside):
        found = _far(depths[at]) if depths[at] > NEAR else tails[at]
        place = places[at]
        out[place] = found if uniform[place] >= 0.5 else -found


@njit(nogil=True, cache=True)
def _depths_into(depths: Array, tails: Array) -> None:
    """Fill `depths` with sqrt(-log tail), and put the near approximation in the place of `tails`.

    The logarithm is `normal.logarithm`, step by step.
    """
    bits = tails.view(np.uint64)
    exponents = np.empty(len(tails), dtype=np.int32)
    for at in range(len(tails)):
        exponents[at] = np.int32(bits[at] >> _EXPONENT_AT) - _EXPONENT_BIAS
        bits[at] = (bits[at] & _FRACTION_BITS) | _HALF_BITS
    for at in range(len(tails)):
        small = tails[at] < ROOT_HALF
        exponent = np.float64(exponents[at] - np.int32(small))
        fraction = (tails[at] * 2.0 if small else tails[at]) - 1.0
        ratio = fraction / (2.0 + fraction)
        square = ratio * ratio
        fourth = square * square
        series = square * _four(LOG_ODD, fourth) + fourth * _three(LOG_EVEN, fourth)
        half = 0.5 * fraction * fraction
        low = ratio * (half + series) + exponent * LN2_LOW
        depths[at] = np.sqrt(-(exponent * LN2_HIGH - ((half - low) - fraction)))
    for at in range(len(tails)):
        near = depths[at] - SHIFT
        tails[at] = _eight(NEAR_ABOVE, near) / _eight(NEAR_BELOW, near)


@njit(nogil=True, cache=True)
def _far(depth: float) -> float:
    far = depth - NEAR
    return _eight(FAR_ABOVE, far) / _eight(FAR_BELOW, far)


@njit(nogil=True, cache=True)
def bins_into(codes: Array, values: Array, edges: Array) -> None:
    """Fill `codes` with the bin of each value, clamped to the outer bins."""
    bins = len(edges) - 1
    if bins <= _MOST_COUNTED:  # count the edges that a value reaches, without a branch
        codes[:] = 0
        for edge in edges[1:-1]:
            for place in range(len(codes)):
                codes[place] += values[place] >= edge
        return
    for place in range(len(codes)):
        value, low, high = values[place], 0, bins - 1
        while low < high:
            middle = (low + high + 1) // 2
            if value >= edges[middle]:
                low = middle
            else:
                high = middle - 1
        codes[place] = low


@njit(nogil=True, cache=True)
def _eight(coefficients: Polynomial, at: float) -> float:
    """Return a polynomial of 8 coefficients by Horner's rule; so do those below."""
    c0, c1, c2, c3, c4, c5, c6, c7 = coefficients
    return ((((((c7 * at + c6) * at + c5) * at + c4) * at + c3) * at + c2) * at + c1) * at + c0


@njit(nogil=True, cache=True)
def _four(coefficients: Polynomial, at: float) -> float:
    c0, c1, c2, c3 = coefficients
    return ((c3 * at + c2) * at + c1) * at + c0


@njit(nogil=True, cache=True)
def _three(coefficients: Polynomial, at: float) -> float:
    c0, c1, c2 = coefficients
    return (c2 * at + c1) * at + c0
