"""Rows of a world as people read them: a DataFrame, or an Arrow table, with typed columns.

boolean and indicator: int64 0/1 (Int64 with NA where MISSING is declared); categorical:
Categorical with the declared levels; ordinal: ordered Categorical, unless OTHER, which has no
rank, is declared; numeric: float64, NaN for MISSING; count: int64 (Int64 where MISSING is
declared); survival: the time as float64 under the node's name, and NODE_event, int64, 1 if it is
that of the event and 0 if observation ended. Arrow has the same: dictionaries for levels, and
nulls. Column types follow from the study alone, so that batches fit together.

A variable with an indicator is missing where the indicator says so, and so is a rule that cannot
be computed from what is left. The model itself holds their values.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.expression_arrays import Column, Levels, evaluate
from protocol.study.study import Study
from protocol.study.time import base_name
from protocol.study.variables import (
    Categorical,
    Count,
    Numeric,
    Ordinal,
    Survival,
    Variable,
)
from server.causal.sampling.nodes import Reals, Rows, parent_column
from server.causal.worlds.compilation import rule_columns

Masks: TypeAlias = Mapping[str, NDArray[np.bool_]]  # by node: rows whose value is not shown
Mask: TypeAlias = "NDArray[np.bool_] | None"  # None: all rows are shown

EVENT = "_event"
UNIT, VISIT = "unit", "visit"


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Rows of a world, and which of its parts are the nodes of the study."""

    study: Study
    rows: Rows
    place: Mapping[str, int]  # of each node among the rows
    fixed: Collection[str] = ()  # nodes that are set
    start: int = 0  # number of the first row

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.rows.codes.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class ShownColumn:
    """One column: numbers, or codes of levels; masked rows are missing."""

    name: str
    numbers: NDArray[Any]
    mask: Mask = None
    levels: tuple[str, ...] | None = None
    ordered: bool = False
    nullable: bool = False  # whether whole numbers may be missing, in any row

    def to_pandas(self) -> "pd.api.extensions.ExtensionArray | NDArray[Any]":
        """Return the column of a DataFrame."""
        if self.levels is not None:
            codes = self.numbers if self.mask is None else np.where(self.mask, -1, self.numbers)
            categories = pd.Index(list(self.levels))
            return pd.Categorical.from_codes(codes, categories=categories, ordered=self.ordered)
        if self.nullable:
            mask = np.zeros(len(self.numbers), np.bool_) if self.mask is None else self.mask
            return pd.arrays.IntegerArray(self.numbers, mask)
        return self.numbers if self.mask is None else np.where(self.mask, np.nan, self.numbers)

    def to_arrow(self) -> pa.Array:
        """Return the column of an Arrow table."""
        if self.levels is None:
            return pa.array(self.numbers, mask=self.mask, from_pandas=True)
        size = np.int8 if len(self.levels) <= np.iinfo(np.int8).max else np.int16
        codes = pa.array(self.numbers.astype(size, copy=False), mask=self.mask)
        return pa.DictionaryArray.from_arrays(codes, list(self.levels), ordered=self.ordered)


def to_frame(shown: Shown) -> pd.DataFrame:
    """Return the rows with all nodes of the study's graph, numbered from `start`."""
    index = pd.RangeIndex(shown.start, shown.start + shown.count)
    return pd.DataFrame({one.name: one.to_pandas() for one in _columns(shown)}, index=index)


def to_table(shown: Shown) -> pa.Table:
    """Return the rows as an Arrow table; pandas reads it back as `to_frame` has it."""
    columns = list(_columns(shown))
    none = pd.DataFrame({one.name: one.to_pandas()[:0] for one in columns})
    schema = pa.Schema.from_pandas(none, preserve_index=False)
    return pa.Table.from_arrays([one.to_arrow() for one in columns], schema=schema)


def _columns(shown: Shown) -> Iterator[ShownColumn]:
    masks, rows = hidden_rows(shown), shown.rows
    values = rows.values  # noqa: PD011 - of a world, not of a frame
    for node in shown.study.causal_graph.nodes:
        at, variable = shown.place[node], shown.study.variable(node)
        if isinstance(variable, Survival):
            yield ShownColumn(node, np.minimum(values[at], rows.ends[at]))
            yield ShownColumn(node + EVENT, (values[at] <= rows.ends[at]).astype(np.int64))
        else:
            absent = None if not variable.missing else rows.codes[at] == variable.missing_code
            mask = _either(absent, masks.get(node))
            yield _column(node, variable, rows.codes[at], values.get(at), mask)


