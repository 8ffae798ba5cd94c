"""A site's side of a round with aggregators: `advance(state, message)`, as in `site` (SPEC 4.9).

Two answers: the advert, and the vector in sealed shares. The shell charges the budget before the
contribution. No share is ever revealed: who drops out is simply not in the sum.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from protocol.errors import UsageError
from protocol.identifiers import Digest, SessionId, SiteId
from protocol.secagg.cohort import sign_message
from protocol.secagg.joining import check_adverts, join_round
from protocol.secagg.keys import RoundSecrets
from protocol.secagg.messages import Advert, Adverts, Invitation, SiteMessage, SplitVector
from protocol.secagg.ring import pack
from protocol.secagg.site_states import AwaitingInvitation, Contribution, SiteInput, Standing
from protocol.secagg.split import Bound, seal_shares
from protocol.secagg.turns import out_of_turn


@dataclass(frozen=True, slots=True)
class AwaitingSplitInvitation:
    """Nothing has left the site."""

    invited: AwaitingInvitation


@dataclass(frozen=True, slots=True)
class AwaitingParticipants:
    """The advert has left the site."""

    standing: Standing
    secrets: RoundSecrets = field(repr=False)
    advert: Advert


@dataclass(frozen=True, slots=True)
class AwaitingSplit:
    """The participants are known: now the shell charges, measures and adds noise."""

    standing: Standing
    secrets: RoundSecrets = field(repr=False)
    adverts_hash: Digest


@dataclass(frozen=True, slots=True)
class Handed:
    """The shares have left the site; nothing secret of the round is left."""

    session: SessionId
    site: SiteId


SplitState: TypeAlias = AwaitingSplitInvitation | AwaitingParticipants | AwaitingSplit | Handed
_Step: TypeAlias = tuple[SplitState, tuple[SiteMessage, ...]]

LEGAL: Mapping[tuple[type[SplitState], type[SiteInput]], type[SplitState]] = {
    (AwaitingSplitInvitation, Invitation): AwaitingParticipants,
    (AwaitingParticipants, Adverts): AwaitingSplit,
    (AwaitingSplit, Contribution): Handed,
}


def advance(state: SplitState, message: SiteInput) -> _Step:
    """Return the next state, and what to send to the coordinator; `state` itself stays as it was.

    Raises:
        PeerError: code "out-of-turn" if `state` does not await this kind of message;
            another code if the message breaks the protocol.
        PolicyError: the invitation is not what this site approved.
        UsageError: the shell gave another site's key, or a vector of another shape.
    """
    match state, message:
        case AwaitingSplitInvitation(invited), Invitation():
            joined = join_round(invited, message)
            return AwaitingParticipants(*joined), (joined.advert,)
        case AwaitingParticipants(standing, secrets, advert), Adverts():
            check_adverts(standing, advert, message)
            return AwaitingSplit(standing, secrets, message.hash), ()
        case AwaitingSplit(), Contribution():
            return _split(state, message)
        case _:
            raise out_of_turn(LEGAL, state, message)


def _split(state: AwaitingSplit, message: Contribution) -> _Step:
    standing, vector = state.standing, message.vector
    if vector.dtype != "uint64" or vector.shape != (standing.descriptor.length,):
        raise UsageError("vector-shape", "Expected 64-bit residues, one for each cell of the plan.")
    bound = Bound(standing.session, state.adverts_hash, standing.site)
    keys = [aggregator.sealing_key for aggregator in standing.roster.aggregators]
    shares = seal_shares(pack(vector, standing.descriptor.narrow), state.secrets, bound, keys)
    split = SplitVector(standing.session, standing.site, state.adverts_hash, shares)
    return Handed(standing.session, standing.site), (sign_message(split, standing.key),)
