"""The coordinator's side of a round with aggregators: `advance(state, event)` (SPEC 4.9).

Sites' shares are sealed to the aggregators, so nothing here holds a secret, and nothing is
unmasked: the sum is what all aggregators sign for exactly the shares that came in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from protocol.errors import CohortError, PeerError
from protocol.identifiers import Digest, SiteId
from protocol.secagg.cohort import (
    blaming,
    check_keys,
    check_session,
    is_repeated,
    verify_message,
)
from protocol.secagg.coordinator_states import Complete, Event, Opening, StepClosed, opening_of
from protocol.secagg.descriptor import Descriptor, SignedDescriptor
from protocol.secagg.messages import (
    Advert,
    Adverts,
    CoordinatorMessage,
    Invitation,
    Opened,
    SiteMessage,
    SplitVector,
)
from protocol.secagg.ring import from_wire, unpack
from protocol.secagg.roster import Roster
from protocol.secagg.split import TAG_BYTES
from protocol.secagg.split_messages import cohort_hash
from protocol.secagg.turns import out_of_turn
from protocol.signing import verify


@dataclass(frozen=True, slots=True)
class CollectingParticipants:
    """The invitation is out."""

    opening: Opening
    adverts: Mapping[SiteId, Advert] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CollectingSplits:
    """U1 is fixed, its adverts are out; `payloads` is what each site signed of its shares."""

    opening: Opening
    adverts: Adverts = field(repr=False)
    payloads: Mapping[SiteId, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CollectingOpenings:
    """The cohort is fixed; the aggregators' signed sums come in, by place in the roster."""

    opening: Opening
    payloads: Mapping[SiteId, bytes] = field(repr=False)
    opened: Mapping[int, Opened] = field(repr=False)

    @property
    def cohort(self) -> tuple[SiteId, ...]:
        """Return the sites whose shares are in the sum, ascending."""
        return tuple(sorted(self.payloads))

    @property
    def awaited(self) -> frozenset[int]:
        """Return the aggregators that have not answered."""
        return frozenset(range(len(self.opening.roster.aggregators))) - frozenset(self.opened)


SplitCoordinatorState: TypeAlias = (
    CollectingParticipants | CollectingSplits | CollectingOpenings | Complete
)
_Step: TypeAlias = tuple[SplitCoordinatorState, Mapping[SiteId, CoordinatorMessage]]

LEGAL: Mapping[tuple[type[SplitCoordinatorState], type[Event]], type[SplitCoordinatorState]] = {
    (CollectingParticipants, Advert): CollectingParticipants,
    (CollectingParticipants, StepClosed): CollectingSplits,
    (CollectingSplits, SplitVector): CollectingSplits,
    (CollectingSplits, StepClosed): CollectingOpenings,
    (CollectingOpenings, Opened): CollectingOpenings,
    (CollectingOpenings, StepClosed): Complete,
}


def open_round(signed: SignedDescriptor, roster: Roster) -> CollectingParticipants:
    """Return the first state of a round; `requests` of it are the invitations.

    Raises:
        PeerError: the descriptor is not signed by the roster's coordinator.
        PolicyError: it is for another roster, or breaks a rule of every round.
    """
    return CollectingParticipants(opening_of(signed, roster), {})


def advance(state: SplitCoordinatorState, event: Event) -> _Step:
    """Return the next state, and what to send to which site; `state` itself stays as it was.

    Raises:
        PeerError: code "out-of-turn" if `state` does not await this kind of event; another
            code if the message breaks the protocol, or aggregators sign different sums.
        CohortError: the step closes with too few answers.
    """
    match state, event:
        case CollectingParticipants(), Advert():
            return _take_advert(state, event), {}
        case CollectingSplits(), SplitVector():
            return _take_split(state, event), {}
        case CollectingOpenings(), Opened():
            return _take_opened(state, event), {}
        case _, StepClosed():
            after = _close(state)
            return after, requests(after)
        case _:
            raise out_of_turn(LEGAL, state, event)


def requests(state: SplitCoordinatorState) -> Mapping[SiteId, CoordinatorMessage]:
    """Return the message of this step for each site that takes part in it; none later on."""
    match state:
        case CollectingParticipants():
            return dict.fromkeys(recipients(state), Invitation(state.opening.signed))
        case CollectingSplits():
            return dict.fromkeys(recipients(state), state.adverts)
        case _:
            return {}


def recipients(state: SplitCoordinatorState) -> tuple[SiteId, ...]:
    """Return the sites that this step asks, ascending."""
    match state:
        case CollectingParticipants():
            return state.opening.roster.ids
        case CollectingSplits():
            return tuple(advert.site for advert in state.adverts.adverts)
        case _:
            return ()


def answered(state: SplitCoordinatorState) -> frozenset[SiteId]:
    """Return the sites whose answer of this step is in."""
    match state:
        case CollectingParticipants():
            return frozenset(state.adverts)
        case CollectingSplits():
            return frozenset(state.payloads)
        case _:
            return frozenset()


def missing_noise(descriptor: Descriptor, sites: int) -> int:
    """Return how many sites' noise a sum over so many `sites` lacks of the n_min counted on."""
    return max(0, descriptor.n_min - sites)


