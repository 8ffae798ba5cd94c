"""Codes drawn from tables: integer thresholds on counter-based words.

P(code <= j | parent row) becomes the threshold T_j = round(2^32 (p_0 + .. + p_j)), at most
2^32 - 1; a row's word w, at most 2^32 - 2, gives the code #{j : w >= T_j}. Each probability is
met to 2^-32, and a level of probability 0 is never drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.causal.sampling.noise import Words32, key_of

Codes = NDArray[np.signedinteger[Any]]  # int8 or int16, shape (nodes, rows)
Column = NDArray[np.signedinteger[Any]]  # int8 or int16, shape (rows,)
Thresholds = NDArray[np.uint32]  # shape (size - 1, parent rows)
Table: TypeAlias = NDArray[np.float64]  # shape (parents' sizes .., size)

_CAP = np.uint32(2**32 - 2)
_LARGEST_INT8_SIZE = 128


@dataclass(frozen=True, slots=True, eq=False)
class SampledNode:
    """How the codes of one node are drawn: from its thresholds, or all the same."""

    stream: str  # label of its noise
    thresholds: Thresholds
    parents: tuple[int, ...]  # positions among the nodes, all before this one
    sizes: tuple[int, ...]  # of the parents' domains
    fixed: int | None

    @property
    def size(self) -> int:
        """Return the number of codes that may be drawn."""
        return len(self.thresholds) + 1 if self.fixed is None else self.fixed + 1


class Packed(NamedTuple):
    """Nodes of a world as flat arrays, for the kernel (`kernels.tables_into`).

    `labels` to `thresholds_at` have one entry a node (the last one more); positions of a node that
    is drawn from no table hold nothing and are not looked at.
    """

    labels: NDArray[np.uint64]
    fixed: NDArray[np.int64]  # -1: drawn
    sizes: NDArray[np.int64]
    rows: NDArray[np.int64]  # of the parents
    thresholds_at: NDArray[np.int64]
    thresholds: NDArray[np.uint32]  # level by level, then row by row
    parents_at: NDArray[np.int64]
    parents: NDArray[np.int64]
    parent_sizes: NDArray[np.uint32]


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
        fixed_node(name, fixed[name])
        if name in fixed
        else compile_node(name, [position[parent] for parent in parents[name]], tables[name])
        for name in order
    )


def compile_node(stream: str, parents: Sequence[int], table: Table) -> SampledNode:
    """Return one node, whose parents are at these positions, ready to be drawn."""
    return SampledNode(stream, thresholds(table), tuple(parents), table.shape[:-1], None)


def fixed_node(stream: str, code: int) -> SampledNode:
    """Return a node that has the same code in every row."""
    return SampledNode(stream, np.zeros((0, 1), np.uint32), (), (), code)


def code_type(sizes: Sequence[int]) -> np.dtype[np.signedinteger[Any]]:
    """Return the type of codes of nodes with so many levels: int8 where all fit, else int16."""
    return np.dtype(np.int8 if max(sizes, default=0) <= _LARGEST_INT8_SIZE else np.int16)


def packed(nodes: Sequence[SampledNode | None]) -> Packed:
    """Return a world's nodes as flat arrays; None stands for one that has no table."""
    tables = [np.zeros((0, 1), np.uint32) if node is None else node.thresholds for node in nodes]
    parents = [() if node is None else node.parents for node in nodes]
    sizes = [size for node in nodes if node is not None for size in node.sizes]
    drawn = [None if node is None or node.fixed is None else node.fixed for node in nodes]
    return Packed(
        labels=np.array([0 if node is None else key_of(node.stream) for node in nodes], np.uint64),
        fixed=np.array([-1 if code is None else code for code in drawn], np.int64),
        sizes=np.array([len(table) + 1 for table in tables], np.int64),
        rows=np.array([table.shape[1] for table in tables], np.int64),
        thresholds_at=_offsets([table.size for table in tables]),
        thresholds=np.concatenate([table.ravel() for table in tables] or [np.zeros(0, np.uint32)]),
        parents_at=_offsets([len(each) for each in parents]),
        parents=np.array([parent for each in parents for parent in each], np.int64),
        parent_sizes=np.array(sizes, np.uint32),
    )


def _offsets(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def reached_codes(node: SampledNode, words: Words32, codes: Codes, column: Column) -> None:
    """Set `column` to the number of thresholds that each word reaches; caps `words` in place.

    `codes`, shape (nodes, rows), hold the parents of the same rows.
    """
    np.minimum(words, _CAP, out=words)
    if not node.parents:
        column[:] = words >= node.thresholds[0, 0]
        for threshold in node.thresholds[1:, 0]:
            column += words >= threshold
        return
    row = parent_row(node.parents, node.sizes, codes)
    bound = np.empty_like(words)
    for index, of_rows in enumerate(node.thresholds):
        np.take(of_rows, row, out=bound, mode="clip")  # "raise" would buffer the output
        reached = words >= bound
        if index == 0:
            column[:] = reached
        else:
            column += reached


def parent_row(parents: Sequence[int], sizes: Sequence[int], codes: Codes) -> NDArray[np.intp]:
    """Return the row of a table that each person's parents choose; the last parent is fastest."""
    row = np.zeros(codes.shape[1], dtype=np.intp)
    for at, (parent, size) in enumerate(zip(parents, sizes, strict=True)):
        if at:
            row *= size
        row += codes[parent]
    return row
