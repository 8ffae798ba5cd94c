"""From what an arm has, tables or synthetic rows, to its answer."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench.utility.effects import Tables, contrast_effects, family_marginals
from bench.utility.world import Answer, Codes, Effects, Marginal, World
from protocol.study.graph import CausalGraph, Clique
from protocol.study.study import Study

BACK_OFF_PERSONS = 1.0  # weight of a node's own distribution in a row of its fitted table
_REACH = 1.959963984540054  # of a normal interval of 95 %


def from_draws(world: World, study: Study, tables: Mapping[str, Tables], seconds: float) -> Answer:
    """Return the answer of a model: the point estimate comes first, then parameter draws.

    Intervals are those of `server/causal/answers/effects.py`: normal, by the draws' standard
    deviation, cut off at -1 and 1.
    """
    graph = study.causal_graph
    found = contrast_effects(graph, tables, world.contrasts)
    return Answer(found[0], *intervals(found), family_marginals(graph, tables), seconds)


def intervals(found: NDArray[np.float64]) -> tuple[Effects, Effects]:
    """Return the ends of 95 % intervals of effects: the estimate comes first, then its draws."""
    reach = _REACH * found[1:].std(axis=0)
    return np.maximum(found[0] - reach, -1.0), np.minimum(found[0] + reach, 1.0)


def from_tables(
    world: World, study: Study, tables: Mapping[str, NDArray[np.float64]], seconds: float
) -> Answer:
    """Return the answer of P(node | parents) alone, without intervals."""
    graph = study.causal_graph
    single = {node: table[None] for node, table in tables.items()}
    (found,) = contrast_effects(graph, single, world.contrasts)
    return Answer(found, *_none(found), family_marginals(graph, single), seconds)


def from_rows(world: World, study: Study, codes: Codes, seconds: float) -> Answer:
    """Return the answer of a researcher who has rows, and fits every P(node | parents) to them.

    Family tables are the rows' own.
    """
    tables = {
        node: counted(codes, study, study.causal_graph.family(node)).astype(np.float64)
        for node in study.causal_graph.nodes
    }
    answer = from_tables(
        world, study, {node: conditional(table) for node, table in tables.items()}, seconds
    )
    marginals = [table / max(len(codes), 1) for table in tables.values()]
    return Answer(answer.effects, answer.low, answer.high, marginals, seconds)


def conditional(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return P(node | parents) of a non-negative table whose last axis is the node.

    Every row is drawn to the node's own distribution with the weight of BACK_OFF_PERSONS, so
    that empty rows are defined.
    """
    own = counts.reshape(-1, counts.shape[-1]).sum(axis=0) + 1e-9
    pulled = counts + BACK_OFF_PERSONS * own / own.sum()
    return np.asarray(pulled / pulled.sum(axis=-1, keepdims=True))


def counted(codes: Codes, study: Study, clique: Clique) -> NDArray[np.int64]:
    """Return the contingency table of a clique, axes in its order."""
    graph: CausalGraph = study.causal_graph
    shape = study.sizes(clique)
    columns = [codes[:, graph.nodes.index(name)] for name in clique]
    flat = np.ravel_multi_index(columns, shape) if clique else np.zeros(len(codes), np.intp)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.int64)


def half_l1(found: Marginal, truth: Marginal) -> float:
    """Return the total variation distance of two tables, each first scaled to sum to 1."""
    return 0.5 * float(np.abs(found / found.sum() - truth / truth.sum()).sum())


def _none(like: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.full(like.shape, np.nan), np.full(like.shape, np.nan)
