"""What a world is drawn from: one node after another, each with its parents before it.

`worlds/compilation.py` makes these from the mechanisms of a model; `drawing.py` draws them. Streams
of a node: a label for its code or value, "<label>/within" for the place inside a bin,
"<label>/censored" for the interval in which observation ends and "<label>/censored/within" for the
place inside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.study.expression_arrays import Column, Levels
from server.causal.mechanisms.mechanism import Response
from server.causal.sampling.bins import Bins
from server.causal.sampling.tables import Codes, SampledNode

Reals: TypeAlias = NDArray[Any]  # float64, shape (rows,)

CENSORED, WITHIN = "/censored", "/within"


class Function(Protocol):
    """A column that follows from others, row by row: the same rows give the same values."""

    def __call__(self, columns: Mapping[str, Column], rows: int) -> Column:
        """Return the column, shape (rows,), from columns of the same rows."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Reads:
    """The parents of a function: positions by the names that it uses."""

    places: Mapping[str, int]
    labels: Mapping[str, tuple[str, ...]]  # of those that are levels, without MISSING

    def columns(self, codes: Codes, values: Mapping[int, Reals]) -> dict[str, Column]:
        """Return the columns of the parents, as a function reads them."""
        return {
            name: parent_column(codes, values, place, self.labels.get(name))
            for name, place in self.places.items()
        }


@dataclass(frozen=True, slots=True, eq=False)
class TableNode:
    """A node drawn from a table; a number too, if it has bins."""

    table: SampledNode
    bins: Bins | None
    value: float | None  # given by an intervention


@dataclass(frozen=True, slots=True, eq=False)
class RegressionNode:
    """A node whose value is drawn around a linear predictor."""

    stream: str
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
    """A node computed from its parents: by a rule of the study, or by a policy."""

    function: Function
    reads: Reads
    own_labels: tuple[str, ...] | None  # of the node, if it is a level
    missing_code: int | None
    bounds: tuple[float, float] | None
    bins: Bins | None
    policy_of: str | None  # None: a rule, in which rows without a result have code 0 (SPEC 11.5)


@dataclass(frozen=True, slots=True, eq=False)
class LotteryNode:
    """A node drawn from probabilities that functions compute, row by row, for some of its codes."""

    stream: str
    of: str  # the node of the study, for messages
    codes: tuple[int, ...]  # rising
    weights: tuple[Function, ...]  # not negative; taken as shares of their sum
    reads: tuple[Reads, ...]  # one per function
    bins: Bins | None


@dataclass(frozen=True, slots=True, eq=False)
class SurvivalNode:
    """A time to an event, and when observation ends."""

    event: SampledNode  # intervals, then none
    censoring: SampledNode | None  # intervals; None: all are observed to the last edge
    edges: Reals  # shape (intervals + 1,)


WorldNode: TypeAlias = TableNode | RegressionNode | RuleNode | LotteryNode | SurvivalNode


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Some rows of a world; values and ends by the position of the node."""

    codes: Codes  # shape (nodes, rows)
    values: Mapping[int, Reals]  # NaN is missing; of a survival node infinity is no event
    ends: Mapping[int, Reals]  # of survival nodes: when observation ends


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
