"""A linear Gaussian network as a world of numeric variables on public edges.

The truth is analytic: what setting the treatment to the midpoints of two bins does to the
outcome's mean, in units of the distance between the outcome's outer midpoints. Arms that see bins
answer for bins, so that their error includes what binning costs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.utility.answer import counted
from bench.utility.bundle import GaussianNode, gaussian_nodes
from bench.utility.questions import contrasts_of
from bench.utility.studies import study_of, texts
from bench.utility.world import Codes, Contrast, Effects, Marginal, Records, Sites, Values
from protocol.study.study import Study

GAUSSIAN = ("ecoli70",)
BINNED = ("ecoli70-binned",)

_EDGES = (-3.0, -1.8, -0.6, 0.6, 1.8, 3.0)  # in standard deviations around the mean
_PERSONS, _SEED = 2**19, 7  # the population that stands for the truth of binned family tables


@dataclass(frozen=True, slots=True, eq=False)
class GaussianNetwork:
    """A world of numbers, which arms that need tables see in bins."""

    name: str
    body: str  # of the study document
    nodes: Mapping[str, GaussianNode]
    edges: Mapping[str, NDArray[np.float64]]  # of every variable's bins
    contrasts: tuple[Contrast, ...]
    truth: Effects
    marginals: Sequence[Marginal]

    def study(self, epsilon: float, sites: Sites) -> Study:
        """Return the study with this budget and cohort."""
        return study_of(self.name, self.body, epsilon, sites)

    def records(self, rows: int, seed: int) -> Records:
        """Return codes and numbers of `rows` persons."""
        order = study_of(self.name, self.body).causal_graph.nodes
        return drawn(order, self.nodes, self.edges, rows, np.random.default_rng([seed, rows]))


@lru_cache
def gaussian_network(name: str) -> GaussianNetwork:
    """Return one of GAUSSIAN or BINNED: the same network, fitted by lines or by tables."""
    full_name, (name, mechanism) = name, _named(name)
    nodes = {node.name: node for node in gaussian_nodes(name)}
    moments = implied(nodes)
    edges = {node: _edges(*moment) for node, moment in moments.items()}
    body = _body(nodes, edges, mechanism)
    study = study_of(full_name, body)
    graph = study.causal_graph
    codes = drawn(graph.nodes, nodes, edges, _PERSONS, np.random.default_rng(_SEED)).codes
    marginals = [counted(codes, study, graph.family(node)) / _PERSONS for node in graph.nodes]
    shares = {
        node: table.reshape(-1, table.shape[-1]).sum(axis=0)
        for node, table in zip(graph.nodes, marginals, strict=True)
    }
    contrasts = contrasts_of(study, shares)
    totals = total_effects(nodes)
    truth = np.array(
        [totals[one.treatment, one.outcome] * scaled_contrast(edges, one) for one in contrasts]
    )
    return GaussianNetwork(full_name, body, nodes, edges, contrasts, truth, marginals)


def _named(name: str) -> tuple[str, str]:
    """Return the network's own name, and the mechanism of its nodes."""
    own = name.removesuffix("-binned")
    return own, "gaussian" if own == name else "binned"


def drawn(
    order: Sequence[str],
    nodes: Mapping[str, GaussianNode],
    edges: Mapping[str, NDArray[np.float64]],
    rows: int,
    generator: np.random.Generator,
) -> Records:
    """Return persons with columns in `order`, which is topological; bins take clamped numbers."""
    values: Values = np.empty((rows, len(order)))
    codes: Codes = np.empty((rows, len(order)), dtype=np.int64)
    for place, name in enumerate(order):
        node = nodes[name]
        values[:, place] = node.intercept
        values[:, place] += np.sqrt(node.variance) * generator.standard_normal(rows)
        for cause, slope in node.slopes.items():
            values[:, place] += slope * values[:, order.index(cause)]
        codes[:, place] = np.searchsorted(edges[name][1:-1], values[:, place], side="right")
    return Records(codes, values)


def total_effects(nodes: Mapping[str, GaussianNode]) -> Mapping[tuple[str, str], float]:
    """Return d E[outcome | do(treatment = x)] / dx for all pairs: (I - B)^-1."""
    inverse = _inverse(nodes)
    return {
        (cause, effect): float(inverse[row, column])
        for row, effect in enumerate(nodes)
        for column, cause in enumerate(nodes)
    }


def implied(nodes: Mapping[str, GaussianNode]) -> Mapping[str, tuple[float, float]]:
    """Return the mean and standard deviation of every node."""
    inverse = _inverse(nodes)
    means = inverse @ np.array([node.intercept for node in nodes.values()])
    variances = inverse**2 @ np.array([node.variance for node in nodes.values()])
    return {
        name: (float(mean), float(np.sqrt(variance)))
        for name, mean, variance in zip(nodes, means, variances, strict=True)
    }


def _inverse(nodes: Mapping[str, GaussianNode]) -> NDArray[np.float64]:
    slopes = np.array([[node.slopes.get(name, 0.0) for name in nodes] for node in nodes.values()])
    return np.asarray(np.linalg.inv(np.eye(len(nodes)) - slopes))


def _edges(mean: float, deviation: float) -> NDArray[np.float64]:
    return np.round(mean + deviation * np.array(_EDGES), 3)


def _body(
    nodes: Mapping[str, GaussianNode], edges: Mapping[str, NDArray[np.float64]], mechanism: str
) -> str:
    arrows = texts(f"{cause} -> {node.name}" for node in nodes.values() for cause in node.slopes)
    kinds = ", ".join(f'"{name}" = "{mechanism}"' for name in nodes)
    variables = "".join(
        f'[variables."{name}"]\nkind = "numeric"\nedges = {[float(edge) for edge in edges[name]]}\n'
        for name in nodes
    )
    return f"graph = {{ edges = {arrows} }}\nmechanisms = {{ {kinds} }}\n{variables}"


def scaled_contrast(edges: Mapping[str, NDArray[np.float64]], contrast: Contrast) -> float:
    """Return how far a contrast moves its treatment, over the scale of its outcome.

    From midpoint to midpoint of the treatment's bins, in units of the distance between the
    outcome's outer midpoints: times d outcome / d treatment, it is the effect.
    """
    treatment, outcome = (
        (edges[node][1:] + edges[node][:-1]) / 2 for node in (contrast.treatment, contrast.outcome)
    )
    moved = treatment[contrast.treated] - treatment[contrast.reference]
    return float(moved / (outcome[-1] - outcome[0]))
