"""The descriptor: what one round is, signed by the coordinator (SPEC 4.2).

Its hash is the session id, which enters every key, hash and signature of the round:
parties that hold different descriptors share nothing. The deadline is for the shells;
nothing in this package reads a clock.
"""

import hashlib
from dataclasses import dataclass
from enum import IntEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.codec import Reader, Writer
from protocol.errors import PolicyError
from protocol.identifiers import (
    DIGEST_BYTES,
    MAX_SITES,
    SIGNATURE_BYTES,
    Digest,
    SessionId,
    Signature,
)
from protocol.secagg.ring import Layout
from protocol.secagg.roster import Roster
from protocol.signing import sign, verify

PROTOCOL_VERSION = 1
MAX_LENGTH = 2**24  # elements: 128 MiB on the wire, the largest plan that compiles
PURPOSE = "descriptor"


class Aggregation(IntEnum):
    """How the sum is made without showing any site's part of it; the value is on the wire."""

    MASKING = 0
    AGGREGATORS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """The public parameters of one round.

    Attributes:
        counter: strictly increasing over all rounds of a coordinator; 64 bits.
        length: elements of the vector, d.
        narrow: how many of them, the last ones, are modulo 2^32; the others modulo 2^64.
        threshold: shares that recover a secret and signatures that agree on survivors, t.
        n_min: smallest cohort whose sum may be opened.
        colluders: sites that may collude with the coordinator, c.
        deadline: seconds since 1970-01-01 UTC, after which no site answers.
    """

    counter: int
    roster_hash: Digest
    study_hash: Digest
    plan_hash: Digest
    length: int
    threshold: int
    n_min: int
    colluders: int
    deadline: int
    narrow: int = 0
    aggregation: Aggregation = Aggregation.MASKING
    protocol_version: int = PROTOCOL_VERSION

    @property
    def session(self) -> SessionId:
        """Return the session id, sid in SPEC 4: the SHA-256 of the encoding."""
        return SessionId(hashlib.sha256(self.encode()).digest())

    @property
    def layout(self) -> Layout:
        """Return how the vector lies on the wire."""
        return Layout(self.length, self.narrow)

    @property
    def smallest_cohort(self) -> int:
        """Return the size below which no list of sites is accepted at any step.

        max(t, n_min); t where aggregators add the noise of the sites that are missing (SPEC 4.9).
        """
        if self.aggregation is Aggregation.AGGREGATORS:
            return self.threshold
        return max(self.threshold, self.n_min)

    def encode(self) -> bytes:
        """Return the 129 bytes of SPEC 4.2."""
        writer = Writer().uint(self.protocol_version, 2).uint(self.counter, 8)
        for part in (self.roster_hash, self.study_hash, self.plan_hash):
            writer.fixed(part, DIGEST_BYTES)
        writer.uint(self.length, 4).uint(self.narrow, 4)
        writer.uint(self.threshold, 2).uint(self.n_min, 2).uint(self.colluders, 2)
        return writer.uint(self.deadline, 8).uint(self.aggregation, 1).finish()

    @classmethod
    def read(cls, reader: Reader) -> "Descriptor":
        """Take a descriptor off a message.

        Raises:
            PeerError: too short, or a field is above its bound.
        """
        version, counter = reader.uint(2), reader.uint(8)
        roster_hash, study_hash, plan_hash = (Digest(reader.fixed(32)) for _ in range(3))
        length = reader.uint(4, most=MAX_LENGTH)
        narrow = reader.uint(4, most=length)
        threshold, n_min, colluders = (reader.uint(2, most=MAX_SITES) for _ in range(3))
        return cls(
            protocol_version=version,
            counter=counter,
            roster_hash=roster_hash,
            study_hash=study_hash,
            plan_hash=plan_hash,
            length=length,
            narrow=narrow,
            threshold=threshold,
            n_min=n_min,
            colluders=colluders,
            deadline=reader.uint(8),
            aggregation=Aggregation(reader.uint(1, most=max(Aggregation))),
        )


