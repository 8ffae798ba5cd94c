"""Rows that people have, as codes and values of nodes: what `columns.py` writes, read back.

Columns as `Model.sample` has them: levels as texts, booleans as 0 and 1, numbers, and NaN, None or
NA for what is missing.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.problems import listed, nearest, quote
from protocol.study.study import Study
from protocol.study.time import base_name
from protocol.study.variables import Count, Numeric, Survival
from server.causal.sampling.nodes import Rows
from server.causal.sampling.tables import code_type
from server.causal.worlds.columns import EVENT


def read_rows(
    study: Study, frame: pd.DataFrame, nodes: Sequence[str], needed: Collection[str]
) -> Rows:
    """Return the rows of some nodes, at their positions in `nodes`; 0 where they are not needed.

    Of a time to an event, `values` has the time where the event was seen, else NaN, and `ends` the
    end of observation.

    Raises:
        UsageError: no such column, no rows, a value that is none of the node's, or a missing one
            of a variable whose true value the model asks for.
    """
    check_rows(frame)
    codes = np.zeros((len(nodes), len(frame)), dtype=code_type(study.model_sizes(nodes)))
    values: dict[int, NDArray[Any]] = {}
    ends: dict[int, NDArray[Any]] = {}
    for at, node in enumerate(nodes):
        variable = study.variable(node)
        if isinstance(variable, Numeric | Count | Survival):
            values[at] = np.zeros(len(frame))
        if isinstance(variable, Survival):
            ends[at] = np.zeros(len(frame))
        if node not in needed:
            continue
        if isinstance(variable, Survival):
            codes[at], values[at], ends[at] = _times(variable, node, frame)
            continue
        codes[at] = codes_of(study, node, frame)
        if isinstance(variable, Numeric | Count):
            values[at] = _numbers(frame[node])
    return Rows(codes, values, ends)


def read_file(path: Path) -> pd.DataFrame:
    """Return the rows of a CSV or Parquet file.

    Raises:
        UsageError: there is no such file, or it is neither.
    """
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": pd.read_csv,
        ".parquet": pd.read_parquet,
    }
    if path.suffix not in readers:
        raise UsageError(
            "unknown-format",
            f"Expected a name that ends in .csv or .parquet, found {path.name!r}.",
            "Save the rows in one of these formats.",
        )
    try:
        return readers[path.suffix](path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UsageError(
            "rows-not-readable",
            f"Expected rows at {path}, found nothing that can be read.",
            "Check the path, the permissions and the format.",
        ) from error


def check_rows(frame: pd.DataFrame) -> None:
    """Raise UsageError where there are no rows."""
    if not len(frame):
        raise UsageError("no-rows", "Expected rows, found none.", "Give at least one.")


def codes_of(study: Study, node: str, rows: pd.DataFrame) -> NDArray[np.intp]:
    """Return the codes of a column: numbers by their bins, missing values as MISSING.

    Raises:
        UsageError: no such column, no rows, or a value that is none of the node's.
    """
    column = _column(node, rows)
    check_rows(rows)
    absent = column.isna().to_numpy()
    variable, labels = study.variable(node), study.model_labels(node)
    if isinstance(variable, Numeric | Count):
        found = _bins(variable, _numbers(column))
    else:
        texts = column.map(_text).to_numpy(dtype=object)
        found = np.array([labels.index(one) if one in labels else -1 for one in texts])
    missing = variable.missing_code
    if missing is not None and missing < len(labels):
        found = np.where(absent, missing, found)
    elif base_name(node) in study.hidden:
        _check_known(node, absent)
    _check(node, column, found, labels)
    return found.astype(np.intp)


def _column(name: str, rows: pd.DataFrame) -> "pd.Series[Any]":
    if name not in rows:
        raise UsageError(
            "column-missing",
            f"Expected a column {name!r} in the rows, found {listed(map(str, rows))}.",
            f"Add it, or rename {nearest(name, [str(one) for one in rows])}.",
        )
    return rows[name]


def _text(value: Any) -> str:  # noqa: ANN401 - whatever a column holds
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _numbers(column: "pd.Series[Any]") -> NDArray[Any]:
    try:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise UsageError(
            "value-outside-domain",
            f"Expected numbers in the column {str(column.name)!r}, found something else.",
            "Write numbers, and leave what is missing empty.",
        ) from error


def _bins(variable: Numeric | Count, values: NDArray[Any]) -> NDArray[np.intp]:
    edges = np.array([float(edge) for edge in variable.edges])
    found = np.searchsorted(edges, values, side="right") - 1
    found = np.where(values == edges[-1], len(edges) - 2, found)
    inside = (values >= edges[0]) & (values <= edges[-1])
    return np.where(inside, found, -1)


def _times(
    variable: Survival, node: str, frame: pd.DataFrame
) -> tuple[NDArray[np.intp], NDArray[Any], NDArray[Any]]:
    """Return the interval of the event, or none; its time if it was seen; the end of observation.

    What is after the last edge is not told apart: nothing happened up to it.
    """
    times, seen = _numbers(_column(node, frame)), _numbers(_column(node + EVENT, frame))
    wrong = ~(times >= 0) | ~np.isin(seen, (0, 1))
    if wrong.any():
        raise UsageError(
            "value-outside-domain",
            f"Expected times from 0 on in {node!r} and 0 or 1 in {node + EVENT!r}, found something "
            f"else in row {frame.index[int(np.argmax(wrong))]}.",
            "Write 1 where the event was seen, 0 where observation ended.",
        )
    edges = np.array([float(edge) for edge in variable.edges])
    is_event = (seen == 1) & (times <= edges[-1])
    interval = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, len(edges) - 2)
    codes = np.where(is_event, interval, len(edges) - 1)
    return codes, np.where(is_event, times, np.nan), np.minimum(times, edges[-1])


def _check_known(node: str, absent: NDArray[np.bool_]) -> None:
    if absent.any():
        raise UsageError(
            "value-missing",
            f"Expected a known value of {node!r} in every row, found missing ones: the model has "
            "its true value, and these rows do not tell it.",
            "Leave such rows out, or fill them in several ways and compare.",
        )


def _check(
    node: str, column: "pd.Series[Any]", codes: NDArray[np.intp], labels: Collection[str]
) -> None:
    (bad,) = np.nonzero(codes < 0)
    if len(bad):
        value = column.iloc[int(bad[0])]
        raise UsageError(
            "value-outside-domain",
            f"Expected values of the declared domain of {node!r}, found {quote(value)} in row "
            f"{column.index[int(bad[0])]}.",
            f"Write {nearest(str(value), labels)}, or leave such rows out.",
        )
