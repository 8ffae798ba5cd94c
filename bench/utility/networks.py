"""Discrete networks with known parameters as worlds.

Every variable is declared ordinal, in the order in which the file lists its levels, so that it
has a mean: for some (the direction of a wind) that order means nothing, but all arms are scored
on the same numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bench.utility.bundle import DiscreteNode, Table, discrete_nodes
from bench.utility.effects import contrast_effects, family_marginals
from bench.utility.questions import contrasts_of
from bench.utility.studies import study_of, texts
from bench.utility.world import Codes, Contrast, Effects, Marginal, Records, Sites
from protocol.study.study import Study

DISCRETE = ("asia", "sachs", "alarm", "hailfinder")


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A world whose truth is computed from its tables."""

    name: str
    body: str  # of the study document: variables and graph
    tables: Mapping[str, Table]  # axes in the order of the study's causal graph
    contrasts: tuple[Contrast, ...]
    truth: Effects
    marginals: Sequence[Marginal]

    def study(self, epsilon: float, sites: Sites) -> Study:
        """Return the study with this budget and cohort."""
        return study_of(self.name, self.body, epsilon, sites)

    def records(self, rows: int, seed: int) -> Records:
        """Return codes of `rows` persons."""
        graph = study_of(self.name, self.body).causal_graph
        generator = np.random.default_rng([seed, rows])
        codes: Codes = np.zeros((rows, len(graph.nodes)), dtype=np.int64)
        for position, node in enumerate(graph.nodes):
            at = tuple(codes[:, graph.nodes.index(parent)] for parent in graph.parents[node])
            limits = np.cumsum(self.tables[node], axis=-1)[..., :-1][at]
            codes[:, position] = (generator.random((rows, 1)) >= limits).sum(axis=-1)
        return Records(codes)


@lru_cache
def network(name: str) -> Network:
    """Return one of DISCRETE."""
    nodes = discrete_nodes(name)
    edges = texts(f"{cause} -> {node.name}" for node in nodes for cause in node.parents)
    variables = "".join(
        f'[variables."{node.name}"]\nkind = "ordinal"\nlevels = {texts(node.levels)}\n'
        for node in nodes
    )
    body = f"graph = {{ edges = {edges} }}\n{variables}"
    study = study_of(name, body)
    return with_truth(name, body, {node.name: _table(study, node) for node in nodes})


def with_truth(name: str, body: str, tables: Mapping[str, Table]) -> Network:
    """Return the world of tables whose axes follow the study's causal graph."""
    study = study_of(name, body)
    graph = study.causal_graph
    single = {node: table[None] for node, table in tables.items()}
    marginals = family_marginals(graph, single)
    shares = {
        node: table.reshape(-1, table.shape[-1]).sum(axis=0)
        for node, table in zip(graph.nodes, marginals, strict=True)
    }
    contrasts = contrasts_of(study, shares)
    (truth,) = contrast_effects(graph, single, contrasts)
    return Network(name, body, tables, contrasts, truth, marginals)


def _table(study: Study, node: DiscreteNode) -> Table:
    """Return the node's table with its parents in the order of the study's causal graph."""
    order = [node.parents.index(cause) for cause in study.causal_graph.parents[node.name]]
    return node.table.transpose([*order, len(order)])
