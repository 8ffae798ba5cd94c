"""Rows of a world as people read them: a DataFrame with one typed column per node.

boolean and indicator: int64 0/1 (Int64 with NA where MISSING is declared); categorical:
Categorical with the declared levels; ordinal: ordered Categorical, unless OTHER, which has no
rank, is declared; numeric: float64, NaN for MISSING; count: int64 (Int64 where MISSING is
declared); survival: the time as float64 under the node's name, and NODE_event, int64, 1 if it is
that of the event and 0 if observation ended. Column types follow from the study alone, so that
batches fit together.

A variable with an indicator is missing where the indicator says so, and so is a rule that cannot
be computed from what is left. The model itself holds their values.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
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
from server.causal.sampling.compilation import rule_columns
from server.causal.sampling.world import Reals, Rows, parent_column

Masks: TypeAlias = Mapping[str, NDArray[np.bool_]]  # by node: rows whose value is not shown
_Column: TypeAlias = "pd.api.extensions.ExtensionArray | NDArray[np.generic]"

EVENT = "_event"
UNIT, VISIT = "unit", "visit"


def to_frame(study: Study, rows: Rows, start: int, fixed: Sequence[str] = ()) -> pd.DataFrame:
    """Return rows start, start + 1, .. of a world with all nodes of the study's graph.

    `fixed` are the nodes that an intervention set.
    """
    masks = hidden_rows(study, rows, fixed)
    values = rows.values  # noqa: PD011 - of a world, not of a frame
    shown = np.zeros(rows.codes.shape[1], dtype=np.bool_)
    columns: dict[str, _Column] = {}
    for at, node in enumerate(study.causal_graph.nodes):
        variable, codes = study.variable(node), rows.codes[at]
        if isinstance(variable, Survival):
            columns[node] = np.minimum(values[at], rows.ends[at])
            columns[node + EVENT] = (values[at] <= rows.ends[at]).astype(np.int64)
        else:
            absent = shown if variable.missing_code is None else codes == variable.missing_code
            mask = absent | masks.get(node, shown)
            columns[node] = _column(variable, codes, values.get(at), mask)
    return pd.DataFrame(columns, index=pd.RangeIndex(start, start + rows.codes.shape[1]))


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


def hidden_rows(study: Study, rows: Rows, fixed: Sequence[str] = ()) -> Masks:
    """Return where values are missing in data though the model has them."""
    order = study.causal_graph.nodes
    place = {node: at for at, node in enumerate(order)}
    found: dict[str, NDArray[np.bool_]] = {}
    for node in order:
        name = base_name(node)
        indicator = study.indicators.get(name)
        if indicator is not None:
            found[node] = rows.codes[place[indicator + node.removeprefix(name)]] == 1
        elif name in study.hidden and node not in fixed:
            found[node] = _not_computed(study, node, rows, found)
    return found


def _not_computed(study: Study, node: str, rows: Rows, masks: Masks) -> NDArray[np.bool_]:
    """Return where a rule has no value, given what is hidden of its parents."""
    graph, expression = study.causal_graph, study.mechanism(node).expression
    assert expression is not None  # noqa: S101 - others that are hidden have an indicator
    columns: dict[str, Column] = {}
    for name, parent in rule_columns(graph.parents[node]).items():
        variable = study.variable(parent)
        levels = isinstance(variable, Categorical | Ordinal)
        labels = variable.labels[: variable.missing_code] if levels else None
        column = parent_column(rows.codes, rows.values, graph.nodes.index(parent), labels)
        columns[name] = _without(column, masks[parent]) if parent in masks else column
    found = evaluate(expression, columns, rows.codes.shape[1])
    return found.codes < 0 if isinstance(found, Levels) else np.isnan(found)


def _without(column: Column, mask: NDArray[np.bool_]) -> Column:
    if isinstance(column, Levels):
        return Levels(np.where(mask, -1, column.codes), column.labels)
    return np.where(mask, np.nan, column)


def _column(
    variable: Variable,
    codes: NDArray[np.signedinteger[Any]],
    values: Reals | None,
    mask: NDArray[np.bool_],
) -> _Column:
    match variable:
        case Numeric():
            assert values is not None  # noqa: S101 - numbers have values in every world
            return np.where(mask, np.nan, values)
        case Count():
            assert values is not None  # noqa: S101
            return _whole(np.nan_to_num(values).astype(np.int64), mask, variable)
        case Categorical() | Ordinal():
            return _categories(variable, codes, mask)
    return _whole(codes.astype(np.int64), mask, variable)


def _whole(numbers: NDArray[np.int64], mask: NDArray[np.bool_], variable: Variable) -> _Column:
    return pd.arrays.IntegerArray(numbers, mask) if variable.missing else numbers


def _categories(
    variable: Categorical | Ordinal,
    codes: NDArray[np.signedinteger[Any]],
    mask: NDArray[np.bool_],
) -> "pd.Categorical[str]":
    levels = list(variable.labels[: variable.missing_code])
    ordered = isinstance(variable, Ordinal) and not variable.has_other
    present = np.where(mask, np.int16(-1), codes)
    return pd.Categorical.from_codes(present, categories=pd.Index(levels), ordered=ordered)
