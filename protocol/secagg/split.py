"""Splitting a vector among aggregators, and sealing each its share (SPEC 4.9).

Additive shares: all but the first aggregator get the seed of an AES-256-CTR keystream, which is
their share; the first gets the vector less all keystreams. Any of them short of all hold numbers
that are uniform whatever the vector is. The seeds come from the site's entropy of the round.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from protocol.codec import Writer
from protocol.errors import PeerError
from protocol.identifiers import DIGEST_BYTES, Digest, PublicKey, SessionId, SiteId
from protocol.secagg.keys import RoundSecrets, exchange, expand, share_private_key
from protocol.secagg.masking import MaskKeys, mask
from protocol.secagg.ring import Layout, Packed, from_wire, to_wire, zero

SEED_BYTES = 32
TAG_BYTES = 16
FIRST = 0  # the aggregator that gets the vector less the keystreams
_NONCE = bytes(12)  # a key seals one share: session, adverts, site and aggregator are in it


@dataclass(frozen=True, slots=True)
class SealedShares:
    """What one site gives the aggregators, in their order, each under a seal."""

    vector: bytes = field(repr=False)
    seeds: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bound:
    """What a seal is bound to besides its aggregator."""

    session: SessionId
    adverts_hash: Digest
    site: SiteId

    def context(self, aggregator: int) -> bytes:
        """Return h1, u16 site, u8 aggregator."""
        writer = Writer().fixed(self.adverts_hash, DIGEST_BYTES).uint(self.site, 2)
        return writer.uint(aggregator, 1).finish()


def seal_shares(
    vector: Packed, secrets: RoundSecrets, bound: Bound, sealing_keys: Sequence[PublicKey]
) -> SealedShares:
    """Return the sealed shares of a vector, one for each aggregator's key."""
    seeds = [
        expand(secrets.dealing_key, bound.session, "split-seed", index.to_bytes(1, "big"))
        for index in range(1, len(sealing_keys))
    ]
    plain = [to_wire(mask(vector, MaskKeys((), tuple(seeds)))), *seeds]
    own = share_private_key(secrets)
    sealed = [
        _cipher(own, key, bound, index).encrypt(_NONCE, share, bound.context(index))
        for index, (key, share) in enumerate(zip(sealing_keys, plain, strict=True))
    ]
    return SealedShares(sealed[FIRST], tuple(sealed[FIRST + 1 :]))


def open_share(
    sealed: SealedShares,
    bound: Bound,
    layout: Layout,
    aggregator: int,
    keys: tuple[X25519PrivateKey, PublicKey],
) -> Packed:
    """Return the share of one aggregator; `keys` are its own, and the site's share key.

    Raises:
        PeerError: it does not open; the site is the culprit.
    """
    own, peer = keys
    share = sealed.vector if aggregator == FIRST else sealed.seeds[aggregator - 1]
    context = bound.context(aggregator)
    try:
        plain = _cipher(own, peer, bound, aggregator).decrypt(_NONCE, share, context)
    except InvalidTag as error:
        raise PeerError(
            "unsealable-share", "A site's seal does not open.", culprits=(bound.site,)
        ) from error
    if aggregator == FIRST:
        return from_wire(plain, layout)
    return mask(zero(layout), MaskKeys((plain,), ()))


def _cipher(
    own: X25519PrivateKey, peer: PublicKey, bound: Bound, aggregator: int
) -> ChaCha20Poly1305:
    secret = exchange(own, peer)
    return ChaCha20Poly1305(expand(secret, bound.session, "split-seal", bound.context(aggregator)))
