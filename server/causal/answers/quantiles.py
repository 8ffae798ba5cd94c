"""Quantiles of a number in worlds, and of a time to an event.

Exact where the outcome's bins have probabilities and its values inside them a placement: then the
distribution function is known in pieces. Else the quantiles of simulated persons; how far these
are off is seen from BATCHES batches of them, which are drawn anew in the same way in every world.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.study import Study
from protocol.study.variables import Count, Numeric, Survival
from server.causal.answers.answering import exact_distributions, given_masses
from server.causal.answers.asked import Asked
from server.causal.answers.means import WorldMeans
from server.causal.answers.simulation import DRAW_ROWS, POINT_ROWS, Reals, drawn_worlds, seed_of
from server.causal.sampling.bins import Bins, placed
from server.causal.sampling.nodes import Rows
from server.causal.worlds.assignment import Assignment
from server.causal.worlds.compilation import bins_of
from server.causal.worlds.world import World

BATCHES = 20


def check_quantile(study: Study, node: str, quantile: float) -> None:
    """Check that a node has quantiles.

    Raises:
        UsageError: it has no numbers in order, or the quantile is not between 0 and 1.
    """
    if not isinstance(study.variable(node), Numeric | Count | Survival):
        raise UsageError(
            "no-quantiles",
            f"Expected a number or a time to an event, found {node!r}, which is "
            f"{study.variable(node).kind}.",
            "Ask for the probability of its levels: event='...'.",
        )
    if not 0 < quantile < 1:
        raise UsageError(
            "quantile-out-of-range",
            f"Expected a quantile between 0 and 1, found {quantile}.",
            "Write 0.5 for the median.",
        )


def quantiles_of(worlds: Sequence[World], asked: Asked, quantile: float) -> WorldMeans:
    """Return the quantile of a node in worlds of one model, as means are returned.

    Of a time to an event it is infinite, where fewer have the event by the last edge.
    """
    exact = [_exact(world, asked, quantile) for world in worlds]
    values = [found for found in exact if found is not None]
    if len(values) == len(worlds):
        none = np.zeros((len(worlds), len(worlds)))
        return WorldMeans(np.array(values), none, "exact")
    return _simulated(worlds, asked, quantile)


def _exact(world: World, asked: Asked, quantile: float) -> Reals | None:
    node = asked.node
    setting = world.by_name[node].setting
    if isinstance(setting, Assignment) and setting.value is not None:
        return np.full(1 + world.draws, setting.value)
    joint = exact_distributions(world, node, tuple(asked.given))
    if joint is None:
        return None
    is_time = isinstance(world.study.variable(node), Survival)
    masses = given_masses(joint, asked.given.values())
    return np.array(
        [
            _inverted(_bins(world, node, at - 1 if at else None), mass, quantile, is_time=is_time)
            for at, mass in enumerate(masses)
        ]
    )


def _bins(world: World, node: str, draw: int | None) -> Bins:
    """Return the bins of a number, or the intervals of a time, in which it is evenly spread."""
    variable = world.study.variable(node)
    if isinstance(variable, Survival):
        edges = np.array([float(edge) for edge in variable.edges])
        even = np.tile([0.0, 1.0], (len(edges) - 1, 1))
        return Bins(edges, edges, even, logarithmic=False, whole=False)
    found = bins_of(variable, world.placement_of(node), draw)
    assert found is not None  # noqa: S101 - check_quantile
    return found


def _inverted(bins: Bins, masses: Reals, quantile: float, *, is_time: bool) -> float:
    """Return the least value by which a share `quantile` of the known values lies.

    Masses beyond the bins are of a missing number, which counts for nothing, or of no event.
    """
    count = len(bins.edges) - 1
    total = masses.sum() if is_time else masses[:count].sum()
    if total <= 0:
        return float("nan")
    reached = np.cumsum(masses[:count]) / total
    code = int(np.searchsorted(reached, quantile))
    if code == count:
        return float("inf") if is_time else float(bins.edges[-1])
    below = reached[code - 1] if code else 0.0
    within = (quantile - below) / (reached[code] - below)
    return float(placed(bins, np.array([code]), np.array([min(within, 1.0)]))[0])


def _simulated(worlds: Sequence[World], asked: Asked, quantile: float) -> WorldMeans:
    seed, draws = seed_of(worlds[0].study), worlds[0].draws
    needed = [world.up_to([asked.node, *asked.given]) for world in worlds]
    columns = _values(needed, asked, None, (seed, POINT_ROWS))
    values = np.empty((len(worlds), 1 + draws))
    values[:, 0] = _quantiles(columns, quantile)
    for number in range(draws):
        drawn = _values(needed, asked, number, (seed, DRAW_ROWS))
        values[:, 1 + number] = _quantiles(drawn, quantile)
    pieces = np.split(columns, BATCHES, axis=1)
    batches = np.array([_quantiles(piece, quantile) for piece in pieces])
    spread = np.atleast_2d(np.cov(batches.T)) / BATCHES
    return WorldMeans(values, spread, "simulation")


def _quantiles(columns: Reals, quantile: float) -> Reals:
    """Return the quantile of each row of `columns`, NaN left out."""
    return np.array(
        [
            np.quantile(known, quantile, method="inverted_cdf") if known.size else np.nan
            for known in (column[~np.isnan(column)] for column in columns)
        ]
    )


def _values(
    worlds: Sequence[World], asked: Asked, number: int | None, size: tuple[int, int]
) -> Reals:
    """Return the values of all persons in every world, NaN for those who are not asked about."""
    pieces = [
        np.stack([_column(world, asked, rows) for world, rows in zip(worlds, found, strict=True)])
        for found in drawn_worlds(worlds, number, size)
    ]
    return np.concatenate(pieces, axis=1)


def _column(world: World, asked: Asked, rows: Rows) -> NDArray[np.float64]:
    found = rows.values[world.place[asked.node]]
    for node, code in asked.given.items():
        found = np.where(rows.codes[world.place[node]] == code, found, np.nan)
    return found
