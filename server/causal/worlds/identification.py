"""What a world may be asked, where the study draws causes that nobody measures.

Mechanisms are P(node | what it reads); that a world made of them has the right outcomes is for
`protocol/graphs/` to say. Without unmeasured causes it always has.
"""

from collections.abc import Collection

from protocol.errors import UsageError
from protocol.graphs.fixing import obstacle
from protocol.graphs.identification import Identification, identify, prevented_by
from protocol.graphs.trails import written
from protocol.study.problems import listed
from protocol.study.study import Study
from server.causal.worlds.naming import check_node, nodes_of
from server.causal.worlds.settings import reads_of
from server.causal.worlds.world import World


def identify_effect(study: Study, treatment: str, outcome: str) -> Identification:
    """Return how the effect of setting one variable on another follows from what is measured.

    With the back-door and front-door sets of the graph; or the path that prevents it.

    Raises:
        UsageError: an unknown node, or the treatment as its own outcome.
    """
    check_node(study, outcome)
    nodes = nodes_of(study, treatment)
    if outcome in nodes:
        raise UsageError(
            "treatment-is-outcome",
            f"Expected two different variables, found {outcome!r} twice.",
            "Choose another outcome.",
        )
    return identify(study.mixed_graph, nodes, outcome)


def check_identified(world: World, outcomes: Collection[str]) -> None:
    """Check that unmeasured causes leave some nodes of a world as data say they are.

    Raises:
        UsageError: they do not, with the path that prevents it.
    """
    graph = world.study.mixed_graph
    if not graph.pairs:
        return
    path = obstacle(graph, world.treated, {*outcomes, *_read(world)})
    if path is not None:
        raise UsageError(
            "not-identified",
            f"Expected a question that the graph identifies, found {prevented_by(path)} between "
            f"what is set, {listed(world.treated)}, and what is asked of, "
            f"{listed(sorted(outcomes))}.",
            "Ask of other nodes, set others, or measure a cause on that path.",
        )


def check_unconfounded(study: Study, what: str, remedy: str) -> None:
    """Check that a study draws no causes that nobody measures.

    Raises:
        UsageError: it does; `what` says for what all are needed.
    """
    for pair in study.mixed_graph.pairs:
        raise UsageError(
            "unmeasured-causes",
            f"Expected a graph without unmeasured causes for {what}, found "
            f"{written(study.mixed_graph.pairs[pair])}.",
            remedy,
        )


def _read(world: World) -> set[str]:
    """Return the nodes that policies of a world read."""
    settings = [part.setting for part in world.parts if part.setting is not None]
    return {node for setting in settings for node in reads_of(setting)}


def graph_sentence(world: World, treated: Collection[str], outcome: str) -> str:
    """Return what an effect rests on in the graph, as a sentence."""
    order = [node for node in world.study.mixed_graph.nodes if node in treated]
    found = identify(world.study.mixed_graph, order, outcome)
    return f"The graph, by which there is {_SAID.get(found.how, '')}{found.text}."


_SAID = {"back-door": "a ", "front-door": "a ", "primal fixing": "a way by "}
