"""One honest run, taken apart: an instance of every state and of every message."""

from dataclasses import dataclass

from protocol.secagg import site
from protocol.secagg.coordinator import CoordinatorState, Event, StepClosed
from protocol.secagg.messages import CoordinatorMessage, Opened, SiteMessage
from protocol.secagg.site import AwaitingContribution, Contribution, SiteInput, SiteState
from tests.support.secagg_network import STEPS, Consortium, at_step, request_for


@dataclass(frozen=True, slots=True)
class Record:
    """What passed through site 0 and the coordinator; dictionaries by type.

    Attributes:
        fresh: the coordinator's states with no answer of the step in.
        full: the same with every answer in, and the complete state.
    """

    site_states: dict[type[SiteState], SiteState]
    site_inputs: dict[type[SiteInput], SiteInput]
    fresh: dict[type[CoordinatorState], CoordinatorState]
    full: dict[type[CoordinatorState], CoordinatorState]
    events: dict[type[Event], Event]

    @property
    def requests(self) -> list[CoordinatorMessage]:
        return [m for m in self.site_inputs.values() if not isinstance(m, Contribution)]

    @property
    def answers(self) -> list[SiteMessage]:
        return [m for m in self.events.values() if not isinstance(m, StepClosed | Opened)]


def record(world: Consortium, position: int = 0) -> Record:
    """Return the record of an honest run, seen from one site."""
    first = world.invited(position)
    taken = Record({type(first): first}, {}, {}, {}, {StepClosed: StepClosed()})
    network = at_step(world, 0)
    state: SiteState = first
    for step in STEPS:
        taken.fresh[type(network.state)] = network.state
        state = _follow(taken, state, world, request_for(network, position))
        network.play(step)
        taken.full[type(network.state)] = network.state
        network.take(StepClosed())
    taken.fresh[type(network.state)] = taken.full[type(network.state)] = network.state
    return taken


def _follow(
    taken: Record, state: SiteState, world: Consortium, request: CoordinatorMessage
) -> SiteState:
    inputs: list[SiteInput] = [request]
    while inputs:
        message = inputs.pop()
        taken.site_inputs[type(message)] = message
        state, outbox = site.advance(state, message)
        taken.site_states[type(state)] = state
        taken.events.update({type(answer): answer for answer in outbox})
        if isinstance(state, AwaitingContribution):
            inputs.append(Contribution(world.vector(state.standing.site)))
    return state
