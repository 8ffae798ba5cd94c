"""The messages of a round, as values and as bytes (SPEC 4.7).

A message opens with one type byte and the session id. A signed message carries every
hash that its signature is about, so it can be verified alone; whether those hashes are
the right ones is for the machines to say. Decoding checks form only: lengths, bounds,
no trailing bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias, TypeVar

from protocol.codec import Reader, Writer
from protocol.errors import PeerError
from protocol.identifiers import (
    DIGEST_BYTES,
    MAX_SITES,
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    Digest,
    PublicKey,
    SessionId,
    Signature,
    SiteId,
)
from protocol.secagg.descriptor import MAX_LENGTH, SignedDescriptor
from protocol.secagg.hashing import labelled_hash
from protocol.secagg.ring import ELEMENT_BYTES
from protocol.secagg.sharing import SHARE_BYTES

SEALED_BYTES = 2 * SHARE_BYTES + 16  # two shares and the tag of ChaCha20-Poly1305
MAX_VECTOR_BYTES = MAX_LENGTH * ELEMENT_BYTES


@dataclass(frozen=True, slots=True)
class Invitation:
    """R0, coordinator to site: the round."""

    signed: SignedDescriptor
    type_byte: ClassVar[int] = 0x01

    @property
    def session(self) -> SessionId:
        """Return the session id."""
        return self.signed.descriptor.session

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        encoded = self.signed.encode()
        writer.fixed(encoded, len(encoded))

    @classmethod
    def read(cls, reader: Reader) -> "Invitation":
        """Take the fields off a message."""
        return cls(SignedDescriptor.read(reader))


@dataclass(frozen=True, slots=True)
class Advert:
    """R0, site to coordinator: the site's keys for this round.

    Attributes:
        mask_key: X25519, for the pairwise masks.
        share_key: X25519, for sealing shares; never the same as `mask_key`.
        self_mask_commitment: hash of the seed of the site's own mask.
    """

    session: SessionId
    site: SiteId
    mask_key: PublicKey
    share_key: PublicKey
    self_mask_commitment: Digest
    signature: Signature = field(default=Signature(b""), repr=False)
    type_byte: ClassVar[int] = 0x11
    purpose: ClassVar[str] = "advert"

    @property
    def payload(self) -> bytes:
        """Return what the signature covers."""
        writer = Writer().fixed(self.session, DIGEST_BYTES).uint(self.site, 2)
        writer.fixed(self.mask_key, PUBLIC_KEY_BYTES).fixed(self.share_key, PUBLIC_KEY_BYTES)
        return writer.fixed(self.self_mask_commitment, DIGEST_BYTES).finish()

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        _write_signed(writer, self.payload, self.signature)

    @classmethod
    def read(cls, reader: Reader) -> "Advert":
        """Take the fields off a message."""
        return cls(
            _session(reader),
            _site(reader),
            PublicKey(reader.fixed(PUBLIC_KEY_BYTES)),
            PublicKey(reader.fixed(PUBLIC_KEY_BYTES)),
            _digest(reader),
            _signature(reader),
        )


@dataclass(frozen=True, slots=True)
class Adverts:
    """R1, coordinator to site: every advert of the round, ascending by site: U1."""

    session: SessionId
    adverts: tuple[Advert, ...]
    type_byte: ClassVar[int] = 0x02

    @property
    def hash(self) -> Digest:
        """Return h1 of SPEC 4.6: what every later signature of the round is bound to."""
        writer = Writer()
        self.write(writer)
        return labelled_hash("adverts", writer.finish())

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        writer.fixed(self.session, DIGEST_BYTES).uint(len(self.adverts), 2)
        for advert in self.adverts:
            advert.write(writer)

    @classmethod
    def read(cls, reader: Reader) -> "Adverts":
        """Take the fields off a message."""
        return cls(_session(reader), tuple(Advert.read(reader) for _ in _count(reader)))


@dataclass(frozen=True, slots=True)
class SealedPair:
    """What one dealer gives one receiver: two shares under a seal, a commitment to each."""

    receiver: SiteId
    self_mask_commitment: Digest
    mask_seed_commitment: Digest
    sealed: bytes = field(repr=False)

    @property
    def leaf(self) -> Digest:
        """Return the hash under which the dealer signs this pair."""
        writer = Writer()
        self.write(writer)
        return labelled_hash("sealed-pair", writer.finish())

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        writer.uint(self.receiver, 2)
        writer.fixed(self.self_mask_commitment, DIGEST_BYTES)
        writer.fixed(self.mask_seed_commitment, DIGEST_BYTES)
        writer.fixed(self.sealed, SEALED_BYTES)

    @classmethod
    def read(cls, reader: Reader) -> "SealedPair":
        """Take the fields off a message."""
        return cls(_site(reader), _digest(reader), _digest(reader), reader.fixed(SEALED_BYTES))


@dataclass(frozen=True, slots=True)
class Shares:
    """R1, site to coordinator: its shares for every site of U1 (itself too), ascending."""

    session: SessionId
    site: SiteId
    adverts_hash: Digest
    pairs: tuple[SealedPair, ...]
    signature: Signature = field(default=Signature(b""), repr=False)
    type_byte: ClassVar[int] = 0x12
    purpose: ClassVar[str] = "shares"

    @property
    def leaves(self) -> tuple[Digest, ...]:
        """Return the hash of each pair."""
        return tuple(pair.leaf for pair in self.pairs)

    @property
    def payload(self) -> bytes:
        """Return what the signature covers."""
        return shares_payload(self.session, self.site, self.adverts_hash, self.leaves)

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        writer.fixed(self.session, DIGEST_BYTES).uint(self.site, 2)
        writer.fixed(self.adverts_hash, DIGEST_BYTES).uint(len(self.pairs), 2)
        for pair in self.pairs:
            pair.write(writer)
        writer.fixed(self.signature, SIGNATURE_BYTES)

    @classmethod
    def read(cls, reader: Reader) -> "Shares":
        """Take the fields off a message."""
        session, site, adverts_hash = _session(reader), _site(reader), _digest(reader)
        pairs = tuple(SealedPair.read(reader) for _ in _count(reader))
        return cls(session, site, adverts_hash, pairs, _signature(reader))


@dataclass(frozen=True, slots=True)
class Delivery:
    """One dealer's pair for the receiver, and the leaves that the dealer signed."""

    dealer: SiteId
    pair: SealedPair
    leaves: tuple[Digest, ...]
    signature: Signature = field(repr=False)

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        writer.uint(self.dealer, 2)
        self.pair.write(writer)
        writer.uint(len(self.leaves), 2)
        for leaf in self.leaves:
            writer.fixed(leaf, DIGEST_BYTES)
        writer.fixed(self.signature, SIGNATURE_BYTES)

    @classmethod
    def read(cls, reader: Reader) -> "Delivery":
        """Take the fields off a message."""
        dealer, pair = _site(reader), SealedPair.read(reader)
        leaves = tuple(_digest(reader) for _ in _count(reader))
        return cls(dealer, pair, leaves, _signature(reader))


