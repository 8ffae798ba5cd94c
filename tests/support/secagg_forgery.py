"""What a dishonest party can make: messages signed anew, and false dealings."""

from dataclasses import replace
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from protocol.errors import PeerError
from protocol.identifiers import SiteId
from protocol.secagg import site
from protocol.secagg.cohort import sign_message
from protocol.secagg.dealing import (
    MASK_SEED,
    SELF_MASK,
    share_commitment,
    share_context,
)
from protocol.secagg.keys import sealing_key, share_private_key
from protocol.secagg.messages import Advert, Agreement, MaskedVector, Reveal, SealedPair, Shares
from protocol.secagg.site import AwaitingDeliveries, SiteState
from tests.support.secagg_network import Consortium, Network

_S = TypeVar("_S", Advert, Shares, MaskedVector, Agreement, Reveal)


def resigned(world: Consortium, message: _S, **changes: Any) -> _S:
    """Return the message with fields changed, signed by the site that it names."""
    return sign_message(replace(message, **changes), world.keys[message.site])


def dealing_state(network: Network, dealer: int) -> AwaitingDeliveries:
    """Return the state of a site that has dealt its shares."""
    state = network.states[dealer]
    assert isinstance(state, AwaitingDeliveries)
    return state


def sealed(
    state: AwaitingDeliveries, receiver: int, plain: bytes, *, committed: bool
) -> SealedPair:
    """Return a pair that opens to `plain`, its commitments for `plain` or for nothing at all."""
    dealing, dealer = state.dealing, state.standing.site
    context = share_context(dealing.adverts_hash, dealer, SiteId(receiver))
    peer = dealing.adverts[SiteId(receiver)].share_key
    key = sealing_key(share_private_key(state.secrets), peer, dealing.session, context)
    halves = (plain[:33], plain[33:]) if committed else (bytes(33), bytes(33))
    return SealedPair(
        SiteId(receiver),
        share_commitment(SELF_MASK, context, halves[0]),
        share_commitment(MASK_SEED, context, halves[1]),
        ChaCha20Poly1305(key).encrypt(bytes(12), plain, context),
    )


def with_pair(world: Consortium, shares: Shares, pair: SealedPair) -> Shares:
    """Return the dealing with one receiver's pair replaced, signed by its dealer."""
    pairs = tuple(pair if each.receiver == pair.receiver else each for each in shares.pairs)
    return resigned(world, shares, pairs=pairs)


def refuse(state: SiteState | None, message: site.SiteInput) -> PeerError:
    """Have a site take a message that it has to refuse; return with what it does."""
    assert state is not None
    with pytest.raises(PeerError) as refused:
        site.advance(state, message)
    return refused.value
