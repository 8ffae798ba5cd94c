"""A site's side of a round: `advance(state, message)` and nothing else (SPEC 4.6).

The shell makes an `AwaitingInvitation`, feeds it what the coordinator sends, and between
the deliveries and the masked vector a `Contribution`. It journals the counter before the
advert leaves, charges the budget before the contribution, and journals the survivors
before the agreement leaves; this machine refuses a second list within one life of the
process, the journal across restarts.
"""

from protocol.errors import PeerError, UsageError
from protocol.identifiers import Digest, SiteId
from protocol.secagg.cohort import (
    check_ascending,
    check_session,
    sign_message,
    verify_message,
)
from protocol.secagg.dealing import Dealing, deal, open_delivery
from protocol.secagg.hashing import sites_hash
from protocol.secagg.joining import check_adverts, check_list, join_round
from protocol.secagg.keys import (
    mask_private_key,
    pair_mask_key,
    self_mask_key,
    share_private_key,
)
from protocol.secagg.masking import MaskKeys, mask
from protocol.secagg.messages import (
    Adverts,
    Agreement,
    Deliveries,
    Invitation,
    MaskedVector,
    Quorum,
    Reveal,
    Shares,
    SiteMessage,
    Survivors,
)
from protocol.secagg.ring import pack, to_wire
from protocol.secagg.site_states import (
    LEGAL,
    AwaitingAdverts,
    AwaitingContribution,
    AwaitingDeliveries,
    AwaitingInvitation,
    AwaitingQuorum,
    AwaitingSurvivors,
    Contribution,
    Finished,
    SiteInput,
    SiteState,
)
from protocol.secagg.turns import out_of_turn

__all__ = [
    "LEGAL",
    "AwaitingAdverts",
    "AwaitingContribution",
    "AwaitingDeliveries",
    "AwaitingInvitation",
    "AwaitingQuorum",
    "AwaitingSurvivors",
    "Contribution",
    "Finished",
    "SiteInput",
    "SiteState",
    "advance",
]
_Step = tuple[SiteState, tuple[SiteMessage, ...]]


def advance(state: SiteState, message: SiteInput) -> _Step:
    """Return the next state, and what to send to the coordinator; `state` itself stays as it was.

    Raises:
        PeerError: code "out-of-turn" if `state` does not await this kind of message;
            another code if the message breaks the protocol.
        PolicyError: the invitation is not what this site approved.
        UsageError: the shell gave another site's key, or a vector of another shape.
    """
    match state, message:
        case AwaitingInvitation(), Invitation():
            return _advertise(state, message)
        case AwaitingAdverts(), Adverts():
            return _deal(state, message)
        case AwaitingDeliveries(), Deliveries():
            return _open(state, message)
        case AwaitingContribution(), Contribution():
            return _mask(state, message)
        case AwaitingSurvivors(), Survivors():
            return _agree(state, message)
        case AwaitingQuorum(), Quorum():
            return _reveal(state, message)
        case _:
            raise out_of_turn(LEGAL, state, message)


def _advertise(state: AwaitingInvitation, message: Invitation) -> _Step:
    joined = join_round(state, message)
    return AwaitingAdverts(*joined), (joined.advert,)


def _deal(state: AwaitingAdverts, message: Adverts) -> _Step:
    check_adverts(state.standing, state.advert, message)
    standing = state.standing
    adverts = {advert.site: advert for advert in message.adverts}
    dealing = Dealing(standing.session, standing.roster, adverts, message.hash)
    pairs = deal(dealing, standing.site, state.secrets, standing.descriptor.threshold)
    shares = Shares(standing.session, standing.site, dealing.adverts_hash, pairs)
    after = AwaitingDeliveries(standing, state.secrets, dealing)
    return after, (sign_message(shares, standing.key),)


