"""Nodes of a world as functions of their parents and of noise, as tools for structural models ask.

Columns hold what people read: levels as texts, booleans as 0 and 1, numbers; a missing level is
"MISSING", anything else that is missing NaN. Noise is one number a row: standard normal for a
Gaussian regression, none for a rule or a policy, elsewhere even in [0, 1). From a table one number
gives both the code and the place inside its bin, as the quantile of the two.

These are the mechanisms that `sampling/` draws from, but noise is the tool's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.problems import nearest
from protocol.study.quantities import MISSING
from protocol.study.study import Study
from protocol.study.variables import Categorical, Ordinal
from server.causal.sampling.bins import Bins, placed
from server.causal.sampling.laws import linear_of
from server.causal.sampling.nodes import RegressionNode, Rows, RuleNode, TableNode
from server.causal.sampling.responses import quantile
from server.causal.sampling.rules import computed
from server.causal.sampling.tables import Codes, SampledNode, parent_row

Column = NDArray[Any]  # shape (rows,)
Reals = NDArray[Any]  # float64, shape (rows,)
Node = TableNode | RegressionNode | RuleNode

_WORDS = 2.0**32  # thresholds of tables are parts of it


@dataclass(frozen=True, slots=True, eq=False)
class Notation:
    """How the codes of a node are written in a column."""

    node: str
    labels: tuple[str, ...]
    is_text: bool
    missing_code: int | None
    bins: Bins | None

    def read(self, column: Column) -> tuple[Codes, Reals | None]:
        """Return the codes in a column, and the values of a node with numbers.

        Raises:
            UsageError: something outside the domain.
        """
        if self.is_text:
            places = pd.Index(self.labels).get_indexer(pd.Index(column, dtype=object))
            return self._checked(places, column, places < 0), None
        values = column.astype(np.float64)
        absent = np.isnan(values)
        known = np.where(absent, 0.0, values)
        strange = absent & (self.missing_code is None)
        if self.bins is None:
            strange |= ~np.isin(known, (0, 1))
        codes = known.astype(np.int16) if self.bins is None else self.bins.codes_of(known)
        codes = np.where(absent, self.missing_code or 0, codes)
        return self._checked(codes, column, strange), None if self.bins is None else values

    def _checked(self, codes: Codes, column: Column, strange: NDArray[np.bool_]) -> Codes:
        if strange.any():
            found = str(column[int(np.argmax(strange))])
            raise UsageError(
                "value-outside-domain",
                f"Expected a value of the declared domain of {self.node!r}, found {found!r}.",
                f"Write {nearest(found, self.labels)}.",
            )
        return codes

    def written(self, codes: Codes, values: Reals | None) -> Column:
        """Return a column of codes, or of the values of a node with numbers."""
        if self.is_text:
            return np.array(self.labels, dtype=object)[codes]
        if values is not None:
            return values
        if self.missing_code is None:
            return codes.astype(np.int64)
        return np.where(codes == self.missing_code, np.nan, codes)


def notation_of(study: Study, node: str, bins: Bins | None) -> Notation:
    """Return how a node of a study is written."""
    variable, labels = study.variable(node), study.model_labels(node)
    is_text = isinstance(variable, Categorical | Ordinal)
    missing_code = variable.missing_code if MISSING in labels else None
    return Notation(node, labels, is_text, missing_code, bins)


@dataclass(frozen=True, slots=True, eq=False)
class Structural:
    """One node: `value` of its parents' columns and its noise."""

    node: Node  # its parents are at the positions of `reads`
    own: Notation
    reads: tuple[Notation, ...]

    def noise(self, generator: Any, rows: int) -> Reals:  # noqa: ANN401 - numpy's new or old one
        """Return noise of so many rows, from `numpy.random` or a generator of it."""
        if isinstance(self.node, RuleNode):
            return np.zeros(rows)
        if self.is_gaussian:
            return np.asarray(generator.normal(size=rows))
        return np.asarray(generator.uniform(size=rows))

    @property
    def is_gaussian(self) -> bool:
        """Return whether it is a Gaussian regression."""
        return isinstance(self.node, RegressionNode) and self.node.response == "gaussian"

    @property
    def is_invertible(self) -> bool:
        """Return whether `noise_of` knows the noise."""
        return self.is_gaussian or isinstance(self.node, RuleNode)

    def value(self, columns: Column, noise: Reals) -> Column:
        """Return the column of the node; `columns`, shape (rows, parents), and noise, (rows,).

        Raises:
            UsageError: a parent's value outside its domain, or a policy without a result.
        """
        codes, values = self._parents(columns)
        match self.node:
            case TableNode():
                return self.own.written(*_of_table(self.node, codes, noise))
            case RuleNode():
                found = computed(self.node, self.node.reads.columns(codes, values), len(noise))
                return self.own.written(found.codes, found.values)
            case RegressionNode():
                number = self._regressed(self.node, codes, values, noise)
                if self.node.bins is None:
                    return self.own.written(number.astype(np.int16), None)
                return number

    def noise_of(self, column: Column, columns: Column) -> Reals:
        """Return the noise that gives `column`, of a node that is invertible.

        At the bounds, to which values are clamped, it is the least that reaches them.
        """
        if not isinstance(self.node, RegressionNode):
            return np.zeros(len(column))
        codes, values = self._parents(columns)
        predictor, scale = linear_of(self.node, Rows(codes, values, {}))
        apart = column.astype(np.float64) - predictor
        return np.divide(apart, scale, out=np.zeros_like(apart), where=scale > 0)

    def _parents(self, columns: Column) -> tuple[Codes, Mapping[int, Reals]]:
        codes = np.zeros((max(1, len(self.reads)), len(columns)), dtype=np.int16)
        values: dict[int, Reals] = {}
        for at, notation in enumerate(self.reads):
            codes[at], numbers = notation.read(columns[:, at])
            if numbers is not None:
                values[at] = numbers
        return codes, values

    def _regressed(
        self, node: RegressionNode, codes: Codes, values: Mapping[int, Reals], noise: Reals
    ) -> Reals:
        predictor, scale = linear_of(node, Rows(codes, values, {}))
        low, high = node.bounds
        if node.response == "gaussian":
            return np.asarray(np.clip(predictor + scale * noise, low, high))
        found = quantile(node.response, predictor, scale, noise, high)
        return np.asarray(np.clip(found, low, high))


def _of_table(node: TableNode, codes: Codes, noise: Reals) -> tuple[Codes, Reals | None]:
    """Return codes, and values inside their bins, at quantiles of a table."""
    if node.table.fixed is not None:
        code, within = np.full(len(noise), node.table.fixed), noise
    else:
        code, within = _quantile(node.table, codes, noise)
    if node.value is not None:
        return code, np.full(len(noise), node.value)
    return code, None if node.bins is None else placed(node.bins, code, within)


def _quantile(table: SampledNode, codes: Codes, noise: Reals) -> tuple[Codes, Reals]:
    """Return the code at a quantile, and how far between its limits the quantile lies."""
    limits = table.thresholds / _WORDS  # shape (size - 1, rows of the table)
    ends = np.concatenate([np.zeros((1, limits.shape[1])), limits, np.ones((1, limits.shape[1]))])
    row = parent_row(table.parents, table.sizes, codes)
    code = (noise >= limits[:, row]).sum(axis=0)
    low, high = ends[code, row], ends[code + 1, row]
    within = np.divide(noise - low, high - low, out=np.zeros_like(noise), where=high > low)
    return code, np.minimum(within, np.nextafter(1.0, 0.0))
