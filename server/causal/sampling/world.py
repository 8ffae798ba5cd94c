"""Worlds of mixed nodes: codes of every node, and the values of those that are numbers.

Networks of tables alone go through `sampler.py`, which is faster; its codes are the same. Streams
of a node: its own label for its code or value, "<node>/within" for the place inside a bin,
"<node>/censored" for the interval in which observation ends and "<node>/censored/within" for the
place inside it. No value depends on other rows, on chunks, or on nodes that are not its ancestors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from protocol.study.expression import Expression
from protocol.study.expression_arrays import Column, Levels, evaluate
from server.causal.mechanisms.mechanism import Response
from server.causal.sampling.noise import ROWS_PER_BLOCK, Words, fractions
from server.causal.sampling.sampler import Codes, SampledNode, reached_codes

Reals: TypeAlias = NDArray[Any]  # float64, shape (rows,); scipy widens the type

CENSORED, WITHIN = "/censored", "/within"
CHUNK_ROWS = 16_384
_LARGEST_LOG = 50.0  # of a mean count
_LARGEST_STEPPED = 500.0  # mean count up to which the probability of 0 is a normal double
_LEAST_DISPERSION = 1e-9
_HALF_STEP = 2.0**-54  # half of what `fractions` resolves: keeps quantiles finite


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """How codes and values of a numeric node belong together."""

    edges: Reals  # shape (bins + 1,), rising
    parts: Reals  # edges of the parts of all bins, shape (bins * m + 1,)
    cumulative: Reals  # of the shares of each bin's parts, shape (bins, m + 1); from 0 to 1
    logarithmic: bool
    whole: bool  # counts: values are whole numbers, bins hold them from edge to edge

    def codes_of(self, values: Reals) -> NDArray[np.int16]:
        """Return the bin of each value, clamped to the outer bins."""
        last = len(self.edges) - 2
        found = np.searchsorted(self.edges, values, side="right") - 1
        return np.clip(found, 0, last).astype(np.int16)


@dataclass(frozen=True, slots=True, eq=False)
class TableNode:
    """A node drawn from a table; a number too, if it has bins."""

    table: SampledNode
    bins: Bins | None
    value: float | None  # given by an intervention


@dataclass(frozen=True, slots=True, eq=False)
class RegressionNode:
    """A node whose value is drawn around a linear predictor."""

    name: str
    rows: tuple[int, ...]  # positions of the parents by whose codes coefficients differ
    sizes: tuple[int, ...]  # of their domains
    regressors: tuple[int, ...]  # positions of the parents whose values enter
    response: Response
    coefficients: Reals  # shape (combinations, 1 + regressors)
    scale: Reals  # shape (combinations,)
    bounds: tuple[float, float]
    bins: Bins | None  # None: boolean


@dataclass(frozen=True, slots=True, eq=False)
class RuleNode:
    """A node computed from its parents."""

    name: str
    expression: Expression
    parents: Mapping[str, int]  # positions by the names that the expression uses
    labels: Mapping[str, tuple[str, ...]]  # of the parents that are levels
    own_labels: tuple[str, ...] | None  # of the node, if it is a level
    missing_code: int | None  # None: rows without a result, which sites leave out, have code 0
    bounds: tuple[float, float] | None
    bins: Bins | None


@dataclass(frozen=True, slots=True, eq=False)
class SurvivalNode:
    """A time to an event, and when observation ends."""

    event: SampledNode  # intervals, then none
    censoring: SampledNode | None  # intervals; None: all are observed to the last edge
    edges: Reals  # shape (intervals + 1,)


WorldNode: TypeAlias = TableNode | RegressionNode | RuleNode | SurvivalNode


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Some rows of a world; values and ends by the position of the node."""

    codes: Codes  # shape (nodes, rows)
    values: Mapping[int, Reals]  # NaN is missing; of a survival node infinity is no event
    ends: Mapping[int, Reals]  # of survival nodes: when observation ends


def draw_world(nodes: Sequence[WorldNode], seed: int, start: int, rows: int) -> Rows:
    """Return rows start .. start + rows - 1 of the nodes in topological order."""
    first = start - start % ROWS_PER_BLOCK
    stop = start + rows
    pieces = [
        _draw_piece(nodes, seed, at, min(CHUNK_ROWS, stop - at))
        for at in range(first, max(stop, first + 1), CHUNK_ROWS)
    ]
    return _joined(pieces, start - first)


def _joined(pieces: Sequence[Rows], skipped: int) -> Rows:
    def join(columns: Sequence[Reals]) -> Reals:
        return np.asarray(np.concatenate(columns, axis=-1)[..., skipped:])

    return Rows(
        codes=join([piece.codes for piece in pieces]),
        values={at: join([piece.values[at] for piece in pieces]) for at in pieces[0].values},
        ends={at: join([piece.ends[at] for piece in pieces]) for at in pieces[0].ends},
    )