def _either(one: Mask, other: Mask) -> Mask:
    return other if one is None else one if other is None else one | other


def _column(
    node: str, variable: Variable, codes: NDArray[Any], values: Reals | None, mask: Mask
) -> ShownColumn:
    match variable:
        case Numeric():
            assert values is not None  # noqa: S101 - numbers have values in every world
            return ShownColumn(node, values, mask)
        case Count():
            assert values is not None  # noqa: S101
            whole = np.nan_to_num(values).astype(np.int64)
            return ShownColumn(node, whole, mask, nullable=variable.missing)
        case Categorical() | Ordinal():
            levels = variable.labels[: variable.missing_code]
            ordered = isinstance(variable, Ordinal) and not variable.has_other
            return ShownColumn(node, codes, mask, levels=tuple(levels), ordered=ordered)
    return ShownColumn(node, codes.astype(np.int64), mask, nullable=variable.missing)


def to_long(study: Study, frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per unit and visit, from a frame with one row per unit.

    Columns: unit (the row of `frame`), visit, then the variables under their own names.

    Raises:
        UsageError: the study has no visits, or a variable with the name of one of these columns.
    """
    if study.time is None:
        raise UsageError(
            "no-visits",
            "Expected a study with visits, found one without [time].",
            "Use sample(): it has one row per unit.",
        )
    taken = [name for name in (UNIT, VISIT) if name in study.variables]
    if taken:
        raise UsageError(
            "name-taken",
            f"Expected the name {taken[0]!r} for a column of its own, found a variable of it.",
            "Use sample(), whose columns have the visit in their names.",
        )
    visits = [_visit(study, frame, visit) for visit in range(study.time.visits)]
    together = pd.concat(visits, ignore_index=True)
    return together.sort_values([UNIT, VISIT], kind="stable", ignore_index=True)


def _visit(study: Study, frame: pd.DataFrame, visit: int) -> pd.DataFrame:
    static = frozenset(study.time.static if study.time else ())
    columns = {
        name: frame[name if name in static else f"{name}[{visit}]"] for name in study.variables
    }
    return pd.DataFrame({UNIT: frame.index.to_numpy(), VISIT: visit, **columns})


def hidden_rows(shown: Shown) -> Masks:
    """Return where values are missing in data though the model has them."""
    study, rows = shown.study, shown.rows
    found: dict[str, NDArray[np.bool_]] = {}
    for node in study.causal_graph.nodes:
        name = base_name(node)
        indicator = study.indicators.get(name)
        if indicator is not None:
            found[node] = rows.codes[shown.place[indicator + node.removeprefix(name)]] == 1
        elif name in study.hidden and node not in shown.fixed:
            found[node] = _not_computed(shown, node, found)
    return found


def _not_computed(shown: Shown, node: str, masks: Masks) -> NDArray[np.bool_]:
    """Return where a rule has no value, given what is hidden of its parents."""
    study, rows = shown.study, shown.rows
    expression = study.mechanism(node).expression
    assert expression is not None  # noqa: S101 - others that are hidden have an indicator
    columns: dict[str, Column] = {}
    for name, parent in rule_columns(study.mechanism_graph.parents[node]).items():
        variable = study.variable(parent)
        levels = isinstance(variable, Categorical | Ordinal)
        labels = variable.labels[: variable.missing_code] if levels else None
        column = parent_column(rows.codes, rows.values, shown.place[parent], labels)
        columns[name] = _without(column, masks[parent]) if parent in masks else column
    found = evaluate(expression, columns, shown.count)
    return found.codes < 0 if isinstance(found, Levels) else np.isnan(found)


def _without(column: Column, mask: NDArray[np.bool_]) -> Column:
    if isinstance(column, Levels):
        return Levels(np.where(mask, -1, column.codes), column.labels)
    return np.where(mask, np.nan, column)
