"""Two ways to the same bytes: numpy alone, or compiled kernels.

A source draws consecutive pieces of one range of rows; pieces begin at multiples of
ROWS_PER_BLOCK, and all but the last have as many rows as such a multiple.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.causal.sampling.bins import Bins
from server.causal.sampling.nodes import RegressionNode
from server.causal.sampling.noise import ROWS_PER_BLOCK, Fractions, Words, Words32, fractions
from server.causal.sampling.noise import key_of as label_of
from server.causal.sampling.responses import quantile
from server.causal.sampling.tables import Codes, Column, Packed, SampledNode, reached_codes

Reals: TypeAlias = NDArray[Any]  # float64

_FRACTIONS_PER_BLOCK = 4


class Regressors(NamedTuple):
    """What a regression is computed from, in some rows."""

    row: NDArray[np.intp]  # of coefficients and scale, shape (rows,)
    columns: Reals  # shape (numbers, rows)
    places: NDArray[np.intp]  # which of the columns enter, one per slope


class Source(Protocol):
    """Noise, and what is made of it, of one piece after another."""

    def words(self, stream: str, first: int, rows: int) -> Words32:
        """Return the 32-bit words of a stream, shape (rows,)."""
        ...

    def fractions(self, stream: str, first: int, rows: int) -> Fractions:
        """Return the fractions of a stream, shape (rows,)."""
        ...

    def draw_tables(self, nodes: range, first: int, codes: Codes, at: slice) -> None:
        """Set the codes of consecutive nodes of the world in the columns `at`."""
        ...

    def values_into(self, out: Reals, node: RegressionNode, of: Regressors, first: int) -> None:
        """Fill `out` with the values of a regression, clamped."""
        ...

    def codes_of(self, bins: Bins, values: Reals, column: Column) -> None:
        """Set `column` to the bin of each value."""
        ...


class NumpySource:
    """Numpy alone; of a stream, words are taken in order."""

    def __init__(self, tables: Sequence[SampledNode | None], seed: int) -> None:
        self._tables, self._seed = tables, seed
        self._words: dict[str, tuple[int, Words]] = {}

    def words(self, stream: str, first: int, rows: int) -> Words32:
        """Return the words; a stream that goes on where it ended is not set up again."""
        at, words = self._words.get(stream, (-1, None))
        if words is None or at != first:
            words = Words(self._seed, stream, first)
        self._words[stream] = first + rows, words
        return words.take(rows)

    def fractions(self, stream: str, first: int, rows: int) -> Fractions:
        """Return the fractions."""
        return fractions(self._seed, stream, first, rows)

    def draw_tables(self, nodes: range, first: int, codes: Codes, at: slice) -> None:
        """Draw the codes of one node after another."""
        piece = codes[:, at]
        for place in nodes:
            node = self._tables[place]
            assert node is not None  # noqa: S101 - the caller names nodes with tables
            if node.fixed is not None:
                piece[place] = node.fixed
            else:
                words = self.words(node.stream, first, piece.shape[1])
                reached_codes(node, words, piece, piece[place])

    def values_into(self, out: Reals, node: RegressionNode, of: Regressors, first: int) -> None:
        """Take quantiles around the linear predictor."""
        out[:] = regression_values(self, node, of, first)

    def codes_of(self, bins: Bins, values: Reals, column: Column) -> None:
        """Search every value among the edges."""
        column[:] = bins.codes_of(values)


class KernelSource:
    """Compiled kernels (`kernels.py`); needs numba."""

    def __init__(self, packed: Packed, seed: int) -> None:
        from server.causal.sampling import kernels  # noqa: PLC0415 - an extra, slow to load

        self._kernels, self._packed, self._seed = kernels, packed, np.uint64(seed)

    def words(self, stream: str, first: int, rows: int) -> Words32:
        """Return the words."""
        raw = np.empty(-(-rows // ROWS_PER_BLOCK) * 4, dtype=np.uint64)
        label = np.uint64(label_of(stream))
        self._kernels.words_into(raw, self._seed, label, first // ROWS_PER_BLOCK)
        words: Words32 = raw.view("<u4")[:rows]
        return words

    def fractions(self, stream: str, first: int, rows: int) -> Fractions:
        """Return the fractions."""
        found, label = np.empty(rows), np.uint64(label_of(stream))
        self._kernels.fractions_into(found, self._seed, label, first // _FRACTIONS_PER_BLOCK)
        return found

    def draw_tables(self, nodes: range, first: int, codes: Codes, at: slice) -> None:
        """Draw the codes of all nodes in one call."""
        where = ((at.start, at.stop), (nodes.start, nodes.stop))
        noise = (self._seed, first // ROWS_PER_BLOCK)
        self._kernels.tables_into(codes, *where, noise, self._packed)

    def values_into(self, out: Reals, node: RegressionNode, of: Regressors, first: int) -> None:
        """Take normal quantiles in one pass; of other responses as numpy does."""
        if node.response != "gaussian":
            out[:] = regression_values(self, node, of, first)
            return
        uniform = self.fractions(node.stream, first, len(of.row))
        law = (node.coefficients, node.scale, *node.bounds)
        self._kernels.gaussian_into(out, uniform, of.row, of.columns, of.places, law)

    def codes_of(self, bins: Bins, values: Reals, column: Column) -> None:
        """Halve the range of bins."""
        self._kernels.bins_into(column, values, bins.edges)


def regression_values(source: Source, node: RegressionNode, of: Regressors, first: int) -> Reals:
    """Return the clamped quantiles of a response around its linear predictor."""
    row = of.row
    predictor = node.coefficients[row, 0]
    for slope, place in enumerate(of.places, start=1):
        predictor = predictor + node.coefficients[row, slope] * of.columns[place]
    uniform = source.fractions(node.stream, first, len(row))
    low, high = node.bounds
    found = quantile(node.response, predictor, node.scale[row], uniform, high)
    return np.clip(found, low, high)