@dataclass(frozen=True, slots=True)
class Deliveries:
    """R2, coordinator to site: the shares for it, ascending by dealer; the dealers are U2."""

    session: SessionId
    deliveries: tuple[Delivery, ...]
    type_byte: ClassVar[int] = 0x03

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        writer.fixed(self.session, DIGEST_BYTES).uint(len(self.deliveries), 2)
        for delivery in self.deliveries:
            delivery.write(writer)

    @classmethod
    def read(cls, reader: Reader) -> "Deliveries":
        """Take the fields off a message."""
        return cls(_session(reader), tuple(Delivery.read(reader) for _ in _count(reader)))


@dataclass(frozen=True, slots=True)
class MaskedVector:
    """R2, site to coordinator: its vector plus masks, d little-endian 64-bit residues."""

    session: SessionId
    site: SiteId
    adverts_hash: Digest
    dealers_hash: Digest
    vector: bytes = field(repr=False)
    signature: Signature = field(default=Signature(b""), repr=False)
    type_byte: ClassVar[int] = 0x13
    purpose: ClassVar[str] = "masked-vector"

    @property
    def payload(self) -> bytes:
        """Return what the signature covers."""
        writer = Writer().fixed(self.session, DIGEST_BYTES).uint(self.site, 2)
        writer.fixed(self.adverts_hash, DIGEST_BYTES).fixed(self.dealers_hash, DIGEST_BYTES)
        return writer.fixed(labelled_hash("vector", self.vector), DIGEST_BYTES).finish()

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        writer.fixed(self.session, DIGEST_BYTES).uint(self.site, 2)
        writer.fixed(self.adverts_hash, DIGEST_BYTES).fixed(self.dealers_hash, DIGEST_BYTES)
        writer.opaque(self.vector).fixed(self.signature, SIGNATURE_BYTES)

    @classmethod
    def read(cls, reader: Reader) -> "MaskedVector":
        """Take the fields off a message."""
        session, site = _session(reader), _site(reader)
        adverts_hash, dealers_hash = _digest(reader), _digest(reader)
        vector = reader.opaque(MAX_VECTOR_BYTES)
        return cls(session, site, adverts_hash, dealers_hash, vector, _signature(reader))


