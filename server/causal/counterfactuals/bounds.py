"""Bounds on what happens in two worlds at once, whatever couples their noise.

P(other world has the event, factual world has the evidence), where the mechanisms are tables and
noise is independent between nodes. Node by node from the last to the first, the value so far is
averaged over nodes that are the same in both worlds, and taken at its extreme over all couplings
(`transports.py`) of a node that may differ, for every state of what later nodes read:

    V(state) = extreme over pi(. , . | state) of sum pi(v, w) V(state, v, w),
               pi(v, w) = 0 for v != w where the causes are the same in both worlds

With one node that may differ these are the sharp bounds (for a treatment and an outcome those of
Tian and Pearl 2000, given independent noise). With several, couplings may depend on more of the
state here than response functions allow (Balke and Pearl 1994): the bounds hold, and may be wider
than the sharp ones, which are no linear program then.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from server.causal.answers.axes import aligned
from server.causal.counterfactuals.transports import Reals, Side, extreme
from server.causal.worlds.factors import exact_factors
from server.causal.worlds.world import World

Sharpness: TypeAlias = Literal["identified", "sharp", "outer", "envelope"]
Codes: TypeAlias = Mapping[str, Collection[int]]  # by node, the codes that are asked for
Variable: TypeAlias = tuple[str, bool]  # a part's name, and whether it is the other world's

_ROUNDING = 1e-9
_MOST_CELLS = 2**22  # of a state with its draws
_MOST_PROBLEMS = 40_000  # linear programs of more than two levels


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the most of a share, by the estimate and by every draw: shape (1 + draws,)."""

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    sharpness: Sharpness


class _Table(NamedTuple):
    """P(variable | others), axes: draws, the others, the variable."""

    array: Reals
    axes: tuple[Variable, ...]


class _Unit(NamedTuple):
    """One variable, or the two of a node that may differ between the worlds."""

    tables: tuple[_Table, ...]

    @property
    def variables(self) -> tuple[Variable, ...]:
        return tuple(table.axes[-1] for table in self.tables)


class _State(NamedTuple):
    """The value so far, over the variables that later nodes read; axes: draws, then these."""

    array: Reals
    axes: tuple[Variable, ...]


def transported_bounds(
    factual: World, other: World, evidence: Codes, event: Codes, draws: int
) -> Bounds | None:
    """Return the bounds of P(event in the other world | evidence in the factual one).

    None where a mechanism is no table, or where there are too many states. Shares are NaN for
    draws in which nobody has the evidence.
    """
    units = _units(factual, other, evidence, event, draws)
    if units is None:
        return None
    weights = {(name, False): codes for name, codes in evidence.items()}
    asked: dict[Variable, Collection[int]] = dict(weights)
    for name, codes in event.items():
        variable = _variable(factual, other, name)
        asked[variable] = {*codes} & {*asked.get(variable, codes)}
    try:
        sides: list[Reals] = [_value(units, asked, side) for side in ("least", "most")]
        mass = _value(units, weights, "least")
    except _TooWideError:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        lower, upper = (np.where(mass > 0, side / mass, np.nan) for side in sides)
    free = sum(_may_differ(unit) for unit in units)
    sharpness: Sharpness = "outer" if free > 1 else "sharp"
    if np.allclose(lower, upper, rtol=0, atol=_ROUNDING, equal_nan=True):
        sharpness = "identified"
    return Bounds(np.clip(lower, 0, 1), np.clip(upper, 0, 1), sharpness)


def _may_differ(unit: _Unit) -> bool:
    return len({table.axes[:-1] for table in unit.tables}) > 1


class _TooWideError(Exception):
    """There are too many states, or too many linear programs."""


def _variable(factual: World, other: World, name: str) -> Variable:
    """Return the variable of a part of the other world: the factual one where they are the same."""
    shared = other.shared_with(factual)
    return (name, other.place[name] not in shared)


def _units(
    factual: World, other: World, evidence: Codes, event: Codes, draws: int
) -> list[_Unit] | None:
    """Return what the question depends on, causes first; None if that is not all tables."""
    after = other.up_to(list(event))
    shared = after.shared_with(factual)
    moved = [part for at, part in enumerate(after.parts) if at not in shared]
    twins = [part.node for part in moved if part.setting is None and part.table is None]
    kept = [after.parts[at].name for at in shared]
    before = factual.up_to([*evidence, *twins, *kept])
    ours, theirs = exact_factors(before), exact_factors(after)
    if ours is None or theirs is None:
        return None
    names = {part.name for part in moved}
    tables = {
        part.name: _Table(array[: 1 + draws], tuple((axis, False) for axis in axes))
        for part, (array, axes) in zip(before.parts, ours, strict=True)
    }
    found = {(name, False): _Unit((table,)) for name, table in tables.items()}
    for at, (part, (array, axes)) in enumerate(zip(after.parts, theirs, strict=True)):
        if at in shared:
            continue
        table = _Table(array[: 1 + draws], tuple((axis, axis in names) for axis in axes))
        if part.node in twins and part.setting is None:
            found[part.node, False] = _Unit((tables[part.node], table))
        else:
            found[part.name, True] = _Unit((table,))
    return _ordered(list(found.values()))


