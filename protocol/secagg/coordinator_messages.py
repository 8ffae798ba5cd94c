"""The messages of the coordinator, as values and as bytes (SPEC 4.7).

Only the descriptor is signed by the coordinator: everything else that it sends is a list
of what sites signed, which each site verifies for itself.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from protocol.codec import Reader, Writer
from protocol.identifiers import (
    DIGEST_BYTES,
    SIGNATURE_BYTES,
    Digest,
    SessionId,
    Signature,
    SiteId,
)
from protocol.secagg.descriptor import SignedDescriptor
from protocol.secagg.fields import (
    read_count,
    read_digest,
    read_session,
    read_signature,
    read_site,
)
from protocol.secagg.hashing import labelled_hash
from protocol.secagg.merkle import MAX_PATH
from protocol.secagg.site_messages import Advert, Agreement, SealedPair


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
        return cls(read_session(reader), tuple(Advert.read(reader) for _ in read_count(reader)))


@dataclass(frozen=True, slots=True)
class Delivery:
    """One dealer's pair for the receiver, and the path from it to what the dealer signed."""

    dealer: SiteId
    pair: SealedPair
    path: tuple[Digest, ...]
    signature: Signature = field(repr=False)

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        writer.uint(self.dealer, 2)
        self.pair.write(writer)
        writer.uint(len(self.path), 1)
        for digest in self.path:
            writer.fixed(digest, DIGEST_BYTES)
        writer.fixed(self.signature, SIGNATURE_BYTES)

    @classmethod
    def read(cls, reader: Reader) -> "Delivery":
        """Take the fields off a message."""
        dealer, pair = read_site(reader), SealedPair.read(reader)
        path = tuple(read_digest(reader) for _ in range(reader.uint(1, most=MAX_PATH)))
        return cls(dealer, pair, path, read_signature(reader))


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
        return cls(read_session(reader), tuple(Delivery.read(reader) for _ in read_count(reader)))


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
        return cls(read_session(reader), tuple(read_site(reader) for _ in read_count(reader)))


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
        return cls(read_session(reader), tuple(Agreement.read(reader) for _ in read_count(reader)))