@dataclass(frozen=True, slots=True)
class Survivors:
    """R3, coordinator to site: the sites whose vectors are in the sum, ascending: U3."""

    session: SessionId
    sites: tuple[SiteId, ...]
    type_byte: ClassVar[int] = 0x04

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        writer.fixed(self.session, DIGEST_BYTES).uint(len(self.sites), 2)
        for site in self.sites:
            writer.uint(site, 2)

    @classmethod
    def read(cls, reader: Reader) -> "Survivors":
        """Take the fields off a message."""
        return cls(_session(reader), tuple(_site(reader) for _ in _count(reader)))


@dataclass(frozen=True, slots=True)
class Agreement:
    """R3, site to coordinator: the one survivor set that it will ever help to open."""

    session: SessionId
    site: SiteId
    adverts_hash: Digest
    dealers_hash: Digest
    survivors_hash: Digest
    signature: Signature = field(default=Signature(b""), repr=False)
    type_byte: ClassVar[int] = 0x14
    purpose: ClassVar[str] = "agreement"

    @property
    def sets(self) -> tuple[Digest, Digest, Digest]:
        """Return (h1, H(U2), H(U3)): what is agreed on."""
        return self.adverts_hash, self.dealers_hash, self.survivors_hash

    @property
    def payload(self) -> bytes:
        """Return what the signature covers."""
        writer = Writer().fixed(self.session, DIGEST_BYTES).uint(self.site, 2)
        for part in self.sets:
            writer.fixed(part, DIGEST_BYTES)
        return writer.finish()

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        _write_signed(writer, self.payload, self.signature)

    @classmethod
    def read(cls, reader: Reader) -> "Agreement":
        """Take the fields off a message."""
        session, site = _session(reader), _site(reader)
        return cls(
            session, site, _digest(reader), _digest(reader), _digest(reader), _signature(reader)
        )


@dataclass(frozen=True, slots=True)
class Quorum:
    """R4, coordinator to site: at least t agreements on the same sets, ascending by site."""

    session: SessionId
    agreements: tuple[Agreement, ...]
    type_byte: ClassVar[int] = 0x05

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        writer.fixed(self.session, DIGEST_BYTES).uint(len(self.agreements), 2)
        for agreement in self.agreements:
            agreement.write(writer)

    @classmethod
    def read(cls, reader: Reader) -> "Quorum":
        """Take the fields off a message."""
        return cls(_session(reader), tuple(Agreement.read(reader) for _ in _count(reader)))


