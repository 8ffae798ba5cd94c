"""Ancestral sampling of codes: integer thresholds on counter-based words, chunk by chunk.

P(code <= j | parent row) becomes the threshold T_j = round(2^32 (p_0 + .. + p_j)), at most
2^32 - 1; a row's word w, at most 2^32 - 2, gives the code #{j : w >= T_j}. Each probability is
met to 2^-32, and a level of probability 0 is never drawn.

Codes are made in chunks small enough for the cache; chunks cannot be seen in the output.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.causal.sampling.noise import ROWS_PER_BLOCK, Words, Words32

Codes = NDArray[np.signedinteger[Any]]  # int8 or int16, shape (nodes, rows)
Column = NDArray[np.signedinteger[Any]]  # int8 or int16, shape (rows,)
Thresholds = NDArray[np.uint32]  # shape (size - 1, parent rows)
Table: TypeAlias = NDArray[np.float64]  # shape (parents' sizes .., size)

CHUNK_ROWS = 16_384
_CAP = np.uint32(2**32 - 2)
_LARGEST_INT8_SIZE = 128


@dataclass(frozen=True, slots=True)
class SampledNode:
    """How one node is drawn: from its thresholds, or fixed by an intervention."""

    name: str
    thresholds: Thresholds
    parents: tuple[int, ...]  # positions among the nodes, all before this one
    strides: tuple[int, ...]  # of each parent's code in the parent row
    fixed: int | None


def thresholds(table: Table) -> Thresholds:
    """Return the integer thresholds of a conditional probability table."""
    rows = table.reshape(-1, table.shape[-1])
    cumulative = np.cumsum(rows, axis=1)[:, :-1]
    scaled = np.clip(np.rint(cumulative * 2.0**32), 0, 2.0**32 - 1)
    return np.ascontiguousarray(scaled.T.astype(np.uint32))


def compile_nodes(
    order: Sequence[str],
    parents: Mapping[str, Sequence[str]],
    tables: Mapping[str, Table],
    fixed: Mapping[str, int],
) -> tuple[SampledNode, ...]:
    """Return the nodes in topological `order`, ready to be drawn."""
    position = {name: index for index, name in enumerate(order)}
    return tuple(
        compile_node(
            name, [position[parent] for parent in parents[name]], tables[name], fixed.get(name)
        )
        for name in order
    )


def compile_node(name: str, parents: Sequence[int], table: Table, fixed: int | None) -> SampledNode:
    """Return one node, whose parents are at these positions, ready to be drawn."""
    return SampledNode(name, thresholds(table), tuple(parents), _strides(table.shape[:-1]), fixed)


def draw_codes(nodes: Sequence[SampledNode], seed: int, start: int, rows: int) -> Codes:
    """Return the codes of rows start .. start + rows - 1, shape (nodes, rows).

    The type is int8 where every code fits, else int16.
    """
    first = start - start % ROWS_PER_BLOCK
    largest = max((len(node.thresholds) + 1 for node in nodes), default=0)
    dtype = np.dtype(np.int8 if largest <= _LARGEST_INT8_SIZE else np.int16)
    codes: Codes = np.empty((len(nodes), start + rows - first), dtype=dtype)
    streams = [Words(seed, node.name, first) for node in nodes]
    for low in range(0, codes.shape[1], CHUNK_ROWS):
        _draw_chunk(nodes, streams, codes[:, low : low + CHUNK_ROWS])
    return codes[:, start - first :]


def _draw_chunk(nodes: Sequence[SampledNode], streams: Sequence[Words], codes: Codes) -> None:
    for index, (node, stream) in enumerate(zip(nodes, streams, strict=True)):
        if node.fixed is not None:
            codes[index] = node.fixed
            continue
        reached_codes(node, stream.take(codes.shape[1]), codes, codes[index])


def reached_codes(node: SampledNode, words: Words32, codes: Codes, column: Column) -> None:
    """Set `column` to the number of thresholds that each word reaches; caps `words` in place."""
    np.minimum(words, _CAP, out=words)
    if not node.parents:
        column[:] = words >= node.thresholds[0, 0]
        for threshold in node.thresholds[1:, 0]:
            column += words >= threshold
        return
    row = _parent_row(node, codes)
    bound = np.empty_like(words)
    for index, of_rows in enumerate(node.thresholds):
        np.take(of_rows, row, out=bound, mode="clip")  # "raise" would buffer the output
        reached = words >= bound
        if index == 0:
            column[:] = reached
        else:
            column += reached


def _parent_row(node: SampledNode, codes: Codes) -> NDArray[np.intp]:
    row: NDArray[np.intp] = codes[node.parents[-1]].astype(np.intp)  # the last stride is 1
    for parent, stride in zip(node.parents[:-1], node.strides[:-1], strict=True):
        row += np.multiply(codes[parent], stride, dtype=np.intp)
    return row


def _strides(sizes: Sequence[int]) -> tuple[int, ...]:
    strides = [1]
    for size in reversed(sizes[1:]):
        strides.append(strides[-1] * size)
    return tuple(reversed(strides)) if sizes else ()
