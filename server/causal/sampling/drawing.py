"""Worlds of nodes of all kinds, drawn piece by piece: codes of every node, and values of numbers.

No value depends on other rows, on chunks, threads or the way they are drawn, or on nodes that are
not its ancestors. A piece is small enough for the cache; several threads draw a part of the
rows each.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.causal.sampling.bins import placed
from server.causal.sampling.engine import Engine
from server.causal.sampling.nodes import (
    WITHIN,
    LotteryNode,
    RegressionNode,
    Rows,
    RuleNode,
    SurvivalNode,
    TableNode,
    WorldNode,
)
from server.causal.sampling.noise import ROWS_PER_BLOCK
from server.causal.sampling.rules import computed, drawn_by_lot, shares_of
from server.causal.sampling.sources import KernelSource, NumpySource, Regressors, Source
from server.causal.sampling.tables import (
    SampledNode,
    code_type,
    packed,
    parent_row,
    reached_codes,
)

Reals: TypeAlias = NDArray[Any]  # float64, shape (rows,)

DEFAULT = Engine()


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """Rows that are known already, of nodes that are the same in two worlds."""

    rows: Rows
    places: Mapping[int, int]  # of the node in this world: its position in `rows`


def draw(
    nodes: Sequence[WorldNode],
    seed: int,
    start: int,
    rows: int,
    engine: Engine = DEFAULT,
    given: Given | None = None,
) -> Rows:
    """Return rows start .. start + rows - 1 of the nodes in topological order.

    Nodes that are `given`, for the same rows, are copied.

    Raises:
        UsageError: a policy has no result in some row, or a lottery no probabilities.
    """
    first = start - start % ROWS_PER_BLOCK
    sheet = _sheet(nodes, start + rows - first)
    taken = {} if given is None else _copied(given, sheet.rows, start - first)
    compiled = engine.is_compiled(len(nodes) * rows)
    world = _World(nodes, taken, sheet, first, compiled=compiled)
    spans = _spans(sheet.rows.codes.shape[1], engine)
    if len(spans) == 1:
        world.draw(seed, spans[0], engine.chunk_rows)
    else:
        with ThreadPoolExecutor(len(spans)) as pool:
            list(pool.map(lambda span: world.draw(seed, span, engine.chunk_rows), spans))
    return _without(sheet.rows, start - first)


class _Sheet(NamedTuple):
    """Room for all nodes; values of numbers side by side, so that regressions read them there."""

    rows: Rows
    numbers: Reals  # shape (nodes with values, rows)
    number_of: Mapping[int, int]  # of nodes with values: where they are among the numbers


def _sheet(nodes: Sequence[WorldNode], rows: int) -> _Sheet:
    numbers = [at for at, node in enumerate(nodes) if _has_values(node)]
    times = [at for at, node in enumerate(nodes) if isinstance(node, SurvivalNode)]
    room = np.empty((len(numbers), rows))
    number_of = {at: place for place, at in enumerate(numbers)}
    found = Rows(
        codes=np.empty((len(nodes), rows), dtype=code_type([_levels(node) for node in nodes])),
        values={at: room[place] for at, place in number_of.items()},
        ends={at: np.empty(rows) for at in times},
    )
    return _Sheet(found, room, number_of)


def _has_values(node: WorldNode) -> bool:
    match node:
        case SurvivalNode():
            return True
        case TableNode():
            return node.bins is not None or node.value is not None
    return node.bins is not None


def _levels(node: WorldNode) -> int:
    """Return how many codes a node may have."""
    match node:
        case TableNode():
            return node.table.size
        case SurvivalNode():
            return len(node.edges)
        case LotteryNode():
            return node.codes[-1] + 1
        case RuleNode():
            labels = len(node.own_labels or ()) + 2
            return max(labels, node.missing_code or 0, _bins(node) + 1)
    return max(2, _bins(node))


def _bins(node: RegressionNode | RuleNode) -> int:
    return 0 if node.bins is None else len(node.bins.edges) - 1


def _spans(rows: int, engine: Engine) -> list[tuple[int, int]]:
    """Return the rows of each thread: whole chunks, evenly dealt."""
    chunks = -(-rows // engine.chunk_rows)
    threads = min(engine.threads, max(chunks, 1))
    edges = [min(thread * chunks // threads * engine.chunk_rows, rows) for thread in range(threads)]
    return list(pairwise([*edges, rows]))


def _copied(given: Given, sheet: Rows, skipped: int) -> Mapping[int, int]:
    for place, known in given.places.items():
        sheet.codes[place, skipped:] = given.rows.codes[known]
        sheet.codes[place, :skipped] = 0
        for mine, theirs in ((sheet.values, given.rows.values), (sheet.ends, given.rows.ends)):
            if place in mine:
                mine[place][skipped:] = theirs[known]
                mine[place][:skipped] = 0.0
    return given.places


def _without(sheet: Rows, skipped: int) -> Rows:
    """Return the rows after those that were drawn to begin at a block."""
    if not skipped:
        return sheet
    return Rows(
        codes=sheet.codes[:, skipped:],
        values={at: column[skipped:] for at, column in sheet.values.items()},
        ends={at: column[skipped:] for at, column in sheet.ends.items()},
    )


class _World:
    """The nodes, the rows that are to be filled, and which nodes are filled already."""

    def __init__(
        self,
        nodes: Sequence[WorldNode],
        taken: Mapping[int, int],
        sheet: _Sheet,
        first: int,
        *,
        compiled: bool,
    ) -> None:
        self._nodes, self._sheet, self._first = nodes, sheet, first
        self._tables = [_table_of(node) for node in nodes]
        self._packed = packed(self._tables) if compiled else None
        waiting = [at for at in range(len(nodes)) if at not in taken]
        self._steps = list(_steps(self._tables, waiting))

    def draw(self, seed: int, span: tuple[int, int], chunk_rows: int) -> None:
        """Fill the rows of `span`, chunk by chunk."""
        source: Source = (
            NumpySource(self._tables, seed)
            if self._packed is None
            else KernelSource(self._packed, seed)
        )
        for low in range(*span, chunk_rows):
            at = slice(low, min(low + chunk_rows, span[1]))
            piece = _Piece(source, self._sheet, self._first, at)
            for step in self._steps:
                piece.fill(self._nodes, step)


def _table_of(node: WorldNode) -> SampledNode | None:
    match node:
        case TableNode():
            return node.table
        case SurvivalNode():
            return node.event
    return None


def _steps(tables: Sequence[SampledNode | None], waiting: Sequence[int]) -> list[range]:
    """Return nodes one by one, but runs of those that have tables as one step."""
    steps: list[range] = []
    for at in waiting:
        joined = steps and steps[-1].stop == at and tables[at] is not None
        if joined and tables[steps[-1].start] is not None:
            steps[-1] = range(steps[-1].start, at + 1)
        else:
            steps.append(range(at, at + 1))
    return steps


class _Piece:
    """Some consecutive rows of a world while they are filled."""

    def __init__(self, source: Source, sheet: _Sheet, first: int, at: slice) -> None:
        self._source, self._sheet, self._at = source, sheet.rows, at
        self._first, self._count = first + at.start, at.stop - at.start
        self._codes = sheet.rows.codes[:, at]
        self._values = {place: column[at] for place, column in sheet.rows.values.items()}
        self._numbers, self._number_of = sheet.numbers[:, at], sheet.number_of
        self._first_row = np.zeros(self._count, dtype=np.intp)

    def fill(self, nodes: Sequence[WorldNode], step: range) -> None:
        """Fill the nodes of one step."""
        node = nodes[step.start]
        match node:
            case TableNode() | SurvivalNode():
                self._source.draw_tables(step, self._first, self._sheet.codes, self._at)
                for place in step:
                    self._place(nodes[place], place)
            case RegressionNode():
                self._regress(node, step.start)
            case RuleNode():
                self._compute(node, step.start)
            case LotteryNode():
                self._cast(node, step.start)

    def _place(self, node: WorldNode, at: int) -> None:
        """Give a node whose code is drawn its value."""
        if isinstance(node, SurvivalNode):
            self._survive(node, at)
        elif isinstance(node, TableNode) and node.value is not None:
            self._values[at][:] = node.value
        elif isinstance(node, TableNode) and node.bins is not None:
            within = self._fractions(node.table.stream + WITHIN)
            self._values[at][:] = placed(node.bins, self._codes[at], within)

    def _survive(self, node: SurvivalNode, at: int) -> None:
        """Time the event, and the end of observation: in the last interval always at its end."""
        intervals, codes = len(node.edges) - 1, self._codes[at]
        event = _time_within(node.edges, codes, self._fractions(node.event.stream + WITHIN))
        self._values[at][:] = np.where(codes < intervals, event, np.inf)
        ends = self._sheet.ends[at][self._at]
        ends[:] = node.edges[-1]
        if node.censoring is not None:
            stream, last = node.censoring.stream, np.zeros(self._count, dtype=np.int16)
            words = self._source.words(stream, self._first, self._count)
            reached_codes(node.censoring, words, self._codes, last)
            end = _time_within(node.edges, last, self._fractions(stream + WITHIN))
            ends[:] = np.where(last < intervals - 1, end, node.edges[-1])

    def _regress(self, node: RegressionNode, at: int) -> None:
        regressors = self._regressors(node)
        if node.bins is None:
            found = np.empty(self._count)
            self._source.values_into(found, node, regressors, self._first)
            self._codes[at] = found
        else:
            values = self._values[at]
            self._source.values_into(values, node, regressors, self._first)
            self._source.codes_of(node.bins, values, self._codes[at])

    def _regressors(self, node: RegressionNode) -> Regressors:
        """Return the numbers where they are; a copy where codes are among them."""
        row = parent_row(node.rows, node.sizes, self._codes) if node.rows else self._first_row
        if all(place in self._number_of for place in node.regressors):
            places = np.array([self._number_of[place] for place in node.regressors], dtype=np.intp)
            return Regressors(row, self._numbers, places)
        copied = np.empty((len(node.regressors), self._count))
        for slope, place in enumerate(node.regressors):
            copied[slope] = self._values.get(place, self._codes[place])
        return Regressors(row, copied, np.arange(len(node.regressors)))

    def _compute(self, node: RuleNode, at: int) -> None:
        found = computed(node, node.reads.columns(self._codes, self._values), self._count)
        self._codes[at] = found.codes
        if found.values is not None:
            self._values[at][:] = found.values

    def _cast(self, node: LotteryNode, at: int) -> None:
        columns = [reads.columns(self._codes, self._values) for reads in node.reads]
        words = self._source.words(node.stream, self._first, self._count)
        self._codes[at] = drawn_by_lot(node, shares_of(node, columns, self._count), words)
        if node.bins is not None:
            within = self._fractions(node.stream + WITHIN)
            self._values[at][:] = placed(node.bins, self._codes[at], within)

    def _fractions(self, stream: str) -> Reals:
        return self._source.fractions(stream, self._first, self._count)


def _time_within(edges: Reals, codes: NDArray[np.integer[Any]], within: Reals) -> Reals:
    """Return a time inside the interval of each code, evenly spread."""
    interval = np.minimum(codes, len(edges) - 2)
    low, high = edges[interval], edges[interval + 1]
    return np.asarray(np.minimum(low + within * (high - low), np.nextafter(high, -np.inf)))
