"""How an effect follows from what is measured, if it does, and what prevents it if not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from protocol.graphs.adjustment import minimal_adjustment_sets, shown_set
from protocol.graphs.complete import is_identified
from protocol.graphs.fixing import needed, obstacle
from protocol.graphs.front_door import minimal_front_door_sets
from protocol.graphs.mixed import MixedGraph
from protocol.graphs.trails import Trail, has_collider, written

How: TypeAlias = Literal[
    "no effect", "no confounding", "back-door", "front-door", "primal fixing", "not identified"
]
# What would identify an effect that a fitted model does not have: a model with its nodes in another
# order, or a formula that no such model computes.
Otherwise: TypeAlias = Literal["", "order", "formula"]


@dataclass(frozen=True, slots=True)
class Identification:
    """Whether an effect is identified, and by which sets of nodes.

    A fitted model computes each of these by its mechanisms (`fixing.py`), with one answer; the sets
    say what that amounts to. Of several treated nodes there are none.
    """

    treated: tuple[str, ...]
    outcome: str
    how: How
    sets: tuple[tuple[str, ...], ...] = ()
    path: Trail = ()  # that prevents it
    otherwise: Otherwise = ""

    @property
    def identified(self) -> bool:
        """Return whether a fitted model has the effect."""
        return self.how != "not identified"

    @property
    def text(self) -> str:
        """Return how the effect is identified, or what prevents it, in words."""
        shown = "; or ".join(map(shown_set, self.sets))
        match self.how:
            case "no effect":
                return "no effect: the graph has no path along its arrows"
            case "no confounding":
                return "no unmeasured confounding" + (f": adjusting for {shown}" if shown else "")
            case "back-door":
                return f"back door: adjusting for {shown}"
            case "front-door":
                return f"front door: through {shown}"
            case "primal fixing":
                return (
                    "primal fixing: what shares unmeasured causes with the treatment is not among "
                    "its direct effects"
                )
            case "not identified":
                return f"not identified: {prevented_by(self.path)}"


def prevented_by(path: Trail) -> str:
    """Return the path that prevents an effect from being identified, as one that was found."""
    kind = "path of unmeasured causes" if has_collider(path) else "open path"
    return f"the {kind} {written(path)}"


def identify(graph: MixedGraph, treated: Sequence[str], outcome: str) -> Identification:
    """Return how the effect of setting some nodes on another is identified, in the graph's order.

    Precondition: the outcome is not among the treated.
    """
    nodes = tuple(treated)
    path = obstacle(graph, nodes, [outcome])
    if path is not None:
        otherwise = _otherwise(graph, nodes, outcome)
        return Identification(nodes, outcome, "not identified", path=path, otherwise=otherwise)
    if outcome not in graph.effects_of(nodes):
        return Identification(nodes, outcome, "no effect")
    how, sets = _by_sets(graph, nodes, outcome)
    return Identification(nodes, outcome, how, sets)


def _otherwise(graph: MixedGraph, treated: Sequence[str], outcome: str) -> Otherwise:
    causes = graph.within(graph.causes_of([outcome]))
    if obstacle(causes, treated, [outcome]) is None:
        return "order"
    return "formula" if is_identified(graph, treated, outcome) else ""


def _by_sets(
    graph: MixedGraph, treated: Sequence[str], outcome: str
) -> tuple[How, tuple[tuple[str, ...], ...]]:
    """Return the simplest way to an effect that is identified."""
    part = graph.within(needed(graph, [outcome]))
    nodes = [node for node in treated if node in part.rank]  # others come after the outcome
    if all(part.district(node) == {node} for node in nodes):
        parents = [part.arrows.parents[node] for node in nodes]
        return "no confounding", tuple(parents) if len(nodes) == 1 else ()
    if len(nodes) > 1:
        return "primal fixing", ()
    if sets := minimal_adjustment_sets(part, nodes[0], outcome):
        return "back-door", sets
    if sets := minimal_front_door_sets(part, nodes[0], outcome):
        return "front-door", sets
    return "primal fixing", ()
