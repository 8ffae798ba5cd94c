"""A network of tables: levels, parents and P(node | parents) of every node, all known."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from server.causal.exchange.drawing import LEVELS, Drawing, graph_of
from server.causal.exchange.refusals import graph_refusal

MAX_CELLS = 2**22  # of a table

Table = NDArray[np.float64]  # shape (parents' sizes .., size), rows sum to 1


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A Bayesian network over discrete nodes, each of which has an entry in all three.

    Axes of a table follow the parents of its node, then the node itself; codes follow the levels.
    """

    levels: Mapping[str, tuple[str, ...]]
    parents: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, Table]

    @property
    def graph(self) -> "nx.DiGraph[str]":
        """Return the graph; nodes have the attribute `levels`.

        Raises:
            UsageError: the arrows run in a circle.
        """
        drawing = Drawing()
        for node in self.levels:
            drawing.add_node(node)
        for node, parents in self.parents.items():
            for parent in parents:
                drawing.add_arrow(parent, node)
        graph = graph_of(drawing)
        nx.set_node_attributes(graph, dict(self.levels), LEVELS)
        return graph


def even_network(graph: "nx.DiGraph[str]") -> Network:
    """Return a network over a graph whose nodes have levels, all of which are equally likely.

    Raises:
        UsageError: a table would be too large.
    """
    levels = {node: tuple(graph.nodes[node][LEVELS]) for node in graph}
    parents = {node: tuple(graph.predecessors(node)) for node in graph}
    tables = {}
    for node in graph:
        shape = [len(levels[name]) for name in (*parents[node], node)]
        if math.prod(shape) > MAX_CELLS:
            raise graph_refusal(
                f"tables of at most {MAX_CELLS:,} probabilities", f"that of {node}", "Draw less."
            )
        tables[node] = np.full(shape, 1 / shape[-1])
    return Network(levels, parents, tables)