def _open(state: AwaitingDeliveries, message: Deliveries) -> _Step:
    standing, dealing = state.standing, state.dealing
    check_session(message, standing.session)
    dealers = tuple(delivery.dealer for delivery in message.deliveries)
    check_list(standing, dealers, dealing.adverts)  # SPEC 4.6.3: U2 within U1
    own = share_private_key(state.secrets)
    held = {
        delivery.dealer: open_delivery(dealing, standing.site, own, delivery)
        for delivery in message.deliveries
    }
    keys = _mask_keys(state, dealers)
    # The site's own seeds end here: what is left is what its vector and the reveal need.
    return AwaitingContribution(standing, dealing.adverts_hash, dealers, keys, held), ()


def _mask_keys(state: AwaitingDeliveries, dealers: tuple[SiteId, ...]) -> MaskKeys:
    me, session = state.standing.site, state.standing.session
    own = mask_private_key(state.secrets.mask_seed, session)
    pair = {
        peer: pair_mask_key(own, state.dealing.adverts[peer].mask_key, session, (me, peer))
        for peer in dealers
        if peer != me
    }
    # SPEC 4.5: the lower site of a pair adds, the higher subtracts; everyone adds its own mask.
    added = [key for peer, key in pair.items() if me < peer]
    subtracted = [key for peer, key in pair.items() if me > peer]
    return MaskKeys((self_mask_key(state.secrets.self_mask, session), *added), tuple(subtracted))


def _mask(state: AwaitingContribution, message: Contribution) -> _Step:
    standing, vector = state.standing, message.vector
    if vector.dtype != "uint64" or vector.shape != (standing.descriptor.length,):
        raise UsageError("vector-shape", "Expected 64-bit residues, one for each cell of the plan.")
    masked = MaskedVector(
        standing.session,
        standing.site,
        state.adverts_hash,
        sites_hash(state.dealers),
        to_wire(mask(pack(vector, standing.descriptor.narrow), state.mask_keys)),
    )
    after = AwaitingSurvivors(standing, state.adverts_hash, state.dealers, state.held)
    return after, (sign_message(masked, standing.key),)


def _agree(state: AwaitingSurvivors, message: Survivors) -> _Step:
    standing = state.standing
    check_session(message, standing.session)
    check_list(standing, message.sites, state.dealers)  # SPEC 4.6.4: U3 within U2
    after = AwaitingQuorum(standing, state.adverts_hash, state.dealers, message.sites, state.held)
    agreement = Agreement(standing.session, standing.site, *_agreed_sets(after))
    return after, (sign_message(agreement, standing.key),)


def _agreed_sets(state: AwaitingQuorum) -> tuple[Digest, Digest, Digest]:
    return state.adverts_hash, sites_hash(state.dealers), sites_hash(state.survivors)


def _reveal(state: AwaitingQuorum, message: Quorum) -> _Step:
    _check_quorum(state, message)
    standing = state.standing
    # SPEC 4.6.5: which share goes out follows from the sets agreed on, not from the request.
    shares = tuple(
        held.self_mask if dealer in state.survivors else held.mask_seed
        for dealer, held in state.held.items()
    )
    reveal = Reveal(standing.session, standing.site, sites_hash(state.survivors), shares)
    after = Finished(standing.session, standing.site, state.survivors)
    return after, (sign_message(reveal, standing.key),)


def _check_quorum(state: AwaitingQuorum, message: Quorum) -> None:
    standing = state.standing
    check_session(message, standing.session)
    signers = [agreement.site for agreement in message.agreements]
    check_ascending(signers)
    if not set(signers) <= set(state.survivors):
        raise PeerError("unknown-site", "A site that is no survivor agrees on the survivors.")
    if len(signers) < standing.descriptor.threshold:
        raise PeerError("quorum-too-small", "Fewer sites agree than the threshold of the round.")
    # SPEC 4.6.5: at least t distinct survivors, all on the sets that this site agreed to.
    expected = _agreed_sets(state)
    for agreement in message.agreements:
        verify_message(agreement, standing.session, standing.roster)
        if agreement.sets != expected:
            raise PeerError("other-sets", "Two sites were shown different sets of sites.")