def _take_advert(state: CollectingParticipants, advert: Advert) -> CollectingParticipants:
    with blaming(advert):
        _check_sender(state, advert)
        if is_repeated(state.adverts, advert.site, advert):
            return state
        check_keys(advert, state.adverts.values())
    return replace(state, adverts={**state.adverts, advert.site: advert})


def _take_split(state: CollectingSplits, split: SplitVector) -> CollectingSplits:
    with blaming(split):
        payload = _check_sender(state, split)
        if split.adverts_hash != state.adverts.hash:
            raise PeerError("other-sets", "The site answers for other sites than were shown to it.")
        check_shares(split, state.opening.descriptor, state.opening.roster)
        if is_repeated(state.payloads, split.site, payload):
            return state
    return replace(state, payloads={**state.payloads, split.site: payload})


def check_shares(split: SplitVector, descriptor: Descriptor, roster: Roster) -> None:
    """Check that there is one share for each aggregator, of the size that it has.

    Raises:
        PeerError: there is not.
    """
    found, expected = 1 + len(split.shares.seeds), len(roster.aggregators)
    if found != expected:
        raise PeerError("share-count", f"Expected shares for {expected} aggregators.")
    if len(split.shares.vector) != descriptor.layout.octets + TAG_BYTES:
        raise PeerError("vector-length", "Expected the bytes of every element of the round.")


def _take_opened(state: CollectingOpenings, opened: Opened) -> CollectingOpenings:
    check_session(opened, state.opening.session)
    check_opened(opened, state.opening, cohort_hash(state.payloads), len(state.payloads))
    if opened.aggregator in state.opened:
        if state.opened[opened.aggregator] != opened:
            raise PeerError("second-answer", "The aggregator gave two different sums.")
        return state
    return replace(state, opened={**state.opened, opened.aggregator: opened})


def check_opened(opened: Opened, opening: Opening, cohort: Digest, sites: int) -> None:
    """Check one aggregator's signed sum: who signed, over which shares, with which noise.

    Raises:
        PeerError: it is not what this round's aggregators could have signed.
    """
    descriptor, aggregators = opening.descriptor, opening.roster.aggregators
    if opened.aggregator >= len(aggregators):
        raise PeerError("unknown-aggregator", "The roster has no aggregator in this place.")
    key = aggregators[opened.aggregator].key
    verify(key, opened.purpose, opened.payload, opened.signature)
    if opened.cohort_hash != cohort:
        raise PeerError("other-cohort", "The aggregator added up other shares than came in.")
    if opened.added != missing_noise(descriptor, sites):
        raise PeerError("other-noise", "The aggregator added another amount of noise than is due.")
    if len(opened.vector) != descriptor.layout.octets:
        raise PeerError("vector-length", "Expected the bytes of every element of the round.")


def _close(state: SplitCoordinatorState) -> SplitCoordinatorState:
    match state:
        case CollectingParticipants(opening, adverts):
            _check_enough(state, "adverts")
            message = Adverts(opening.session, tuple(adverts[site] for site in sorted(adverts)))
            return CollectingSplits(opening, message, {})
        case CollectingSplits(opening, _, payloads):
            _check_enough(state, "vectors")
            return CollectingOpenings(opening, payloads, {})
        case CollectingOpenings():
            return _complete(state)
        case Complete():
            raise out_of_turn(LEGAL, state, StepClosed())


def _complete(state: CollectingOpenings) -> Complete:
    opening, aggregators = state.opening, len(state.opening.roster.aggregators)
    if state.awaited:
        names = [opening.roster.aggregators[place].name for place in sorted(state.awaited)]
        raise CohortError(
            "too-few-openings",
            f"The round needs the sum of all {aggregators} aggregators, none came from "
            f"{', '.join(names)}.",
            "Nothing can be opened without them. Have them started, then issue a new round.",
            found=aggregators - len(names),
            needed=aggregators,
        )
    vectors = {opened.vector for opened in state.opened.values()}
    if len(vectors) != 1:
        raise PeerError("aggregators-disagree", "The aggregators signed different sums.")
    sites, descriptor = len(state.payloads), opening.descriptor
    dropped = tuple(site for site in opening.roster.ids if site not in state.payloads)
    return Complete(
        opening,
        unpack(from_wire(vectors.pop(), descriptor.layout)),
        state.cohort,
        dropped,
        noise_shares=sites + aggregators * missing_noise(descriptor, sites),
    )


def _check_enough(state: CollectingParticipants | CollectingSplits, what: str) -> None:
    found, enough = len(answered(state)), state.opening.descriptor.smallest_cohort
    if found < enough:
        raise CohortError(
            f"too-few-{what}",
            f"The round needs {what} of {enough} sites, found {found}.",
            "Nothing was revealed. See why each site is out, then issue a new round.",
            found=found,
            needed=enough,
        )


def _check_sender(state: CollectingParticipants | CollectingSplits, message: SiteMessage) -> bytes:
    payload = verify_message(message, state.opening.session, state.opening.roster)
    if message.site not in recipients(state):
        raise PeerError("unknown-site", "The site has no part in this step.")
    return payload
