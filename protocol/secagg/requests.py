"""What the coordinator asks in each state, of whom, and who has answered (SPEC 4.6).

All of it follows from the state alone, so a driver that restarts from its transcript
asks exactly what it asked before.
"""

from collections.abc import Mapping

from protocol.identifiers import SiteId
from protocol.secagg.coordinator_states import (
    CollectingAdverts,
    CollectingAgreements,
    CollectingReveals,
    CollectingShares,
    CollectingVectors,
    Complete,
    CoordinatorState,
)
from protocol.secagg.merkle import paths_of
from protocol.secagg.messages import (
    CoordinatorMessage,
    Deliveries,
    Delivery,
    Invitation,
    Quorum,
    Survivors,
)


def requests(state: CoordinatorState) -> Mapping[SiteId, CoordinatorMessage]:
    """Return the message of this step for each site that takes part in it; none when complete."""
    message: CoordinatorMessage
    match state:
        case CollectingVectors():
            return _deliveries(state)
        case CollectingAdverts():
            message = Invitation(state.opening.signed)
        case CollectingShares():
            message = state.dealt.adverts
        case CollectingAgreements():
            message = Survivors(state.opening.session, state.masked.sites)
        case CollectingReveals():
            # Of t sites: each has to be verified by every site, and more prove nothing more.
            signers = sorted(state.agreements)[: state.opening.descriptor.threshold]
            agreements = tuple(state.agreements[site] for site in signers)
            message = Quorum(state.opening.session, agreements)
        case Complete():
            return {}
    return dict.fromkeys(recipients(state), message)


def recipients(state: CoordinatorState) -> tuple[SiteId, ...]:
    """Return the sites that this step asks, ascending."""
    match state:
        case CollectingAdverts():
            return state.opening.roster.ids
        case CollectingShares():
            return state.dealt.advertised
        case CollectingVectors():
            return state.dealt.dealers
        case CollectingAgreements():
            return state.masked.sites
        case CollectingReveals():
            return tuple(sorted(state.agreements))
        case Complete():
            return ()


def answered(state: CoordinatorState) -> frozenset[SiteId]:
    """Return the sites whose answer of this step is in."""
    match state:
        case CollectingAdverts():
            return frozenset(state.adverts)
        case CollectingShares():
            return frozenset(state.dealt.shares)
        case CollectingVectors():
            return frozenset(state.masked.payloads)
        case CollectingAgreements():
            return frozenset(state.agreements)
        case CollectingReveals():
            return frozenset(state.reveals)
        case Complete():
            return frozenset()


def pending(state: CoordinatorState) -> frozenset[SiteId]:
    """Return the sites whose answer of this step is not in yet."""
    return frozenset(recipients(state)) - answered(state)


def needed(state: CoordinatorState) -> int:
    """Return how many answers let this step close: max(t, n_min) up to the vectors, then t."""
    match state:
        case CollectingAdverts() | CollectingShares() | CollectingVectors():
            return state.opening.descriptor.smallest_cohort
        case CollectingAgreements() | CollectingReveals():
            return state.opening.descriptor.threshold
        case Complete():
            return 0


def ready(state: CoordinatorState) -> bool:
    """Return whether enough answers are in for `StepClosed`; waiting longer may admit more."""
    return len(answered(state)) >= needed(state)


def _deliveries(state: CollectingVectors) -> Mapping[SiteId, Deliveries]:
    dealt = state.dealt
    dealings = [(dealer, dealt.shares[dealer]) for dealer in dealt.dealers]
    paths = {dealer: paths_of(shares.leaves) for dealer, shares in dealings}
    return {
        receiver: Deliveries(
            state.opening.session,
            tuple(
                Delivery(dealer, shares.pairs[place], paths[dealer][place], shares.signature)
                for dealer, shares in dealings
            ),
        )
        for place, receiver in enumerate(dealt.advertised)
        if receiver in dealt.shares
    }