def _draw_piece(nodes: Sequence[WorldNode], seed: int, first: int, count: int) -> Rows:
    drawn = _Drawn(seed, first, np.zeros((len(nodes), count), dtype=np.int16), {}, {})
    for at, node in enumerate(nodes):
        match node:
            case TableNode():
                _draw_table(node, at, drawn)
            case RegressionNode():
                _draw_regression(node, at, drawn)
            case SurvivalNode():
                _draw_survival(node, at, drawn)
            case RuleNode():
                _compute_rule(node, at, drawn)
    return Rows(drawn.codes, drawn.values, drawn.ends)


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """The nodes that are drawn already, and where in the streams their rows begin."""

    seed: int
    first: int
    codes: Codes
    values: dict[int, Reals]
    ends: dict[int, Reals]

    @property
    def count(self) -> int:
        return int(self.codes.shape[1])

    def fractions(self, label: str) -> Reals:
        return fractions(self.seed, label, self.first, self.count)

    def draw(self, node: SampledNode, column: NDArray[np.signedinteger[Any]]) -> None:
        """Set `column` to codes of a node."""
        if node.fixed is not None:
            column[:] = node.fixed
        else:
            words = Words(self.seed, node.name, self.first).take(self.count)
            reached_codes(node, words, self.codes, column)


def _draw_table(node: TableNode, at: int, drawn: _Drawn) -> None:
    drawn.draw(node.table, drawn.codes[at])
    if node.value is not None:
        drawn.values[at] = np.full(drawn.count, node.value)
    elif node.bins is not None:
        within = drawn.fractions(node.table.name + WITHIN)
        drawn.values[at] = placed(node.bins, drawn.codes[at], within)


def _draw_survival(node: SurvivalNode, at: int, drawn: _Drawn) -> None:
    """Draw the event, and the end of observation: in the last interval always at its end."""
    intervals = len(node.edges) - 1
    drawn.draw(node.event, drawn.codes[at])
    event = _time_within(node.edges, drawn.codes[at], drawn.fractions(node.event.name + WITHIN))
    drawn.values[at] = np.where(drawn.codes[at] < intervals, event, np.inf)
    drawn.ends[at] = np.full(drawn.count, node.edges[-1])
    if node.censoring is not None:
        codes = np.zeros(drawn.count, dtype=np.int16)
        drawn.draw(node.censoring, codes)
        end = _time_within(node.edges, codes, drawn.fractions(node.censoring.name + WITHIN))
        drawn.ends[at] = np.where(codes < intervals - 1, end, node.edges[-1])


def _time_within(edges: Reals, codes: NDArray[np.integer], within: Reals) -> Reals:
    """Return a time inside the interval of each code, evenly spread."""
    interval = np.minimum(codes, len(edges) - 2)
    low, high = edges[interval], edges[interval + 1]
    return np.asarray(np.minimum(low + within * (high - low), np.nextafter(high, -np.inf)))


def placed(bins: Bins, codes: NDArray[np.integer], within: Reals) -> Reals:
    """Return values inside their bins, at the quantile `within` of each; NaN beyond the bins."""
    last = len(bins.edges) - 2
    part, inside = _part_of(bins, np.minimum(codes, last).astype(np.intp), within)
    low, high = bins.parts[part], bins.parts[part + 1]
    if bins.whole:
        top = np.where(codes == last, high + 1, high)
        found = np.minimum(np.floor(low + inside * (top - low)), top - 1)
    elif bins.logarithmic:
        found = low * (high / low) ** inside
    else:
        found = low + inside * (high - low)
    if not bins.whole:
        found = np.clip(found, low, np.nextafter(high, -np.inf))
    return np.where(codes <= last, found, np.nan)


def _part_of(bins: Bins, bin_: NDArray[np.intp], within: Reals) -> tuple[NDArray[np.intp], Reals]:
    """Return the part among all parts that a quantile of a bin lies in, and the place inside."""
    parts = bins.cumulative.shape[1] - 1
    if parts == 1:
        return bin_, within
    reached = bins.cumulative[bin_]  # shape (rows, parts + 1)
    part = np.clip((within[:, None] >= reached[:, 1:]).sum(axis=1), 0, parts - 1)
    below = np.take_along_axis(reached, part[:, None], axis=1)[:, 0]
    share = np.take_along_axis(reached, part[:, None] + 1, axis=1)[:, 0] - below
    inside = np.divide(within - below, share, out=np.zeros_like(within), where=share > 0)
    return bin_ * parts + part, inside