@dataclass(frozen=True, slots=True)
class SignedDescriptor:
    """A descriptor and the coordinator's signature over its encoding."""

    descriptor: Descriptor
    signature: Signature

    def encode(self) -> bytes:
        """Return descriptor and signature, 193 bytes."""
        return self.descriptor.encode() + self.signature

    @classmethod
    def read(cls, reader: Reader) -> "SignedDescriptor":
        """Take a signed descriptor off a message; raises PeerError as `Descriptor.read`."""
        return cls(Descriptor.read(reader), Signature(reader.fixed(SIGNATURE_BYTES)))

    @classmethod
    def decode(cls, document: bytes) -> "SignedDescriptor":
        """Return the signed descriptor of `encode`.

        Raises:
            PeerError: the bytes are not exactly one.
        """
        reader = Reader(document)
        signed = cls.read(reader)
        reader.finish()
        return signed

    def verify(self, roster: Roster) -> None:
        """Check the signature against the coordinator's pinned key.

        Raises:
            PeerError: it does not hold.
        """
        verify(roster.coordinator, PURPOSE, self.descriptor.encode(), self.signature)


def sign_descriptor(descriptor: Descriptor, key: Ed25519PrivateKey) -> SignedDescriptor:
    """Return the descriptor signed with the coordinator's key."""
    return SignedDescriptor(descriptor, sign(key, PURPOSE, descriptor.encode()))


@dataclass(frozen=True, slots=True)
class RoundTerms:
    """What a site expects of a round, from its own approved study and pinned roster."""

    roster_hash: Digest
    study_hash: Digest
    plan_hash: Digest
    layout: Layout
    threshold: int
    n_min: int
    colluders: int
    aggregation: Aggregation = Aggregation.MASKING


def check_descriptor(descriptor: Descriptor, roster: Roster, terms: RoundTerms) -> None:
    """Check a descriptor against what the site approved; stricter cohort rules are welcome.

    Raises:
        PolicyError: with one code for each way in which they can differ.
    """
    _check_version(descriptor)
    _check_same(descriptor, roster, terms)
    _check_at_least(descriptor, terms)
    check_rules(descriptor, roster)


def check_rules(descriptor: Descriptor, roster: Roster) -> None:
    """Check what every round must satisfy: version, roster, 2t > n + c and t <= n_min <= n.

    Where aggregators add up, the roster names them.

    2t > n + c lets only one survivor set be agreed: two sets with t signatures each share
    more than c signers, so an honest site would have signed both, and none does.

    Raises:
        PolicyError: it does not.
    """
    _check_version(descriptor)
    sites, t = len(roster.sites), descriptor.threshold
    if descriptor.roster_hash != roster.hash:
        _refuse("other-roster", "The round names another roster than the one pinned here.")
    if 2 * t <= sites + descriptor.colluders:
        _refuse("unsafe-threshold", "Expected 2t > n + c.", "Raise the study's threshold.")
    if not t <= descriptor.n_min <= sites:
        _refuse("unsafe-cohort", "Expected t <= n_min <= n.", "Mend the study's cohort rule.")
    if descriptor.aggregation is Aggregation.AGGREGATORS and not roster.aggregators:
        _refuse(
            "no-aggregators",
            "The round is for aggregators, and the roster names none.",
            'Enrol two or three, or choose aggregation = "masking" in the study.',
        )


def _check_version(descriptor: Descriptor) -> None:
    if descriptor.protocol_version != PROTOCOL_VERSION:
        _refuse("unsupported-version", "Expected protocol version 1.", "Install one release.")


def _check_same(descriptor: Descriptor, roster: Roster, terms: RoundTerms) -> None:
    if not descriptor.roster_hash == roster.hash == terms.roster_hash:
        _refuse("other-roster", "The round names another roster than the one pinned here.")
    if descriptor.study_hash != terms.study_hash:
        _refuse("other-study", "The round is for another study than the one approved here.")
    if descriptor.plan_hash != terms.plan_hash:
        _refuse("other-plan", "The round has another statistics plan than the study compiles to.")
    if descriptor.length != terms.layout.length:
        _refuse("other-length", "The round has another vector length than the plan.")
    if descriptor.layout != terms.layout:
        _refuse("other-widths", "The round has elements of other widths than the plan.")
    if descriptor.aggregation != terms.aggregation:
        _refuse("other-aggregation", "The round adds up in another way than the study says.")


def _check_at_least(descriptor: Descriptor, terms: RoundTerms) -> None:
    if descriptor.n_min < terms.n_min:
        _refuse("cohort-below-policy", "The round allows a smaller cohort than the study.")
    if descriptor.threshold < terms.threshold:
        _refuse("threshold-below-policy", "The round has a lower threshold than the study.")
    if descriptor.colluders < terms.colluders:
        _refuse("colluders-below-policy", "The round tolerates fewer colluders than the study.")


def _refuse(code: str, cause: str, remedy: str = "Ask the coordinator to issue it anew.") -> None:
    raise PolicyError(code, cause, remedy)
