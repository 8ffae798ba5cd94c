"""A world that a question is asked of: the mechanisms of a model, and what is set."""

from collections.abc import Mapping
from dataclasses import dataclass

from protocol.study.study import Study
from protocol.study.time import base_name
from server.causal.answers.contraction import relevant
from server.causal.mechanisms.mechanism import Mechanism, Placement
from server.causal.sampling.compilation import compile_world
from server.causal.sampling.world import WorldNode
from server.causal.worlds.intervention import Assignment


@dataclass(frozen=True, slots=True, eq=False)
class QuestionWorld:
    """Mechanisms with interventions."""

    study: Study
    mechanisms: Mapping[str, Mechanism]
    placements: Mapping[str, Placement]
    assignments: Mapping[str, Assignment]
    draws: int

    @property
    def fixed(self) -> dict[str, int]:
        """Return the codes of the nodes that are set."""
        return {node: assignment.code for node, assignment in self.assignments.items()}

    def ancestry(self, node: str) -> tuple[str, ...]:
        """Return the nodes that a node depends on in this world, and itself, in order."""
        return relevant(self.study.causal_graph, node, self.fixed)

    def placement_of(self, node: str) -> Placement | None:
        """Return where the values of a node lie in their bins."""
        return self.placements.get(base_name(node))

    def compiled(self, nodes: tuple[str, ...], draw: int | None) -> tuple[WorldNode, ...]:
        """Return nodes ready to be drawn, with their ancestors among them."""
        chosen = {node: self.mechanisms[node] for node in nodes}
        return compile_world(self.study, chosen, self.placements, self.assignments, draw)
