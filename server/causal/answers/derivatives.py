"""Derivatives of a distribution in the tables of its network, by reverse accumulation.

A contraction is a polynomial that is linear in each table, with the entries taken as free. Its
steps are kept on the way forward; on the way back, the derivative for one operand of a step is the
contraction of the others with the derivative of the result. All tables together cost a small
multiple of the distribution itself (Baur and Strassen 1983; Darwiche 2003 for networks).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import opt_einsum
from numpy.typing import NDArray

from protocol.study.graph import CausalGraph
from server.causal.answers.contraction import (
    MOST_CELLS,
    Distributions,
    elimination_order,
    factor,
    relevant,
)
from server.causal.mechanisms.mechanism import Tables

Axes: TypeAlias = tuple[str, ...]  # "" is the axis of draws: no node has that name
Reals = NDArray[Any]  # float64


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """P(query | do(fixed)) of every draw, and what was computed on the way to it.

    `values` and `axes` hold the factors, one a node of `nodes`, then the result of every step;
    a step names the positions of its operands.
    """

    nodes: tuple[str, ...]
    fixed: frozenset[str]
    values: tuple[Reals, ...]
    axes: tuple[Axes, ...]
    steps: tuple[tuple[int, ...], ...]

    @property
    def distribution(self) -> Distributions:
        """Return P(query | do(fixed)), shape (draws, size)."""
        return self.values[-1]

    def pull_back(self, direction: Reals) -> dict[str, Tables]:
        """Return d(direction . distribution) / d table, for every mechanism that it depends on.

        `direction` has shape (draws, size); derivatives have the shape of the tables.
        """
        found: dict[int, Reals] = {len(self.values) - 1: direction}
        for result in reversed(range(len(self.nodes), len(self.values))):
            self._step_back(result, found)
        return {
            node: found[position]
            for position, node in enumerate(self.nodes)
            if node not in self.fixed
        }

    def _step_back(self, result: int, found: dict[int, Reals]) -> None:
        """Add the derivatives of the operands of the step that made `result`."""
        operands = self.steps[result - len(self.nodes)]
        above = found.pop(result)
        for operand in operands:
            others = [position for position in operands if position != operand]
            arrays = [(above, self.axes[result])]
            arrays += [(self.values[other], self.axes[other]) for other in others]
            found[operand] = _contract_to(arrays, self.axes[operand], self.values[operand].shape)


def trace(
    graph: CausalGraph, tables: Mapping[str, Tables], query: str, fixed: Mapping[str, int]
) -> Trace:
    """Return P(query | do(fixed)) of all draws at once, ready to be differentiated.

    Arguments as for `contraction.distribution`; all tables on the way are held, those of all draws
    together within MOST_CELLS each.

    Raises:
        UsageError: the network is too wide.
    """
    nodes = relevant(graph, query, fixed)
    factors = [factor(graph, tables, node, fixed) for node in nodes]
    path, _ = elimination_order(factors, (query,), MOST_CELLS // max(1, len(factors[0][0])))
    values = [array for array, _ in factors]
    axes: list[Axes] = [("", *names) for _, names in factors]
    waiting, steps = list(range(len(factors))), []
    for places in path:
        operands = tuple(waiting[place] for place in places)
        waiting = [at for place, at in enumerate(waiting) if place not in places]
        needed = {"", query}.union(*(axes[at] for at in waiting))
        own = dict.fromkeys(name for at in operands for name in axes[at])
        axes.append(("", query) if not waiting else tuple(name for name in own if name in needed))
        values.append(_contract([(values[at], axes[at]) for at in operands], axes[-1]))
        waiting.append(len(values) - 1)
        steps.append(operands)
    return Trace(nodes, frozenset(fixed), tuple(values), tuple(axes), tuple(steps))


def parent_shares(
    graph: CausalGraph, tables: Mapping[str, Tables], queries: Collection[str]
) -> dict[str, Reals]:
    """Return P(parents = row) for `queries` and their ancestors, shape (draws, parents' sizes ..).

    The derivative of a total probability, which is 1, in an entry of a table is the probability
    of the entry's row, the same for all its codes.

    Raises:
        UsageError: the network is too wide.
    """
    found: dict[str, Reals] = {}
    for node in reversed(graph.nodes):
        if node in queries and node not in found:
            traced = trace(graph, tables, node, {})
            back = traced.pull_back(np.ones_like(traced.distribution))
            found |= {name: each[..., 0] for name, each in back.items()}
    return found


def _contract_to(arrays: list[tuple[Reals, Axes]], axes: Axes, shape: tuple[int, ...]) -> Reals:
    """Return the contraction of `arrays` on `axes`, the same along axes that no array has."""
    held = {name for _, names in arrays for name in names}
    kept = tuple(name for name in axes if name in held)
    found = _contract(arrays, kept)
    lacking = tuple(place for place, name in enumerate(axes) if name not in held)
    return np.broadcast_to(np.expand_dims(found, lacking), shape)


def _contract(arrays: list[tuple[Reals, Axes]], axes: Axes) -> Reals:
    operands: list[object] = []
    for array, names in arrays:
        operands += [array, list(names)]
    found: Reals = opt_einsum.contract(*operands, list(axes))
    return found
