"""The coordinator's side of a round: `advance(state, event)` and what to ask next (SPEC 4.6).

Every message is verified on receipt, so a bad one is an error with its sender as the
culprit and a state that did not move: the driver goes on without that answer. The
driver alone decides when a step is over, and says so with `StepClosed`.
"""

from collections.abc import Mapping
from dataclasses import replace

from protocol.errors import CohortError, PeerError
from protocol.identifiers import Digest, SiteId
from protocol.secagg.cohort import blaming, check_keys, is_repeated, verify_message
from protocol.secagg.coordinator_states import (
    LEGAL,
    CollectingAdverts,
    CollectingAgreements,
    CollectingReveals,
    CollectingShares,
    CollectingVectors,
    Complete,
    CoordinatorState,
    Dealt,
    Event,
    MaskedSum,
    StepClosed,
    opening_of,
)
from protocol.secagg.dealing import MASK_SEED, SELF_MASK, share_commitment, share_context
from protocol.secagg.descriptor import SignedDescriptor
from protocol.secagg.hashing import sites_hash
from protocol.secagg.messages import (
    Advert,
    Adverts,
    Agreement,
    CoordinatorMessage,
    MaskedVector,
    Reveal,
    Shares,
    SiteMessage,
)
from protocol.secagg.requests import answered, needed, pending, ready, recipients, requests
from protocol.secagg.ring import from_wire, unpack, zero
from protocol.secagg.roster import Roster
from protocol.secagg.turns import out_of_turn
from protocol.secagg.unmasking import unmask

__all__ = [
    "LEGAL",
    "CollectingAdverts",
    "CollectingAgreements",
    "CollectingReveals",
    "CollectingShares",
    "CollectingVectors",
    "Complete",
    "CoordinatorState",
    "Event",
    "StepClosed",
    "advance",
    "answered",
    "needed",
    "open_round",
    "pending",
    "ready",
    "recipients",
    "requests",
]
_Step = tuple[CoordinatorState, Mapping[SiteId, CoordinatorMessage]]
_ANSWERS = {
    CollectingAdverts: "adverts",
    CollectingShares: "shares",
    CollectingVectors: "vectors",
    CollectingAgreements: "agreements",
    CollectingReveals: "reveals",
}


def open_round(signed: SignedDescriptor, roster: Roster) -> CollectingAdverts:
    """Return the first state of a round; `requests` of it are the invitations.

    Raises:
        PeerError: the descriptor is not signed by the roster's coordinator.
        PolicyError: it is for another roster, or breaks a rule of every round.
    """
    return CollectingAdverts(opening_of(signed, roster), {})


def advance(state: CoordinatorState, event: Event) -> _Step:
    """Return the next state, and what to send to which site; `state` itself stays as it was.

    A site's message sends nothing; `StepClosed` sends `requests` of the next state. A
    message that is in already changes nothing.

    Raises:
        PeerError: code "out-of-turn" if `state` does not await this kind of event;
            another code, with culprits, if the message breaks the protocol, or a
            dealer's shares prove false at the end.
        CohortError: the step closes with too few answers.
    """
    match state, event:
        case CollectingAdverts(), Advert():
            return _take_advert(state, event), {}
        case CollectingShares(), Shares():
            return _take_shares(state, event), {}
        case CollectingVectors(), MaskedVector():
            return _take_vector(state, event), {}
        case CollectingAgreements(), Agreement():
            return _take_agreement(state, event), {}
        case CollectingReveals(), Reveal():
            return _take_reveal(state, event), {}
        case _, StepClosed():
            after = _close(state)
            return after, requests(after)
        case _:
            raise out_of_turn(LEGAL, state, event)


def _take_advert(state: CollectingAdverts, advert: Advert) -> CollectingAdverts:
    with blaming(advert):
        _check_sender(state, advert)
        if is_repeated(state.adverts, advert.site, advert):
            return state
        check_keys(advert, state.adverts.values())
    return replace(state, adverts={**state.adverts, advert.site: advert})


def _take_shares(state: CollectingShares, shares: Shares) -> CollectingShares:
    dealt = state.dealt
    with blaming(shares):
        _check_sender(state, shares)
        _check_sets((shares.adverts_hash,), (dealt.adverts_hash,))
        if tuple(pair.receiver for pair in shares.pairs) != dealt.advertised:
            raise PeerError("misdealt", "Expected one pair of shares for each site of U1.")
        if is_repeated(dealt.shares, shares.site, shares):
            return state
    return replace(state, dealt=replace(dealt, shares={**dealt.shares, shares.site: shares}))


