"""All contrasts of a world at once, exact for given tables, and the family tables they imply.

P(outcome | do(treatment = every code)) is one contraction per pair: the treatment's own mechanism
is left out and its axis kept (truncated factorisation; Pearl 2009, 3.2.3). Orders of elimination
are found once per graph and reused for every arm, budget and seed.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import opt_einsum
from numpy.typing import NDArray

from bench.utility.world import Contrast, Marginal
from protocol.study.graph import CausalGraph, Clique

Tables: TypeAlias = NDArray[np.float64]  # shape (draws, parents' sizes .., size)
Path: TypeAlias = tuple[tuple[int, ...], ...]

MOST_CELLS = 2**24  # of the intermediate tables of all draws held at once


def contrast_effects(
    graph: CausalGraph, tables: Mapping[str, Tables], contrasts: Sequence[Contrast]
) -> NDArray[np.float64]:
    """Return every contrast for every draw of the tables, shape (draws, contrasts)."""
    draws = len(next(iter(tables.values())))
    found = np.empty((draws, len(contrasts)))
    for (treatment, outcome), places in _by_pair(contrasts).items():
        worlds = _worlds(graph, tables, treatment, outcome)
        for place in places:
            found[:, place] = _effect(worlds, contrasts[place])
    return found


def family_marginals(graph: CausalGraph, tables: Mapping[str, Tables]) -> list[Marginal]:
    """Return P(family) of every node by the first draw, in the order of nodes."""
    return [_family(graph, tables, node) for node in graph.nodes]


def _effect(worlds: NDArray[np.float64], contrast: Contrast) -> NDArray[np.float64]:
    """Return one contrast; `worlds` is P(outcome | do(code)), shape (draws, codes, size)."""
    scores = np.array(contrast.scores)
    scored = np.isfinite(scores)
    sides = worlds[:, [contrast.treated, contrast.reference]][:, :, scored]
    means = sides @ scores[scored] / sides.sum(axis=-1)
    return np.asarray(means[:, 0] - means[:, 1])


def _by_pair(contrasts: Sequence[Contrast]) -> Mapping[tuple[str, str], list[int]]:
    found: dict[tuple[str, str], list[int]] = {}
    for place, contrast in enumerate(contrasts):
        found.setdefault((contrast.treatment, contrast.outcome), []).append(place)
    return found


def _worlds(
    graph: CausalGraph, tables: Mapping[str, Tables], treatment: str, outcome: str
) -> NDArray[np.float64]:
    """Return P(outcome | do(treatment)), shape (draws, treatment's codes, outcome's size)."""
    nodes = _needed(graph, (outcome,), treatment)
    families = tuple(graph.family(node) for node in nodes if node != treatment)
    arrays = [tables[node] for node in nodes if node != treatment]
    return _contract(families, arrays, (treatment, outcome))


def _family(graph: CausalGraph, tables: Mapping[str, Tables], node: str) -> Marginal:
    family = graph.family(node)
    nodes = _needed(graph, family, None)
    families = tuple(graph.family(name) for name in nodes)
    found = _contract(families, [tables[name][:1] for name in nodes], family)
    return np.asarray(found[0])


def _needed(graph: CausalGraph, query: Iterable[str], cut: str | None) -> tuple[str, ...]:
    """Return `query` and its ancestors in the graph without the arrows into `cut`."""
    found: set[str] = set()
    waiting = list(query)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(() if node == cut else graph.parents[node])
    return tuple(node for node in graph.nodes if node in found)


def _contract(
    families: tuple[Clique, ...], arrays: Sequence[Tables], output: Clique
) -> NDArray[np.float64]:
    shapes = tuple(array.shape[1:] for array in arrays)
    path, largest = _order(families, shapes, output)
    step, draws = max(1, MOST_CELLS // largest), len(arrays[0])
    parts = []
    for start in range(0, draws, step):
        operands: list[object] = []
        for array, family in zip(arrays, families, strict=True):
            operands += [array[start : start + step], ["", *family]]  # "" is the axis of draws
        parts.append(opt_einsum.contract(*operands, ["", *output], optimize=list(path)))
    return np.asarray(np.concatenate(parts), dtype=np.float64)


@lru_cache(maxsize=8192)
def _order(
    families: tuple[Clique, ...], shapes: tuple[tuple[int, ...], ...], output: Clique
) -> tuple[Path, int]:
    operands: list[object] = []
    for family, shape in zip(families, shapes, strict=True):
        operands += [np.broadcast_to(0.0, shape), list(family)]
    path, info = opt_einsum.contract_path(*operands, list(output), optimize="greedy")
    return tuple(map(tuple, path)), int(info.largest_intermediate)
