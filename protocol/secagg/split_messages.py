"""The two messages that only rounds with aggregators have, as values and as bytes (SPEC 4.9)."""

from collections.abc import Mapping
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
from protocol.secagg.descriptor import MAX_LENGTH
from protocol.secagg.fields import read_digest, read_session, read_signature, read_site
from protocol.secagg.hashing import labelled_hash
from protocol.secagg.ring import WIDE_BYTES
from protocol.secagg.roster import AGGREGATORS
from protocol.secagg.split import SEED_BYTES, TAG_BYTES, SealedShares

SEALED_SEED_BYTES = SEED_BYTES + TAG_BYTES
MAX_SEALED_BYTES = MAX_LENGTH * WIDE_BYTES + TAG_BYTES
MAX_AGGREGATORS = max(AGGREGATORS)


@dataclass(frozen=True, slots=True)
class SplitVector:
    """Site to coordinator: its vector in shares, each sealed to one aggregator."""

    session: SessionId
    site: SiteId
    adverts_hash: Digest
    shares: SealedShares = field(repr=False)
    signature: Signature = field(default=Signature(b""), repr=False)
    type_byte: ClassVar[int] = 0x16
    purpose: ClassVar[str] = "split-vector"

    @property
    def payload(self) -> bytes:
        """Return what the signature covers."""
        writer = Writer().fixed(self.session, DIGEST_BYTES).uint(self.site, 2)
        writer.fixed(self.adverts_hash, DIGEST_BYTES)
        writer.fixed(labelled_hash("split-vector", self.shares.vector), DIGEST_BYTES)
        _write_seeds(writer, self.shares.seeds)
        return writer.finish()

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        writer.fixed(self.session, DIGEST_BYTES).uint(self.site, 2)
        writer.fixed(self.adverts_hash, DIGEST_BYTES).opaque(self.shares.vector)
        _write_seeds(writer, self.shares.seeds)
        writer.fixed(self.signature, SIGNATURE_BYTES)

    @classmethod
    def read(cls, reader: Reader) -> "SplitVector":
        """Take the fields off a message."""
        session, site, adverts_hash = read_session(reader), read_site(reader), read_digest(reader)
        vector = reader.opaque(MAX_SEALED_BYTES)
        count = reader.uint(1, most=MAX_AGGREGATORS - 1)
        seeds = tuple(reader.fixed(SEALED_SEED_BYTES) for _ in range(count))
        shares = SealedShares(vector, seeds)
        return cls(session, site, adverts_hash, shares, read_signature(reader))


@dataclass(frozen=True, slots=True)
class Opened:
    """Aggregator to coordinator: the sum that all of them opened together.

    Attributes:
        cohort_hash: which sites' shares are in it, to the byte (`cohort_hash`).
        added: noise shares that every aggregator added, for sites that are missing.
        vector: the sum, as SPEC 4.5 lays it out.
    """

    session: SessionId
    aggregator: int
    cohort_hash: Digest
    added: int
    vector: bytes = field(repr=False)
    signature: Signature = field(default=Signature(b""), repr=False)
    type_byte: ClassVar[int] = 0x31
    purpose: ClassVar[str] = "opened"

    @property
    def payload(self) -> bytes:
        """Return what the signature covers."""
        writer = self._begin(Writer())
        return writer.fixed(labelled_hash("opened", self.vector), DIGEST_BYTES).finish()

    def write(self, writer: Writer) -> None:
        """Append the fields."""
        self._begin(writer).opaque(self.vector).fixed(self.signature, SIGNATURE_BYTES)

    @classmethod
    def read(cls, reader: Reader) -> "Opened":
        """Take the fields off a message."""
        session, aggregator = read_session(reader), reader.uint(1, most=MAX_AGGREGATORS - 1)
        cohort, added = read_digest(reader), reader.uint(2)
        vector = reader.opaque(MAX_LENGTH * WIDE_BYTES)
        return cls(session, aggregator, cohort, added, vector, read_signature(reader))

    def _begin(self, writer: Writer) -> Writer:
        writer.fixed(self.session, DIGEST_BYTES).uint(self.aggregator, 1)
        return writer.fixed(self.cohort_hash, DIGEST_BYTES).uint(self.added, 2)


def cohort_hash(payloads: Mapping[SiteId, bytes]) -> Digest:
    """Return the hash of what each site of a cohort signed, ascending by site."""
    hashes = (labelled_hash("split", payloads[site]) for site in sorted(payloads))
    return labelled_hash("split-cohort", b"".join(hashes))


def _write_seeds(writer: Writer, seeds: tuple[bytes, ...]) -> None:
    writer.uint(len(seeds), 1)
    for seed in seeds:
        writer.fixed(seed, SEALED_SEED_BYTES)
