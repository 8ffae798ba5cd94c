"""Fitted linear Gaussian models: their answers, exact for every draw, and rows drawn from them.

Clamping to the public bounds is left out: they lie three standard deviations from the mean.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.utility.answer import counted, intervals
from bench.utility.bundle import GaussianNode
from bench.utility.gaussian import GaussianNetwork, drawn, scaled_contrast
from bench.utility.world import Answer, Codes, Effects, Marginal, Records
from protocol.study.study import Study
from server.causal.mechanisms.mechanism import RegressionMechanism

Slopes = NDArray[np.float64]  # shape (draws, nodes, nodes): of the column in the row

_PERSONS, _SEED = 2**17, 11  # the population that stands for the model's family tables


def linear_answer(
    world: GaussianNetwork,
    study: Study,
    mechanisms: Mapping[str, RegressionMechanism],
    seconds: float,
) -> Answer:
    """Return effects, intervals and binned family tables; coefficients are one set a node."""
    graph = study.causal_graph
    slopes = slopes_of(graph.nodes, mechanisms)
    effects = _effects(world, graph.nodes, slopes)
    codes = line_rows(world, study, mechanisms, _PERSONS, np.random.default_rng(_SEED)).codes
    return Answer(effects[0], *intervals(effects), _shares(study, codes), seconds)


def line_rows(
    world: GaussianNetwork,
    study: Study,
    mechanisms: Mapping[str, RegressionMechanism],
    rows: int,
    generator: Generator,
) -> Records:
    """Return rows of numbers, and their bins, by the point estimates of all mechanisms."""
    nodes = {name: _node(mechanism) for name, mechanism in mechanisms.items()}
    return drawn(study.causal_graph.nodes, nodes, world.edges, rows, generator)


def least_squares(world: GaussianNetwork, study: Study, rows: Records, seconds: float) -> Answer:
    """Return the answer of a researcher who has rows of numbers, and fits a line to every node.

    Raises:
        ValueError: the rows have no numbers.
    """
    if rows.values is None:
        raise ValueError("expected rows with numbers, found codes alone")
    graph, values = study.causal_graph, rows.values
    slopes = np.zeros((1, len(graph.nodes), len(graph.nodes)))
    for place, node in enumerate(graph.nodes):
        causes = [graph.nodes.index(parent) for parent in graph.parents[node]]
        design = np.column_stack([np.ones(len(values)), values[:, causes]])
        found, *_ = np.linalg.lstsq(design, values[:, place], rcond=None)
        slopes[0, place, causes] = found[1:]
    effects = _effects(world, graph.nodes, slopes)[0]
    unknown = np.full(effects.shape, np.nan)
    return Answer(effects, unknown, unknown, _shares(study, rows.codes), seconds)


def slopes_of(nodes: Sequence[str], mechanisms: Mapping[str, RegressionMechanism]) -> Slopes:
    """Return the slopes of all nodes: the point estimate, then every draw."""
    draws = len(mechanisms[nodes[0]].coefficients)
    found = np.zeros((draws, len(nodes), len(nodes)))
    for row, node in enumerate(nodes):
        for place, cause in enumerate(mechanisms[node].regressors, start=1):
            found[:, row, nodes.index(cause)] = mechanisms[node].coefficients[:, place]
    return found


def _effects(world: GaussianNetwork, nodes: Sequence[str], slopes: Slopes) -> Effects:
    """Return all contrasts for every draw, shape (draws, contrasts): (I - B)^-1 along paths."""
    totals = np.linalg.inv(np.eye(len(nodes)) - slopes)
    columns = [
        totals[:, nodes.index(one.outcome), nodes.index(one.treatment)]
        * scaled_contrast(world.edges, one)
        for one in world.contrasts
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def _shares(study: Study, codes: Codes) -> list[Marginal]:
    graph = study.causal_graph
    return [counted(codes, study, graph.family(node)) / len(codes) for node in graph.nodes]


def _node(mechanism: RegressionMechanism) -> GaussianNode:
    """Return the point estimate of a mechanism."""
    intercept, *slopes = mechanism.coefficients[0].tolist()
    variance = float(mechanism.scale[0]) ** 2
    named = dict(zip(mechanism.regressors, slopes, strict=True))
    return GaussianNode(mechanism.node, intercept, named, variance)
