"""What the coordinator knows at each step of a round, and the events that move it (SPEC 4.6).

The coordinator holds no secret: every field may be shown, and the whole state follows
from the transcript.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from protocol.identifiers import Digest, SessionId, SiteId
from protocol.secagg.descriptor import Descriptor, SignedDescriptor, check_rules
from protocol.secagg.messages import (
    Advert,
    Adverts,
    Agreement,
    MaskedVector,
    Opened,
    Reveal,
    Shares,
    SiteMessage,
)
from protocol.secagg.ring import Packed, Residues
from protocol.secagg.roster import Roster


@dataclass(frozen=True, slots=True)
class StepClosed:
    """The driver stops waiting in this step: who has not answered is out of what follows."""

    type_byte: ClassVar[int] = 0x20


@dataclass(frozen=True, slots=True)
class Opening:
    """The round as issued; the same in every state."""

    signed: SignedDescriptor
    roster: Roster = field(repr=False)
    session: SessionId

    @property
    def descriptor(self) -> Descriptor:
        """Return the descriptor."""
        return self.signed.descriptor


def opening_of(signed: SignedDescriptor, roster: Roster) -> Opening:
    """Return the round of a descriptor.

    Raises:
        PeerError: it is not signed by the roster's coordinator.
        PolicyError: it is for another roster, or breaks a rule of every round.
    """
    signed.verify(roster)
    check_rules(signed.descriptor, roster)
    return Opening(signed, roster, signed.descriptor.session)


@dataclass(frozen=True, slots=True)
class Dealt:
    """The outcome of the first two steps: keys and shares of the round.

    `shares` is empty until U2 is closed; then its keys are U2, ascending.
    """

    adverts: Adverts = field(repr=False)
    adverts_hash: Digest
    shares: Mapping[SiteId, Shares] = field(repr=False)

    @property
    def advertised(self) -> tuple[SiteId, ...]:
        """Return U1, ascending."""
        return tuple(advert.site for advert in self.adverts.adverts)

    @property
    def dealers(self) -> tuple[SiteId, ...]:
        """Return the sites whose shares are in, ascending."""
        return tuple(sorted(self.shares))


@dataclass(frozen=True, slots=True, eq=False)
class MaskedSum:
    """The sum of the masked vectors so far, and what is needed to know a repeated one."""

    total: Packed = field(repr=False)
    payloads: Mapping[SiteId, bytes] = field(repr=False)

    @property
    def sites(self) -> tuple[SiteId, ...]:
        """Return the sites whose vectors are in the sum, ascending."""
        return tuple(sorted(self.payloads))


@dataclass(frozen=True, slots=True)
class CollectingAdverts:
    """R0: the invitation is out."""

    opening: Opening
    adverts: Mapping[SiteId, Advert] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CollectingShares:
    """R1: U1 is fixed, its adverts are out."""

    opening: Opening
    dealt: Dealt


@dataclass(frozen=True, slots=True)
class CollectingVectors:
    """R2: U2 is fixed, its shares are delivered."""

    opening: Opening
    dealt: Dealt
    masked: MaskedSum


@dataclass(frozen=True, slots=True)
class CollectingAgreements:
    """R3: U3 is fixed and announced."""

    opening: Opening
    dealt: Dealt
    masked: MaskedSum
    agreements: Mapping[SiteId, Agreement] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CollectingReveals:
    """R4: at least t sites agree on U3; shares of the masks to remove come in."""

    opening: Opening
    dealt: Dealt
    masked: MaskedSum
    agreements: Mapping[SiteId, Agreement] = field(repr=False)
    reveals: Mapping[SiteId, Reveal] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Complete:
    """The sum over exactly the cohort.

    Attributes:
        sum: residues modulo 2^64, shape (d,).
        cohort: U3, ascending; the sites whose vectors are in the sum.
        dropped: every other site of the roster, ascending.
        noise_shares: how many sites' worth of noise is in the sum.
    """

    opening: Opening
    sum: Residues = field(repr=False)
    cohort: tuple[SiteId, ...]
    dropped: tuple[SiteId, ...]
    noise_shares: int


CoordinatorState: TypeAlias = (
    CollectingAdverts
    | CollectingShares
    | CollectingVectors
    | CollectingAgreements
    | CollectingReveals
    | Complete
)
Event: TypeAlias = SiteMessage | Opened | StepClosed

LEGAL: Mapping[tuple[type[CoordinatorState], type[Event]], type[CoordinatorState]] = {
    (CollectingAdverts, Advert): CollectingAdverts,
    (CollectingAdverts, StepClosed): CollectingShares,
    (CollectingShares, Shares): CollectingShares,
    (CollectingShares, StepClosed): CollectingVectors,
    (CollectingVectors, MaskedVector): CollectingVectors,
    (CollectingVectors, StepClosed): CollectingAgreements,
    (CollectingAgreements, Agreement): CollectingAgreements,
    (CollectingAgreements, StepClosed): CollectingReveals,
    (CollectingReveals, Reveal): CollectingReveals,
    (CollectingReveals, StepClosed): Complete,
}
