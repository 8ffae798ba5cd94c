"""The messages of a site, as values and as bytes (SPEC 4.7).

Each is signed, and carries every hash that its signature is about, so it can be verified
alone; whether those hashes are the right ones is for the machines to say.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from protocol.codec import Reader, Writer
from protocol.identifiers import (
    DIGEST_BYTES,
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    Digest,
    PublicKey,
    SessionId,
    Signature,
    SiteId,
)
from protocol.secagg.descriptor import MAX_LENGTH
from protocol.secagg.fields import (
    read_count,
    read_digest,
    read_session,
    read_signature,
    read_site,
)
from protocol.secagg.hashing import labelled_hash
from protocol.secagg.merkle import root_of
from protocol.secagg.ring import WIDE_BYTES
from protocol.secagg.sharing import SHARE_BYTES

SEALED_BYTES = 2 * SHARE_BYTES + 16  # two shares and the tag of ChaCha20-Poly1305
MAX_VECTOR_BYTES = MAX_LENGTH * WIDE_BYTES


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
            read_session(reader),
            read_site(reader),
            PublicKey(reader.fixed(PUBLIC_KEY_BYTES)),
            PublicKey(reader.fixed(PUBLIC_KEY_BYTES)),
            read_digest(reader),
            read_signature(reader),
        )


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
        parts = (self.self_mask_commitment, self.mask_seed_commitment, self.sealed)
        return labelled_hash("sealed-pair", self.receiver.to_bytes(2, "big") + b"".join(parts))

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        writer.uint(self.receiver, 2)
        writer.fixed(self.self_mask_commitment, DIGEST_BYTES)
        writer.fixed(self.mask_seed_commitment, DIGEST_BYTES)
        writer.fixed(self.sealed, SEALED_BYTES)

    @classmethod
    def read(cls, reader: Reader) -> "SealedPair":
        """Take the fields off a message."""
        return cls(
            read_site(reader), read_digest(reader), read_digest(reader), reader.fixed(SEALED_BYTES)
        )


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
        return shares_payload(self.session, self.site, self.adverts_hash, root_of(self.leaves))

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
        session, site, adverts_hash = read_session(reader), read_site(reader), read_digest(reader)
        pairs = tuple(SealedPair.read(reader) for _ in read_count(reader))
        return cls(session, site, adverts_hash, pairs, read_signature(reader))


@dataclass(frozen=True, slots=True)
class MaskedVector:
    """R2, site to coordinator: its vector plus masks, as SPEC 4.5 lays it out."""

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
        session, site = read_session(reader), read_site(reader)
        adverts_hash, dealers_hash = read_digest(reader), read_digest(reader)
        vector = reader.opaque(MAX_VECTOR_BYTES)
        return cls(session, site, adverts_hash, dealers_hash, vector, read_signature(reader))


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
        session, site = read_session(reader), read_site(reader)
        return cls(
            session,
            site,
            read_digest(reader),
            read_digest(reader),
            read_digest(reader),
            read_signature(reader),
        )


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
        session, site, survivors_hash = read_session(reader), read_site(reader), read_digest(reader)
        shares = tuple(reader.fixed(SHARE_BYTES) for _ in read_count(reader))
        return cls(session, site, survivors_hash, shares, read_signature(reader))


def shares_payload(session: SessionId, dealer: SiteId, adverts_hash: Digest, root: Digest) -> bytes:
    """Return what the signature of `Shares` covers; `root` is that of its pairs' leaves."""
    writer = Writer().fixed(session, DIGEST_BYTES).uint(dealer, 2)
    writer.fixed(adverts_hash, DIGEST_BYTES)
    return writer.fixed(root, DIGEST_BYTES).finish()


def _write_signed(writer: Writer, payload: bytes, signature: Signature) -> None:
    writer.fixed(payload, len(payload)).fixed(signature, SIGNATURE_BYTES)
