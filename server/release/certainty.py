"""Effects that a study settles before any data are seen: no path, or nothing between two levels."""

from typing import TYPE_CHECKING

from protocol.study.questions import treated_nodes
from protocol.study.study import Study

if TYPE_CHECKING:
    from server.causal.answers.effects import Effect

_NO_WIDTH = 1e-12  # what rounding may leave of an interval without any


def without_path(study: Study, treatment: str, outcome: str) -> str:
    """Return that the graph rules an effect out, in a sentence; empty if it does not."""
    graph = study.causal_graph
    if any(outcome in graph.descendants(node) for node in treated_nodes(graph, treatment)):
        return ""
    return (
        f"The graph has no path from {treatment} to {outcome}: that there is no effect is "
        "assumed, no data are asked."
    )


def certainty_of(study: Study, effect: "Effect") -> str:
    """Return why an effect follows from the study alone, in a sentence; empty if it does not."""
    if found := without_path(study, effect.treatment, effect.outcome):
        return found
    if effect.high - effect.low > _NO_WIDTH:
        return ""
    return (
        f"The same at all parameters that the release allows: {effect.treated} and "
        f"{effect.reference} are in one bin of {effect.treatment}, and its effects depend on it "
        "by its bin alone, or all that is between them are rules."
    )
