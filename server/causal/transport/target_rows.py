"""Mechanisms of tables from rows of a target population that a researcher holds.

Counts with a Dirichlet prior of one person a row of the table, spread over the node's levels; draws
are those of the posterior (Gelman et al. 2013, 3.4). These rows are not private: they come from
elsewhere, and nothing of them is added to a release.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.problems import listed, nearest, quote
from protocol.study.study import Study
from protocol.study.variables import Count, Numeric, Survival
from server.causal.mechanisms.mechanism import Mechanism, TableMechanism, apportion
from server.causal.sampling.noise import key_of

PRIOR_PERSONS = 1.0  # per row of the table


def mechanism_of_rows(
    study: Study, mechanism: Mechanism, rows: pd.DataFrame, draws: int
) -> TableMechanism:
    """Return the mechanism of a node as rows of another population have it.

    Raises:
        UsageError: a mechanism that is no table, missing columns, no rows, or values outside of
            the study's domains.
    """
    is_time = isinstance(study.variable(mechanism.node), Survival)
    if not isinstance(mechanism, TableMechanism) or is_time:
        kind = study.mechanism_of(mechanism.node)
        raise UsageError(
            "not-a-table",
            f"Expected a mechanism of tables to count rows for, found {mechanism.node!r}, which is "
            f"{'a time to an event' if is_time else kind}.",
            "Give a release of the target population instead of rows.",
        )
    family = (*mechanism.parents, mechanism.node)
    codes = [codes_of(study, name, rows) for name in family]
    sizes = study.model_sizes(family)
    counts = np.zeros(sizes)
    np.add.at(counts, tuple(codes), 1.0)
    weights = counts + PRIOR_PERSONS / sizes[-1]
    key = np.array([0, key_of(f"{mechanism.node}/target")], dtype=np.uint64)
    gamma = Generator(Philox(key=key)).standard_gamma(weights, size=(draws, *sizes))
    return TableMechanism(
        node=mechanism.node,
        parents=mechanism.parents,
        table=weights / weights.sum(axis=-1, keepdims=True),
        parts=apportion(gamma / gamma.sum(axis=-1, keepdims=True)),
        support=counts.sum(axis=-1),
    )


def codes_of(study: Study, node: str, rows: pd.DataFrame) -> NDArray[np.intp]:
    """Return the codes of a column: numbers by their bins, missing values as MISSING.

    Raises:
        UsageError: no such column, no rows, or a value that is none of the node's.
    """
    if node not in rows:
        raise UsageError(
            "column-missing",
            f"Expected a column {node!r} in the rows, found {listed(map(str, rows))}.",
            f"Add it, or rename {nearest(node, [str(name) for name in rows])}.",
        )
    if not len(rows):
        raise UsageError("no-rows", "Expected rows, found none.", "Give at least one.")
    column = rows[node]
    absent = column.isna().to_numpy()
    variable, labels = study.variable(node), study.model_labels(node)
    if isinstance(variable, Numeric | Count):
        found = _bins(variable, column.to_numpy(dtype=np.float64, na_value=np.nan))
    else:
        texts = column.map(_text).to_numpy(dtype=object)
        found = np.array([labels.index(one) if one in labels else -1 for one in texts])
    missing = variable.missing_code
    if missing is not None and missing < len(labels):
        found = np.where(absent, missing, found)
    _check(node, column, found, labels)
    return found.astype(np.intp)


def _text(value: Any) -> str:  # noqa: ANN401 - whatever a column holds
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _bins(variable: Numeric | Count, values: NDArray[np.float64]) -> NDArray[np.intp]:
    edges = np.array([float(edge) for edge in variable.edges])
    found = np.searchsorted(edges, values, side="right") - 1
    found = np.where(values == edges[-1], len(edges) - 2, found)
    inside = (values >= edges[0]) & (values <= edges[-1])
    return np.where(inside, found, -1)


def _check(
    node: str, column: "pd.Series[Any]", codes: NDArray[np.intp], labels: Sequence[str]
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
