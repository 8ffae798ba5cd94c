"""What a site knows at each step of a round, and the events that move it on (SPEC 4.6).

Each state holds what is known and still needed in it: a secret is in no state after the
one that last uses it. Python cannot wipe memory; dropping the last reference is as far
as this goes, and the keys of a round are worth nothing after it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.identifiers import Digest, SessionId, SiteId
from protocol.secagg.dealing import Dealing, HeldShares
from protocol.secagg.descriptor import Descriptor, RoundTerms
from protocol.secagg.keys import RoundSecrets
from protocol.secagg.masking import MaskKeys
from protocol.secagg.messages import (
    Advert,
    Adverts,
    CoordinatorMessage,
    Deliveries,
    Invitation,
    Quorum,
    Survivors,
)
from protocol.secagg.ring import Residues
from protocol.secagg.roster import Roster


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """The site's own vector, noise included: local input that never travels as it is."""

    vector: Residues = field(repr=False)  # shape (d,)


@dataclass(frozen=True, slots=True)
class Standing:
    """Who this site is in which round; the same in every state after the invitation."""

    site: SiteId
    key: Ed25519PrivateKey = field(repr=False)
    roster: Roster = field(repr=False)
    descriptor: Descriptor
    session: SessionId


@dataclass(frozen=True, slots=True)
class AwaitingInvitation:
    """Nothing has left the site.

    `entropy` is 32 fresh bytes of the operating system, used for this round only; every
    secret of the round comes from it, so the machine itself draws none.
    """

    site: SiteId
    key: Ed25519PrivateKey = field(repr=False)
    roster: Roster = field(repr=False)
    terms: RoundTerms
    entropy: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AwaitingAdverts:
    """The advert has left the site."""

    standing: Standing
    secrets: RoundSecrets = field(repr=False)
    advert: Advert


@dataclass(frozen=True, slots=True)
class AwaitingDeliveries:
    """The site has dealt its shares among the sites of U1."""

    standing: Standing
    secrets: RoundSecrets = field(repr=False)
    dealing: Dealing


@dataclass(frozen=True, slots=True)
class AwaitingContribution:
    """Every share for this site is verified: now the shell charges, measures and adds noise."""

    standing: Standing
    adverts_hash: Digest
    dealers: tuple[SiteId, ...]
    mask_keys: MaskKeys = field(repr=False)
    held: Mapping[SiteId, HeldShares] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AwaitingSurvivors:
    """The masked vector has left the site; the site has agreed to nothing yet."""

    standing: Standing
    adverts_hash: Digest
    dealers: tuple[SiteId, ...]
    held: Mapping[SiteId, HeldShares] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AwaitingQuorum:
    """The site has agreed to one survivor set, and agrees to no other in this session."""

    standing: Standing
    adverts_hash: Digest
    dealers: tuple[SiteId, ...]
    survivors: tuple[SiteId, ...]
    held: Mapping[SiteId, HeldShares] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """The shares are revealed; nothing secret of the round is left."""

    session: SessionId
    site: SiteId
    survivors: tuple[SiteId, ...]


SiteState: TypeAlias = (
    AwaitingInvitation
    | AwaitingAdverts
    | AwaitingDeliveries
    | AwaitingContribution
    | AwaitingSurvivors
    | AwaitingQuorum
    | Finished
)
SiteInput: TypeAlias = CoordinatorMessage | Contribution

LEGAL: Mapping[tuple[type[SiteState], type[SiteInput]], type[SiteState]] = {
    (AwaitingInvitation, Invitation): AwaitingAdverts,
    (AwaitingAdverts, Adverts): AwaitingDeliveries,
    (AwaitingDeliveries, Deliveries): AwaitingContribution,
    (AwaitingContribution, Contribution): AwaitingSurvivors,
    (AwaitingSurvivors, Survivors): AwaitingQuorum,
    (AwaitingQuorum, Quorum): Finished,
}
