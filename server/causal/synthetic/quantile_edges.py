"""Edges at the quantiles of a fitted model: bins for a second study, each as full as the others.

Quantiles are those of rows drawn from the model, at all visits together. Where the first study
measured no `detail`, the model spreads values evenly inside its bins, and so do quantiles. What
comes out follows from a release, which is private already: it costs nothing and may be published.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import floor, log10
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.time import base_name
from protocol.study.variables import Count, Numeric
from server.causal.model import Model

Reals: TypeAlias = NDArray[Any]  # float64

ROWS, SEED = 100_000, 1
_NARROWEST = 1e-6  # of an edge: nearer quantiles coincide
_SLACK = 5  # an edge is rounded by at most a tenth of the narrower of its bins


@dataclass(frozen=True, slots=True)
class QuantileEdges:
    """Edges of a variable, strictly rising; `merged` bins fewer than were asked for."""

    variable: str
    edges: tuple[Decimal, ...]
    merged: int

    @property
    def bins(self) -> int:
        """How many bins they make."""
        return len(self.edges) - 1


def edges_of(model: Model, name: str, bins: int) -> QuantileEdges:
    """Return edges that part a numeric variable or a count into bins of equal shares.

    The outer edges stay as they are. Edges of a count are whole numbers.

    Raises:
        UsageError: the model has no such variable, fewer than 2 bins are asked for, or all
            quantiles coincide.
    """
    variable = model.study.variables.get(name)
    if not isinstance(variable, Numeric | Count):
        raise UsageError(
            "not-numeric",
            f"Expected a numeric variable or a count of study {model.study.name!r}, found "
            f"{name!r}.",
            "Levels of other variables have no quantiles; `study check` lists all kinds.",
        )
    if bins < 2:
        raise UsageError(
            "too-few-bins", f"Expected 2 bins or more for {name!r}, found {bins}.", "Ask for 8."
        )
    outer = (variable.edges[0], variable.edges[-1])
    inner = quantiles(_values(model, name), bins, whole=isinstance(variable, Count))
    edges = rounded(distinct(inner, outer), outer)
    if len(edges) < 3:
        raise UsageError(
            "quantiles-coincide",
            f"Expected values of {name!r} that quantiles can part, found nearly all in one place.",
            "Keep its edges as they are.",
        )
    return QuantileEdges(name, edges, bins + 1 - len(edges))


def quantiles(values: Reals, bins: int, *, whole: bool) -> Reals:
    """Return the bins - 1 inner quantiles of values; of whole numbers the next one above."""
    shares = np.arange(1, bins) / bins
    found: Reals = np.quantile(values, shares, method="inverted_cdf")
    return np.rint(found) + 1 if whole else found


def distinct(inner: Reals, outer: tuple[Decimal, Decimal]) -> list[float]:
    """Return the outer edges and those quantiles between them that can be told apart."""
    first, last = (float(edge) for edge in outer)
    kept = [first]
    for edge in map(float, inner):
        if _apart(kept[-1], edge, first, last) and _apart(edge, last, first, last):
            kept.append(edge)
    return [*kept, last]


def rounded(edges: Sequence[float], outer: tuple[Decimal, Decimal]) -> tuple[Decimal, ...]:
    """Return strictly rising edges with as few digits as their distances allow."""
    inner = []
    for below, edge, above in zip(edges, edges[1:], edges[2:], strict=False):
        gap = min(edge - below, above - edge)
        step = Decimal(1).scaleb(floor(log10(gap / _SLACK)))
        inner.append(Decimal(edge).quantize(step) + 0)
    return (outer[0], *inner, outer[1])


def _apart(low: float, high: float, first: float, last: float) -> bool:
    magnitude = max(abs(low), abs(high), _NARROWEST * (last - first))
    return high - low > _NARROWEST * magnitude


def _values(model: Model, name: str) -> Reals:
    nodes = [node for node in model.study.causal_graph.nodes if base_name(node) == name]
    frame = model.sample(ROWS, SEED)
    values = np.concatenate([frame[node].to_numpy(dtype=float, na_value=np.nan) for node in nodes])
    return np.asarray(values[~np.isnan(values)])
