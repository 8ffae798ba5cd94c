"""Exact distributions on a network by variable elimination (truncated factorisation).

Nodes that the query does not depend on are left out: those that are not its ancestors once the
arrows into fixed nodes are cut. All parameter draws are contracted together, along one more axis.
Source: Pearl 2009, 3.2.3; order of elimination by opt_einsum (Smith and Gray 2018).
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import opt_einsum
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.graph import CausalGraph
from server.causal.mechanisms.mechanism import Tables

Distributions = NDArray[np.float64]  # shape (draws, size of the query)
Factor: TypeAlias = tuple[Tables, tuple[str, ...]]  # axes: draws, then the named nodes

MOST_CELLS = 2**24  # of one intermediate table, and of all draws of it held at once


def relevant(graph: CausalGraph, query: str, fixed: Mapping[str, int]) -> tuple[str, ...]:
    """Return `query` and its ancestors in the graph without arrows into `fixed`, in order."""
    found: set[str] = set()
    waiting = [query]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(() if node in fixed else graph.parents[node])
    return tuple(node for node in graph.nodes if node in found)


def distribution(
    graph: CausalGraph, tables: Mapping[str, Tables], query: str, fixed: Mapping[str, int]
) -> Distributions:
    """Return P(query | do(fixed)) for every draw.

    `tables[node]` has shape (draws, parents' sizes .., size), with the same number of draws for
    all nodes; `fixed` maps nodes to codes.

    Raises:
        UsageError: the cheapest order that was found needs a table of more than MOST_CELLS.
    """
    factors = [factor(graph, tables, node, fixed) for node in relevant(graph, query, fixed)]
    return contracted(factors, (query,))


def contracted(factors: Sequence[Factor], query: tuple[str, ...]) -> Tables:
    """Return the joint distribution of some nodes of a product of factors, for every draw.

    Shape (draws, sizes of the query ..).

    Raises:
        UsageError: as `distribution`.
    """
    path, largest = elimination_order(factors, query, MOST_CELLS)
    draws = len(factors[0][0])
    step = max(1, MOST_CELLS // max(1, largest))
    parts = [_contract(factors, query, path, slice(at, at + step)) for at in range(0, draws, step)]
    return np.concatenate(parts)


def factor(
    graph: CausalGraph, tables: Mapping[str, Tables], node: str, fixed: Mapping[str, int]
) -> Factor:
    """Return the factor of one node of a query: its mechanism, or certainty where it is fixed."""
    if node not in fixed:
        return tables[node], graph.family(node)
    draws, size = len(tables[node]), tables[node].shape[-1]
    certain = np.zeros((draws, size))
    certain[:, fixed[node]] = 1.0
    return certain, (node,)


def elimination_order(
    factors: Sequence[Factor], query: tuple[str, ...], most: int
) -> tuple[list[tuple[int, ...]], int]:
    """Return the cheap order that was found, and the cells of its largest table (of one draw).

    Raises:
        UsageError: that table has more than `most` cells.
    """
    operands: list[object] = []
    for array, nodes in factors:
        operands += [array[0], list(nodes)]
    path, info = opt_einsum.contract_path(*operands, list(query), optimize="greedy")
    largest = int(info.largest_intermediate)
    if largest > most:
        raise UsageError(
            "network-too-wide",
            f"Expected tables of at most {most} cells on the way to P({', '.join(query)}), found "
            f"one of {largest}.",
            "Simulate with sample(), or leave out nodes that the question does not need.",
        )
    return path, largest


def _contract(
    factors: Sequence[Factor], query: tuple[str, ...], path: list[tuple[int, ...]], draws: slice
) -> Tables:
    operands: list[object] = []
    for array, nodes in factors:
        operands += [array[draws], ["", *nodes]]  # "" is the axis of draws: no node has that name
    found: Tables = opt_einsum.contract(*operands, ["", *query], optimize=path)
    return found
