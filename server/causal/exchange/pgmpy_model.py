"""A model as pgmpy's DiscreteBayesianNetwork (extra `exchange`; written for pgmpy 1.1.2)."""

from typing import Any

from server.causal.exchange.network import Network
from server.causal.exchange.refusals import INSTALL_PGMPY, needed
from server.causal.exchange.world_tables import network_of_world
from server.causal.model import Model


def to_pgmpy(model: Model) -> Any:  # noqa: ANN401 - pgmpy has no types
    """Return the world of a model as pgmpy's DiscreteBayesianNetwork, at the point estimate.

    Its states are the levels, in the order of codes. Of a view under interventions it is the
    network of that view: a node that is set has no parents, and a policy is a table.

    Raises:
        UsageError: pgmpy is not installed, or some nodes are no tables.
    """
    return pgmpy_network(network_of_world(model.world, "pgmpy"))


def pgmpy_network(network: Network) -> Any:  # noqa: ANN401 - pgmpy has no types
    """Return a network of tables as pgmpy's.

    Raises:
        UsageError: pgmpy is not installed.
    """
    models = needed("pgmpy.models", "to make its model", INSTALL_PGMPY)
    found = models.DiscreteBayesianNetwork()
    found.add_nodes_from(network.levels)
    found.add_edges_from(
        (cause, node) for node, parents in network.parents.items() for cause in parents
    )
    found.add_cpds(*(_table(network, node) for node in network.levels))
    found.check_model()
    return found


def _table(network: Network, node: str) -> Any:  # noqa: ANN401 - pgmpy has no types
    """Return P(node | parents), whose columns run over the parents, the last one fastest."""
    factors = needed("pgmpy.factors.discrete", "to make its tables", INSTALL_PGMPY)
    parents = network.parents[node]
    table = network.tables[node]
    return factors.TabularCPD(
        node,
        table.shape[-1],
        table.reshape(-1, table.shape[-1]).T,
        evidence=list(parents),
        evidence_card=list(table.shape[:-1]),
        state_names={name: list(network.levels[name]) for name in (*parents, node)},
    )
