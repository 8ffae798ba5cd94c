"""Rounds of either kind: by masking (`coordinator`, `site`) or with aggregators (`split_...`).

What drives a round, and what replays one, need not know which it is.
"""

from collections.abc import Mapping
from typing import TypeAlias

from protocol.identifiers import SiteId
from protocol.secagg import coordinator, site, split_coordinator, split_site
from protocol.secagg.coordinator_states import CoordinatorState, Event
from protocol.secagg.descriptor import Aggregation, SignedDescriptor
from protocol.secagg.messages import CoordinatorMessage, SiteMessage
from protocol.secagg.roster import Roster
from protocol.secagg.site_states import AwaitingInvitation, SiteInput, SiteState
from protocol.secagg.split_coordinator import (
    CollectingOpenings,
    CollectingParticipants,
    CollectingSplits,
    SplitCoordinatorState,
)
from protocol.secagg.split_site import (
    AwaitingParticipants,
    AwaitingSplit,
    AwaitingSplitInvitation,
    Handed,
    SplitState,
)

RoundState: TypeAlias = CoordinatorState | SplitCoordinatorState
MemberState: TypeAlias = SiteState | SplitState
_SPLIT = CollectingParticipants | CollectingSplits | CollectingOpenings
_SPLIT_SITE = AwaitingSplitInvitation | AwaitingParticipants | AwaitingSplit | Handed


def open_round(signed: SignedDescriptor, roster: Roster) -> RoundState:
    """Return the first state of a round; raises as the machines do."""
    if signed.descriptor.aggregation is Aggregation.AGGREGATORS:
        return split_coordinator.open_round(signed, roster)
    return coordinator.open_round(signed, roster)


def advance(
    state: RoundState, event: Event
) -> tuple[RoundState, Mapping[SiteId, CoordinatorMessage]]:
    """Return the next state and what to send to which site; raises as the machines do."""
    if isinstance(state, _SPLIT):
        return split_coordinator.advance(state, event)
    return coordinator.advance(state, event)


def requests(state: RoundState) -> Mapping[SiteId, CoordinatorMessage]:
    """Return the message of this step for each site that takes part in it."""
    if isinstance(state, _SPLIT):
        return split_coordinator.requests(state)
    return coordinator.requests(state)


def answered(state: RoundState) -> frozenset[SiteId]:
    """Return the sites whose answer of this step is in."""
    if isinstance(state, _SPLIT):
        return split_coordinator.answered(state)
    return coordinator.answered(state)


def pending(state: RoundState) -> frozenset[SiteId]:
    """Return the sites whose answer of this step is not in yet."""
    if isinstance(state, _SPLIT):
        return frozenset(split_coordinator.recipients(state)) - answered(state)
    return coordinator.pending(state)


def invited(state: AwaitingInvitation) -> MemberState:
    """Return the first state of a site, for a round of the kind that its terms say."""
    if state.terms.aggregation is Aggregation.AGGREGATORS:
        return AwaitingSplitInvitation(state)
    return state


def answer(state: MemberState, message: SiteInput) -> tuple[MemberState, tuple[SiteMessage, ...]]:
    """Return a site's next state and what to send to the coordinator; raises as the machines do."""
    if isinstance(state, _SPLIT_SITE):
        return split_site.advance(state, message)
    return site.advance(state, message)
