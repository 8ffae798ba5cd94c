"""Names of nodes, as people write them.

In a longitudinal study a variable without an index stands for all its visits.
"""

from protocol.errors import UsageError
from protocol.study.problems import nearest
from protocol.study.questions import treated_nodes
from protocol.study.study import Study


def nodes_of(study: Study, name: str) -> tuple[str, ...]:
    """Return the node of that name, or the nodes of a variable at every visit.

    Raises:
        UsageError: the study has no such node.
    """
    found = treated_nodes(study.causal_graph, name)
    if not found:
        raise _unknown(name, (*study.causal_graph.nodes, *study.variables))
    return found


def check_node(study: Study, node: str) -> None:
    """Check that the study's graph has a node of this name.

    Raises:
        UsageError: it has not; of a variable with visits, the remedy names one of them.
    """
    visits = nodes_of(study, node)
    if node not in visits:
        raise _unknown(node, visits)


def _unknown(name: str, known: tuple[str, ...]) -> UsageError:
    return UsageError(
        "unknown-node",
        f"Expected a variable of the study, found {name!r}.",
        f"Write {nearest(name, known)}.",
    )
