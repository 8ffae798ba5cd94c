"""A linear Gaussian model of ten nodes, each with up to three of those before it as causes."""

from types import MappingProxyType

import numpy as np

from protocol.study.document import parse_study
from protocol.study.study import Study
from server.causal.files.model_file import Provenance
from server.causal.mechanisms.mechanism import RegressionMechanism
from server.causal.model import Model

NODES = 10
_CAUSES = 3
_HEAD = """
format = "concause-study/1"
name = "linear"
title = "Ten linear Gaussian variables"
author = "The benchmark"
expires = 2099-12-31
trust = { aggregation = "masking" }
budget = { rho = 0.5 }
cohort = { n_min = 3, tolerated_colluders = 0, threshold = 2 }
"""


def linear_gaussian_model() -> Model:
    """Return the model; its bounds are so wide that no value meets them."""
    study = _study()
    generator = np.random.default_rng(1)
    mechanisms = {node: _mechanism(study, node, generator) for node in study.causal_graph.nodes}
    return Model(study, MappingProxyType(mechanisms), Provenance(study.hash, study.hash, 3))


def _study() -> Study:
    names = [f"x{at}" for at in range(NODES)]
    edges = [
        f"{names[cause]} -> {names[at]}"
        for at in range(NODES)
        for cause in range(max(0, at - _CAUSES), at)
    ]
    variables = [f'{name} = {{ kind = "numeric", edges = [-1000, 0, 1000] }}' for name in names]
    laws = [f'{name} = "gaussian"' for name in names]
    head = [_HEAD, f"graph = {{ edges = {edges} }}", "[variables]", *variables]
    return parse_study("\n".join([*head, "[mechanisms]", *laws]))


def _mechanism(study: Study, node: str, generator: np.random.Generator) -> RegressionMechanism:
    parents = study.causal_graph.parents[node]
    coefficients = np.concatenate([[0.0], generator.normal(0.0, 0.4, len(parents))])
    return RegressionMechanism(
        node=node,
        parents=parents,
        rows=(),
        regressors=parents,
        response="gaussian",
        coefficients=coefficients[None],
        scale=np.ones(1),
        bounds=(-1000.0, 1000.0),
        support=np.array(100.0),
    )