def _take_vector(state: CollectingVectors, vector: MaskedVector) -> CollectingVectors:
    dealt, masked, layout = state.dealt, state.masked, state.opening.descriptor.layout
    with blaming(vector):
        payload = _check_sender(state, vector)
        expected = (dealt.adverts_hash, sites_hash(dealt.dealers))
        _check_sets((vector.adverts_hash, vector.dealers_hash), expected)
        if len(vector.vector) != layout.octets:
            raise PeerError("vector-length", "Expected the bytes of every element of the round.")
        if is_repeated(masked.payloads, vector.site, payload):
            return state
    total = masked.total + from_wire(vector.vector, layout)
    payloads = {**masked.payloads, vector.site: payload}
    return replace(state, masked=MaskedSum(total, payloads))


def _take_agreement(state: CollectingAgreements, agreement: Agreement) -> CollectingAgreements:
    dealt = state.dealt
    with blaming(agreement):
        _check_sender(state, agreement)
        _check_sets(
            agreement.sets,
            (dealt.adverts_hash, sites_hash(dealt.dealers), sites_hash(state.masked.sites)),
        )
        if is_repeated(state.agreements, agreement.site, agreement):
            return state
    return replace(state, agreements={**state.agreements, agreement.site: agreement})


def _take_reveal(state: CollectingReveals, reveal: Reveal) -> CollectingReveals:
    with blaming(reveal):
        _check_sender(state, reveal)
        _check_sets((reveal.survivors_hash,), (sites_hash(state.masked.sites),))
        _check_shares(state, reveal)
        if is_repeated(state.reveals, reveal.site, reveal):
            return state
    return replace(state, reveals={**state.reveals, reveal.site: reveal})


def _check_shares(state: CollectingReveals, reveal: Reveal) -> None:
    """Check each share against its dealer's commitment, which the revealer once checked too."""
    dealt = state.dealt
    if len(reveal.shares) != len(dealt.dealers):
        raise PeerError("misrevealed", "Expected one share for each site of U2.")
    place = dealt.advertised.index(reveal.site)
    for dealer, share in zip(dealt.dealers, reveal.shares, strict=True):
        pair = dealt.shares[dealer].pairs[place]
        survived = dealer in state.masked.payloads
        committed = pair.self_mask_commitment if survived else pair.mask_seed_commitment
        context = share_context(dealt.adverts_hash, dealer, reveal.site)
        if share_commitment(SELF_MASK if survived else MASK_SEED, context, share) != committed:
            raise PeerError("false-reveal", "A revealed share is not the one that was dealt.")


def _close(state: CoordinatorState) -> CoordinatorState:
    _check_enough(state)
    match state:
        case CollectingAdverts(opening, adverts):
            message = Adverts(opening.session, tuple(adverts[site] for site in sorted(adverts)))
            return CollectingShares(opening, Dealt(message, message.hash, {}))
        case CollectingShares(opening, dealt):
            nothing = MaskedSum(zero(opening.descriptor.layout), {})
            return CollectingVectors(opening, dealt, nothing)
        case CollectingVectors(opening, dealt, masked):
            return CollectingAgreements(opening, dealt, masked, {})
        case CollectingAgreements(opening, dealt, masked, agreements):
            return CollectingReveals(opening, dealt, masked, agreements, {})
        case CollectingReveals():
            return _complete(state)
        case Complete():
            raise out_of_turn(LEGAL, state, StepClosed())


def _complete(state: CollectingReveals) -> Complete:
    cohort = state.masked.sites
    dropped = tuple(site for site in state.opening.roster.ids if site not in cohort)
    return Complete(state.opening, unpack(unmask(state)), cohort, dropped, noise_shares=len(cohort))


def _check_enough(state: CoordinatorState) -> None:
    found, enough = len(answered(state)), needed(state)
    if found < enough:
        what = _ANSWERS[type(state)]
        raise CohortError(
            f"too-few-{what}",
            f"The round needs {what} of {enough} sites, found {found}.",
            "Nothing was revealed. See why each site is out, then issue a new round.",
            found=found,
            needed=enough,
        )


def _check_sender(state: CoordinatorState, message: SiteMessage) -> bytes:
    payload = verify_message(message, state.opening.session, state.opening.roster)
    if message.site not in recipients(state):
        raise PeerError("unknown-site", "The site has no part in this step.")
    return payload


def _check_sets(found: tuple[Digest, ...], expected: tuple[Digest, ...]) -> None:
    if found != expected:
        raise PeerError("other-sets", "The site answers for other sets of sites than were sent.")
