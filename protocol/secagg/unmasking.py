"""Taking the masks off the sum, from the shares revealed (SPEC 4.6.5).

Every secret is checked against what its dealer published before any use. Shares were
checked one by one when they came in, so a secret that does not fit names its dealer.
"""

from collections.abc import Mapping, Sequence

from protocol.errors import PeerError
from protocol.identifiers import SiteId
from protocol.secagg.coordinator_states import CollectingReveals
from protocol.secagg.keys import (
    mask_private_key,
    pair_mask_key,
    public_half,
    self_mask_commitment,
    self_mask_key,
)
from protocol.secagg.masking import MaskKeys, join, mask
from protocol.secagg.messages import Advert
from protocol.secagg.ring import Packed
from protocol.secagg.sharing import point, recover, weights_at_zero


def unmask(state: CollectingReveals) -> Packed:
    """Return the sum of the cohort's vectors.

    Precondition: len(state.reveals) >= t.

    Raises:
        PeerError: a dealer's shares do not recover what its advert promised; it is named.
    """
    secrets = _recovered(state)
    survivors = state.masked.sites
    keys = [
        _self_mask(state, dealer, secret)
        if dealer in survivors
        else _pair_masks(state, dealer, secret)
        for dealer, secret in secrets.items()
    ]
    return mask(state.masked.total, join(keys))


def _recovered(state: CollectingReveals) -> Mapping[SiteId, bytes]:
    threshold = state.opening.descriptor.threshold
    revealers = sorted(state.reveals)[:threshold]
    weights = weights_at_zero([point(site) for site in revealers])
    columns = zip(*(state.reveals[site].shares for site in revealers), strict=True)
    return {
        dealer: _secret(dealer, weights, shares)
        for dealer, shares in zip(state.dealt.dealers, columns, strict=True)
    }


def _secret(dealer: SiteId, weights: Sequence[int], shares: Sequence[bytes]) -> bytes:
    element = recover(weights, shares)
    if element[0]:
        raise _false_dealing(dealer)
    return element[1:]


def _self_mask(state: CollectingReveals, dealer: SiteId, secret: bytes) -> MaskKeys:
    session = state.opening.session
    promised = _advert(state, dealer).self_mask_commitment
    if self_mask_commitment(secret, session, dealer) != promised:
        raise _false_dealing(dealer)
    return MaskKeys((), (self_mask_key(secret, session),))


def _pair_masks(state: CollectingReveals, dealer: SiteId, secret: bytes) -> MaskKeys:
    session = state.opening.session
    private = mask_private_key(secret, session)
    if public_half(private) != _advert(state, dealer).mask_key:
        raise _false_dealing(dealer)
    keys = {
        peer: pair_mask_key(private, _advert(state, peer).mask_key, session, (dealer, peer))
        for peer in state.masked.sites
    }
    # The survivor below the dealer added this mask, the one above subtracted it (SPEC 4.5).
    return MaskKeys(
        tuple(key for peer, key in keys.items() if peer > dealer),
        tuple(key for peer, key in keys.items() if peer < dealer),
    )


def _advert(state: CollectingReveals, site: SiteId) -> Advert:
    return next(advert for advert in state.dealt.adverts.adverts if advert.site == site)


def _false_dealing(dealer: SiteId) -> PeerError:
    return PeerError(
        "false-dealing",
        "A site's shares do not recover the secret that it committed to.",
        "Issue the round again without this site.",
        culprits=(dealer,),
    )
