"""Dealing shares: a site's secrets, split, committed to and sealed; and opening them (SPEC 4.4).

A pair holds the receiver's share of the dealer's self mask and of its mask seed. The
dealer commits to each share and signs the commitments, so that a receiver can prove a
false share to the coordinator, and the coordinator can tell a lying revealer from a
lying dealer.

Why a bare hash hides a share: given fewer than t shares of a dealing, each other share
is uniform on a field of more than 2^256 elements. To learn anything from a commitment an
adversary must hash that very share, a guess that succeeds with probability 2^-256; the
seal protects it no better. So the share is its own blinding, and none is added.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from protocol.codec import Writer
from protocol.errors import PeerError
from protocol.identifiers import DIGEST_BYTES, Digest, SessionId, SiteId
from protocol.secagg.hashing import labelled_hash
from protocol.secagg.keys import RoundSecrets, coefficients, sealing_key, share_private_key
from protocol.secagg.merkle import root_from
from protocol.secagg.messages import Advert, Delivery, SealedPair, Shares, shares_payload
from protocol.secagg.roster import Roster
from protocol.secagg.sharing import SHARE_BYTES, is_element, point, split
from protocol.signing import verify

SELF_MASK, MASK_SEED = "self-mask-share", "mask-seed-share"
_NONCE = bytes(12)  # a sealing key seals one pair: session, adverts, dealer and receiver are in it


@dataclass(frozen=True, slots=True)
class HeldShares:
    """The two shares that one dealer gave this site; at most one of them is ever revealed."""

    self_mask: bytes = field(repr=False)
    mask_seed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Dealing:
    """What dealer and receivers have in common, or no pair opens: the round and its adverts."""

    session: SessionId
    roster: Roster = field(repr=False)
    adverts: Mapping[SiteId, Advert] = field(repr=False)  # U1, ascending
    adverts_hash: Digest


def deal(
    dealing: Dealing, dealer: SiteId, secrets: RoundSecrets, threshold: int
) -> tuple[SealedPair, ...]:
    """Return one sealed pair for every site of U1, the dealer itself included, ascending."""
    own = share_private_key(secrets)
    points = [point(receiver) for receiver in dealing.adverts]
    columns = [
        split(
            secret, coefficients(secrets.dealing_key, dealing.session, label, threshold - 1), points
        )
        for secret, label in ((secrets.self_mask, SELF_MASK), (secrets.mask_seed, MASK_SEED))
    ]
    return tuple(
        _seal(dealing, dealer, own, receiver, HeldShares(self_mask, mask_seed))
        for receiver, self_mask, mask_seed in zip(dealing.adverts, *columns, strict=True)
    )


def open_delivery(
    dealing: Dealing, receiver: SiteId, own: X25519PrivateKey, delivery: Delivery
) -> HeldShares:
    """Return the shares of a delivery, all checked; `own` is the receiver's share key.

    Raises:
        PeerError: the coordinator altered it (no culprits), or the dealer signed what does
            not open to the shares it committed to (the dealer is the culprit).
    """
    _check_signed(dealing, receiver, delivery)
    opened = _unseal(dealing, receiver, own, delivery)
    pair, context = delivery.pair, share_context(dealing.adverts_hash, delivery.dealer, receiver)
    committed = (pair.self_mask_commitment, pair.mask_seed_commitment)
    if committed != (
        share_commitment(SELF_MASK, context, opened.self_mask),
        share_commitment(MASK_SEED, context, opened.mask_seed),
    ) or not (is_element(opened.self_mask) and is_element(opened.mask_seed)):
        raise PeerError(
            "false-share",
            "A share does not match the commitment that its dealer signed.",
            culprits=(delivery.dealer,),
        )
    return opened


def share_context(adverts_hash: Digest, dealer: SiteId, receiver: SiteId) -> bytes:
    """Return what seals, their associated data and commitments are bound to: h1, dealer, receiver.

    h1 holds the session.
    """
    return Writer().fixed(adverts_hash, DIGEST_BYTES).uint(dealer, 2).uint(receiver, 2).finish()


def share_commitment(label: str, context: bytes, share: bytes) -> Digest:
    """Return the commitment to one share; `label` is SELF_MASK or MASK_SEED."""
    return labelled_hash(label, context + share)


def _seal(
    dealing: Dealing,
    dealer: SiteId,
    own: X25519PrivateKey,
    receiver: SiteId,
    shares: HeldShares,
) -> SealedPair:
    context = share_context(dealing.adverts_hash, dealer, receiver)
    peer = dealing.adverts[receiver].share_key
    key = sealing_key(own, peer, dealing.session, context)
    plain = shares.self_mask + shares.mask_seed
    return SealedPair(
        receiver,
        share_commitment(SELF_MASK, context, shares.self_mask),
        share_commitment(MASK_SEED, context, shares.mask_seed),
        ChaCha20Poly1305(key).encrypt(_NONCE, plain, context),
    )


def _check_signed(dealing: Dealing, receiver: SiteId, delivery: Delivery) -> None:
    place, count = list(dealing.adverts).index(receiver), len(dealing.adverts)
    root = root_from(delivery.pair.leaf, place, count, delivery.path)
    if root is None or delivery.pair.receiver != receiver:
        raise PeerError("misdelivered", "A delivery is not one for this site in this round.")
    # The pair is in what the dealer signed, or the signature does not hold.
    payload = shares_payload(dealing.session, delivery.dealer, dealing.adverts_hash, root)
    key = dealing.roster.sites[delivery.dealer].key
    verify(key, Shares.purpose, payload, delivery.signature)


def _unseal(
    dealing: Dealing, receiver: SiteId, own: X25519PrivateKey, delivery: Delivery
) -> HeldShares:
    context = share_context(dealing.adverts_hash, delivery.dealer, receiver)
    peer = dealing.adverts[delivery.dealer].share_key
    key = sealing_key(own, peer, dealing.session, context)
    try:
        plain = ChaCha20Poly1305(key).decrypt(_NONCE, delivery.pair.sealed, context)
    except InvalidTag as error:
        raise PeerError(
            "unsealable-pair", "A dealer's seal does not open.", culprits=(delivery.dealer,)
        ) from error
    return HeldShares(plain[:SHARE_BYTES], plain[SHARE_BYTES:])
