"""Every key of a round, each from HKDF-SHA256 under its own label (SPEC 4.3).

The session id is the salt throughout, so no key of one round means anything in another.
X25519 keys live for one round; the key that makes masks and the key that seals shares
are separate, because the first is revealed when its site drops out.
"""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.codec import Writer
from protocol.errors import PeerError
from protocol.identifiers import Digest, PublicKey, SessionId, SiteId
from protocol.secagg.hashing import labelled_hash
from protocol.secagg.sharing import PRIME

_PREFIX = b"concause/1/"
_SECRET_BYTES = 32
_COEFFICIENT_BYTES = 48  # 128 bits above the prime: reduction is 2^-127 from uniform
_CURVE_PRIME = 2**255 - 19
# The coordinates below the prime of all points whose order divides 8, on the curve and its twist:
# of order 2; of order 4, two; of order 8, two (Bernstein, "Curve25519", on small subgroups).
_LOW_ORDER = frozenset(
    (
        0,
        1,
        _CURVE_PRIME - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    )
)


@dataclass(frozen=True, slots=True)
class RoundSecrets:
    """What a site keeps to itself in one round, all expanded from its entropy.

    Attributes:
        mask_seed: expands to the private half of the mask key; shared, revealed if the
            site drops out.
        self_mask: expands to the key of the site's own mask ("b" in the literature);
            shared, revealed if the site survives.
        share_key: private half of the key that seals shares; never shared.
        dealing_key: expands to the sharing polynomials; never shared.
    """

    mask_seed: bytes = field(repr=False)
    self_mask: bytes = field(repr=False)
    share_key: bytes = field(repr=False)
    dealing_key: bytes = field(repr=False)


def expand(
    secret: bytes, session: SessionId, label: str, context: bytes = b"", length: int = _SECRET_BYTES
) -> bytes:
    """Return HKDF-SHA256(secret, salt=session, info="concause/1/" || label || 0x00 || context)."""
    info = _PREFIX + label.encode("ascii") + b"\x00" + context
    return HKDF(SHA256(), length, salt=session, info=info).derive(secret)


def round_secrets(entropy: bytes, session: SessionId) -> RoundSecrets:
    """Return the secrets of one round from 32 fresh random bytes."""
    return RoundSecrets(
        expand(entropy, session, "mask-seed"),
        expand(entropy, session, "self-mask"),
        expand(entropy, session, "share-key"),
        expand(entropy, session, "dealing-key"),
    )


def coefficients(dealing_key: bytes, session: SessionId, label: str, count: int) -> tuple[int, ...]:
    """Return `count` field elements for the sharing polynomial called `label`."""
    wide = (
        expand(dealing_key, session, label, index.to_bytes(2, "big"), _COEFFICIENT_BYTES)
        for index in range(1, count + 1)
    )
    return tuple(int.from_bytes(each, "big") % PRIME for each in wide)


def mask_private_key(mask_seed: bytes, session: SessionId) -> X25519PrivateKey:
    """Return the private mask key: at its site, and at the coordinator once it dropped out."""
    return X25519PrivateKey.from_private_bytes(expand(mask_seed, session, "mask-key"))


def share_private_key(secrets: RoundSecrets) -> X25519PrivateKey:
    """Return the private key that seals and opens shares."""
    return X25519PrivateKey.from_private_bytes(secrets.share_key)


def public_half(key: X25519PrivateKey) -> PublicKey:
    """Return the 32 raw bytes of the public half."""
    return PublicKey(key.public_key().public_bytes_raw())


def pair_mask_key(
    own: X25519PrivateKey, peer: PublicKey, session: SessionId, sites: tuple[SiteId, SiteId]
) -> bytes:
    """Return the AES-256 key of the mask of two sites, the same whichever of them asks."""
    low, high = sorted(sites)
    context = Writer().uint(low, 2).uint(high, 2).finish()
    return expand(exchange(own, peer), session, "pair-mask", context)


def self_mask_key(self_mask: bytes, session: SessionId) -> bytes:
    """Return the AES-256 key of a site's own mask."""
    return expand(self_mask, session, "self-mask-key")


def self_mask_commitment(self_mask: bytes, session: SessionId, site: SiteId) -> Digest:
    """Return the hash that an advert holds of a site's self-mask seed."""
    payload = Writer().fixed(session, 32).uint(site, 2).fixed(self_mask, _SECRET_BYTES)
    return labelled_hash("self-mask", payload.finish())


def sealing_key(
    own: X25519PrivateKey, peer: PublicKey, session: SessionId, context: bytes
) -> bytes:
    """Return the ChaCha20-Poly1305 key of one pair of shares; `context` makes it single-use."""
    return expand(exchange(own, peer), session, "seal", context)


def check_exchange_key(key: PublicKey) -> None:
    """Check that a peer's X25519 key has one encoding and is not of low order.

    Low order would make the exchange a constant that anyone knows (RFC 7748, section 6.1).

    Raises:
        PeerError: it does not hold.
    """
    coordinate = int.from_bytes(key, "little")
    if coordinate >= _CURVE_PRIME:
        raise PeerError("bad-exchange-key", "An X25519 key is not in its one encoding.")
    if coordinate in _LOW_ORDER:
        raise PeerError("bad-exchange-key", "An X25519 key is of low order.")


def exchange(own: X25519PrivateKey, peer: PublicKey) -> bytes:
    """Return the X25519 secret of two keys; precondition: `check_exchange_key(peer)`."""
    return own.exchange(X25519PublicKey.from_public_bytes(peer))