def _draw_regression(node: RegressionNode, at: int, drawn: _Drawn) -> None:
    codes, values = drawn.codes, drawn.values
    row = np.zeros(drawn.count, dtype=np.intp)
    for position, size in zip(node.rows, node.sizes, strict=True):
        row = row * size + codes[position]
    predictor = node.coefficients[row, 0]
    for slope, position in enumerate(node.regressors, start=1):
        regressor = values[position] if position in values else codes[position]
        predictor = predictor + node.coefficients[row, slope] * regressor
    uniform = drawn.fractions(node.name)
    low, high = node.bounds
    value = quantile(node.response, predictor, node.scale[row], uniform, high)
    value = np.clip(value, low, high)
    if node.bins is None:
        codes[at] = value
    else:
        values[at], codes[at] = value, node.bins.codes_of(value)


def quantile(
    response: Response, predictor: Reals, scale: Reals, uniform: Reals, most: float
) -> Reals:
    """Return the quantile of a response at `uniform`, in [0, 1), given its linear predictor.

    Counts above `most` need not be told apart.
    """
    if response == "gaussian":
        return predictor + scale * special.ndtri(uniform + _HALF_STEP)
    if response == "logistic":
        return (uniform >= special.expit(-predictor)).astype(np.float64)
    mean = np.exp(np.minimum(predictor, _LARGEST_LOG))
    size = np.inf if response == "poisson" else 1.0 / np.maximum(scale, _LEAST_DISPERSION)
    return counts_at(mean, size * np.ones_like(mean), uniform, int(most))


def counts_at(mean: Reals, size: Reals, uniform: Reals, most: int) -> Reals:
    """Return the least counts k with P(count <= k) > `uniform`, at most `most`.

    Negative binomial of this mean and size, 1 / dispersion; of infinite size Poisson.
    """
    large = mean > _LARGEST_STEPPED
    found = _stepped(np.where(large, 0.0, mean), size, uniform, most)
    if large.any():
        found[large] = _searched(mean[large], size[large], uniform[large], most)
    return found


def _stepped(mean: Reals, size: Reals, uniform: Reals, most: int) -> Reals:
    """Count up from 0: p(k + 1) = p(k) (size + k) / (k + 1) mean / (size + mean).

    The last two factors are (a + k b) / (k + 1), of Poisson with a = mean and b = 0.
    """
    endless = np.isinf(size)
    finite = np.where(endless, 1.0, size)
    probability = np.where(endless, np.exp(-mean), np.exp(-finite * np.log1p(mean / finite)))
    share = mean / (finite + mean)
    a, b = np.where(endless, mean, finite * share), np.where(endless, 0.0, share)
    below, found = probability.copy(), np.zeros_like(mean)
    for count in range(most):
        beyond = uniform >= below
        if not beyond.any():
            break
        found += beyond
        probability = probability * (a + count * b) / (count + 1)
        below = below + probability
    return found


def _searched(mean: Reals, size: Reals, uniform: Reals, most: int) -> Reals:
    """Halve the range in which the count lies."""
    low, high = np.zeros_like(mean), np.full_like(mean, most)
    endless = np.isinf(size)
    finite = np.where(endless, 1.0, size)
    for _ in range(most.bit_length()):
        middle = np.floor((low + high) / 2)
        below = np.where(
            endless,
            special.pdtr(middle, mean),
            special.betainc(finite, middle + 1, finite / (finite + mean)),
        )
        reached = below > uniform
        high = np.where(reached, middle, high)
        low = np.where(reached, low, np.minimum(middle + 1, most))
    return high


def _compute_rule(node: RuleNode, at: int, drawn: _Drawn) -> None:
    codes, values = drawn.codes, drawn.values
    columns = {
        name: parent_column(codes, values, position, node.labels.get(name))
        for name, position in node.parents.items()
    }
    found = evaluate(node.expression, columns, codes.shape[1])
    if isinstance(found, Levels):
        own = found.codes_in(node.own_labels or ())
        codes[at] = np.where(own < 0, node.missing_code or 0, own)
        return
    missing = np.isnan(found)
    number = found if node.bounds is None else np.clip(found, *node.bounds)
    if node.bins is None:
        code = (np.where(missing, 0, number) != 0).astype(np.int16)
    else:
        code = node.bins.codes_of(np.where(missing, node.bins.edges[0], number))
        values[at] = number
    codes[at] = code if node.missing_code is None else np.where(missing, node.missing_code, code)


def parent_column(
    codes: Codes, values: Mapping[int, Reals], position: int, labels: tuple[str, ...] | None
) -> Column:
    """Return the column of a parent as a rule reads it; `labels` of one that is a level."""
    if position in values:
        return values[position]
    own = codes[position].astype(np.int64)
    if labels is None:
        return np.where(own <= 1, own, np.nan).astype(np.float64)
    return Levels(np.where(own < len(labels), own, -1), labels)
