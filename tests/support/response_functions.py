"""Discrete models by response functions: every node's noise is which function of its causes it is.

The noise of each node is independent of the others'. From shares of functions follow the tables
that a model is fitted to, and what no table tells: what happens in two worlds at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from protocol.study.study import Study
from server.causal.model import Model
from tests.support.causal_models import model_of, table

Codes = Mapping[str, int]


@dataclass(frozen=True)
class Functions:
    """Per node: each function as its values by the row of the causes, and its share."""

    study: Study
    values: Mapping[str, NDArray[np.intp]]  # shape (functions, rows)
    shares: Mapping[str, NDArray[np.float64]]  # shape (functions,)

    def model(self) -> Model:
        """Return the model of the tables that the functions have."""
        study, tables = self.study, {}
        for node in study.causal_graph.nodes:
            size = len(study.model_labels(node))
            weights, values = self.shares[node][:, None], self.values[node]
            found = [(weights * (values == code)).sum(axis=0) for code in range(size)]
            tables[node] = table(study, node, np.stack(found, axis=-1))
        return model_of(study, tables)

    def probability(
        self, do: Codes, is_asked: Callable[[Codes, Codes], bool], given: Callable[[Codes], bool]
    ) -> float:
        """Return P(asked of both worlds | given in the factual one), by going through all noise."""
        nodes = self.study.causal_graph.nodes
        mass = both = 0.0
        for noise in product(*(range(len(self.shares[node])) for node in nodes)):
            share = prod(self.shares[node][at] for node, at in zip(nodes, noise, strict=True))
            factual = self._world(dict(zip(nodes, noise, strict=True)), {})
            if share > 0 and given(factual):
                mass += share
                other = self._world(dict(zip(nodes, noise, strict=True)), do)
                both += share * is_asked(factual, other)
        return both / mass

    def _world(self, noise: Mapping[str, int], do: Codes) -> Codes:
        found: dict[str, int] = {}
        for node in self.study.causal_graph.nodes:
            row = 0
            for parent in self.study.causal_graph.parents[node]:
                row = row * len(self.study.model_labels(parent)) + found[parent]
            found[node] = do.get(node, int(self.values[node][noise[node], row]))
        return found


def random_functions(study: Study, generator: np.random.Generator, more: int = 4) -> Functions:
    """Return a model in which every node has the constant functions, and some at random."""
    values, shares = {}, {}
    for node in study.causal_graph.nodes:
        rows = prod(study.model_sizes(study.causal_graph.parents[node]))
        size = len(study.model_labels(node))
        constant = np.repeat(np.arange(size)[:, None], rows, axis=1)
        values[node] = np.concatenate([constant, generator.integers(0, size, (more, rows))])
        shares[node] = generator.dirichlet(np.full(size + more, 0.7))
    return Functions(study, values, shares)