@dataclass(frozen=True, slots=True)
class Reveal:
    """R4, site to coordinator: one share of every dealer of U2, ascending by dealer.

    Of the self mask for a survivor, of the mask seed for the others; never both.
    """

    session: SessionId
    site: SiteId
    survivors_hash: Digest
    shares: tuple[bytes, ...] = field(repr=False)
    signature: Signature = field(default=Signature(b""), repr=False)
    type_byte: ClassVar[int] = 0x15
    purpose: ClassVar[str] = "reveal"

    @property
    def payload(self) -> bytes:
        """Return what the signature covers."""
        writer = Writer().fixed(self.session, DIGEST_BYTES).uint(self.site, 2)
        writer.fixed(self.survivors_hash, DIGEST_BYTES).uint(len(self.shares), 2)
        for share in self.shares:
            writer.fixed(share, SHARE_BYTES)
        return writer.finish()

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        _write_signed(writer, self.payload, self.signature)

    @classmethod
    def read(cls, reader: Reader) -> "Reveal":
        """Take the fields off a message."""
        session, site, survivors_hash = _session(reader), _site(reader), _digest(reader)
        shares = tuple(reader.fixed(SHARE_BYTES) for _ in _count(reader))
        return cls(session, site, survivors_hash, shares, _signature(reader))


CoordinatorMessage: TypeAlias = Invitation | Adverts | Deliveries | Survivors | Quorum
SiteMessage: TypeAlias = Advert | Shares | MaskedVector | Agreement | Reveal
Message: TypeAlias = CoordinatorMessage | SiteMessage
_Kind = TypeVar("_Kind")

COORDINATOR_MESSAGES: tuple[type[CoordinatorMessage], ...] = (
    *(Invitation, Adverts, Deliveries, Survivors, Quorum),
)
SITE_MESSAGES: tuple[type[SiteMessage], ...] = (Advert, Shares, MaskedVector, Agreement, Reveal)
_REQUESTS: Mapping[int, Callable[[Reader], CoordinatorMessage]] = {
    kind.type_byte: kind.read for kind in COORDINATOR_MESSAGES
}
_ANSWERS: Mapping[int, Callable[[Reader], SiteMessage]] = {
    kind.type_byte: kind.read for kind in SITE_MESSAGES
}


def shares_payload(
    session: SessionId, dealer: SiteId, adverts_hash: Digest, leaves: Sequence[Digest]
) -> bytes:
    """Return what the signature of `Shares` covers, from the leaves that a receiver has."""
    writer = Writer().fixed(session, DIGEST_BYTES).uint(dealer, 2)
    writer.fixed(adverts_hash, DIGEST_BYTES)
    return writer.fixed(labelled_hash("leaves", b"".join(leaves)), DIGEST_BYTES).finish()


def encode_message(message: Message) -> bytes:
    """Return the one encoding of a message."""
    writer = Writer().uint(message.type_byte, 1)
    message.write(writer)
    return writer.finish()


def decode_request(encoded: bytes) -> CoordinatorMessage:
    """Return a message of the coordinator.

    Raises:
        PeerError: the bytes are not exactly one.
    """
    return _decode(encoded, _REQUESTS)


def decode_answer(encoded: bytes) -> SiteMessage:
    """Return a message of a site.

    Raises:
        PeerError: the bytes are not exactly one.
    """
    return _decode(encoded, _ANSWERS)


def decode_message(encoded: bytes) -> Message:
    """Return a message of either side.

    Raises:
        PeerError: the bytes are not exactly one.
    """
    return _decode(encoded, {**_REQUESTS, **_ANSWERS})


def _decode(encoded: bytes, readers: Mapping[int, Callable[[Reader], _Kind]]) -> _Kind:
    reader = Reader(encoded)
    read = readers.get(reader.uint(1))
    if read is None:
        raise PeerError("unknown-message", "The first byte is not the type of a message expected.")
    message = read(reader)
    reader.finish()
    return message


def _write_signed(writer: Writer, payload: bytes, signature: Signature) -> None:
    writer.fixed(payload, len(payload)).fixed(signature, SIGNATURE_BYTES)


def _session(reader: Reader) -> SessionId:
    return SessionId(reader.fixed(DIGEST_BYTES))


def _site(reader: Reader) -> SiteId:
    return SiteId(reader.uint(2, most=MAX_SITES - 1))


def _digest(reader: Reader) -> Digest:
    return Digest(reader.fixed(DIGEST_BYTES))


def _signature(reader: Reader) -> Signature:
    return Signature(reader.fixed(SIGNATURE_BYTES))


def _count(reader: Reader) -> range:
    return range(reader.uint(2, most=MAX_SITES))