def _ordered(units: Sequence[_Unit]) -> list[_Unit] | None:
    """Return units in an order in which each comes after what its tables read; None: there is none.

    Two worlds may order nodes differently, where policies read other nodes.
    """
    owner = {variable: at for at, unit in enumerate(units) for variable in unit.variables}
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(len(units)))
    for at, unit in enumerate(units):
        reads = {axis for table in unit.tables for axis in table.axes[:-1]}
        graph.add_edges_from((owner[axis], at) for axis in reads)
    try:
        return [units[at] for at in nx.lexicographical_topological_sort(graph)]
    except nx.NetworkXUnfeasible:
        return None


def _value(units: Sequence[_Unit], asked: Mapping[Variable, Collection[int]], side: Side) -> Reals:
    """Return the extreme of the probability that all variables are as asked, by every draw."""
    draws = units[0].tables[0].array.shape[0]
    state = _State(np.ones(draws), ())
    for unit in reversed(units):
        weighted = _weighted(state, unit, asked)
        if len(unit.tables) == 1:
            state = _averaged(weighted, unit.tables[0])
        else:
            state = _extreme(weighted, unit.tables[0], unit.tables[1], side)
    return state.array


def _weighted(state: _State, unit: _Unit, asked: Mapping[Variable, Collection[int]]) -> _State:
    """Return the value with the unit's variables among its axes, 0 where they are not as asked."""
    axes = tuple(dict.fromkeys((*state.axes, *unit.variables)))
    array = _aligned(state, axes)
    for table in unit.tables:
        variable, size = table.axes[-1], table.array.shape[-1]
        chosen = np.ones(size)
        if variable in asked:
            chosen = np.isin(np.arange(size), list(asked[variable])).astype(np.float64)
        array = array * _aligned(_State(chosen[None], (variable,)), axes)
    return _State(array, axes)


def _averaged(state: _State, table: _Table) -> _State:
    axes = tuple(dict.fromkeys((*state.axes, *table.axes)))
    product = _product([_aligned(state, axes), _aligned(_State(*table), axes)])
    at = 1 + axes.index(table.axes[-1])
    return _State(product.sum(axis=at), axes[: at - 1] + axes[at:])


def _extreme(state: _State, before: _Table, after: _Table, side: Side) -> _State:
    """Return the extreme over couplings, for every state of the others."""
    one, two = before.axes[-1], after.axes[-1]
    others = dict.fromkeys((*state.axes, *before.axes, *after.axes))
    context = tuple(axis for axis in others if axis not in (one, two))
    gains = _aligned(state, (*context, one, two))
    a = _aligned(_State(*before), (*context, one))
    b = _aligned(_State(*after), (*context, two))
    shape = np.broadcast_shapes(a.shape[:-1], b.shape[:-1], gains.shape[:-2])
    levels = a.shape[-1]
    _check_size(int(np.prod(shape)) * levels**2, _MOST_CELLS)
    a, b = (np.broadcast_to(it, (*shape, levels)).reshape(-1, levels) for it in (a, b))
    gains = np.broadcast_to(gains, (*shape, levels, levels)).reshape(-1, levels, levels)
    same = np.broadcast_to(_same(before, after, context, shape), shape).ravel()
    found = np.einsum("pv,pvv->p", a, gains)
    free = np.flatnonzero(~same)
    if levels > 2:
        _check_size(len(free), _MOST_PROBLEMS)
    if len(free):
        found[free] = extreme(a[free], b[free], gains[free], side)
    return _State(found.reshape(shape), context)


def _same(
    before: _Table, after: _Table, context: tuple[Variable, ...], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Return where a node has the same causes in both worlds."""
    found = np.ones((1,) * len(shape), dtype=np.bool_)
    for one, two in zip(before.axes[:-1], after.axes[:-1], strict=True):
        if one != two:
            mine, theirs = (_along(1 + context.index(axis), shape) for axis in (one, two))
            found = found & (mine == theirs)
    return found


def _along(at: int, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the codes of an axis, for broadcasting."""
    return np.arange(shape[at]).reshape([-1 if axis == at else 1 for axis in range(len(shape))])


def _aligned(state: _State, axes: tuple[Variable, ...]) -> Reals:
    return aligned(state.array, state.axes, axes)


def _product(arrays: Sequence[Reals]) -> Reals:
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    _check_size(int(np.prod(shape)), _MOST_CELLS)
    return arrays[0] * arrays[1]


def _check_size(cells: int, most: int) -> None:
    if cells > most:
        raise _TooWideError


def enveloped(seen: Any, would: Any) -> tuple[Any, Any]:  # noqa: ANN401 - numbers or arrays
    """Return the bounds of P(would | seen) by P(seen) and P(would) alone (Frechet)."""
    low = np.maximum(0.0, seen + would - 1) / seen
    return low, np.minimum(seen, would) / seen
