"""How a site joins a round, whichever way its sum is made: invitation, advert, list of adverts."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from protocol.errors import PeerError, UsageError
from protocol.identifiers import SiteId
from protocol.secagg.cohort import (
    check_distinct_keys,
    check_members,
    check_session,
    sign_message,
    verify_message,
)
from protocol.secagg.descriptor import check_descriptor
from protocol.secagg.keys import (
    RoundSecrets,
    check_exchange_key,
    mask_private_key,
    public_half,
    round_secrets,
    self_mask_commitment,
    share_private_key,
)
from protocol.secagg.messages import Advert, Adverts, Invitation
from protocol.secagg.site_states import AwaitingInvitation, Standing
from protocol.signing import public_key


class Joined(NamedTuple):
    """What a site knows once its advert has left it."""

    standing: Standing
    secrets: RoundSecrets
    advert: Advert


def join_round(state: AwaitingInvitation, message: Invitation) -> Joined:
    """Return the site's standing in the round it is invited to, with its signed advert.

    Raises:
        PeerError: the descriptor is not signed by the roster's coordinator.
        PolicyError: it is not what this site approved.
        UsageError: the shell gave another site's key.
    """
    standing = _standing(state, message)
    secrets = round_secrets(state.entropy, standing.session)
    advert = Advert(
        standing.session,
        standing.site,
        public_half(mask_private_key(secrets.mask_seed, standing.session)),
        public_half(share_private_key(secrets)),
        self_mask_commitment(secrets.self_mask, standing.session, standing.site),
    )
    return Joined(standing, secrets, sign_message(advert, standing.key))


def check_adverts(standing: Standing, own: Advert, message: Adverts) -> None:
    """Check U1: within the roster, large enough, this site's own advert in it unchanged.

    Raises:
        PeerError: it is not, or an advert is not what its site could have signed.
    """
    check_session(message, standing.session)
    # SPEC 4.6.2: U1 within the roster, large enough, this site's own advert in it unchanged.
    check_list(standing, [advert.site for advert in message.adverts], standing.roster.ids)
    if own not in message.adverts:
        raise PeerError("own-advert-altered", "The adverts hold another one under this site.")
    for advert in message.adverts:
        verify_message(advert, standing.session, standing.roster)
        check_exchange_key(advert.mask_key)
        check_exchange_key(advert.share_key)
    check_distinct_keys(message.adverts)


def check_list(standing: Standing, sites: Sequence[SiteId], within: Collection[SiteId]) -> None:
    """Check a list of sites that the coordinator shows; raises as `check_members`."""
    check_members(sites, within, standing.site, standing.descriptor.smallest_cohort)


def _standing(state: AwaitingInvitation, message: Invitation) -> Standing:
    sites = state.roster.sites
    if state.site >= len(sites) or sites[state.site].key != public_key(state.key):
        raise UsageError(
            "not-in-roster",
            "The roster has another key in this site's place.",
            "Compare the public key of this site with the roster.",
        )
    message.signed.verify(state.roster)
    descriptor = message.signed.descriptor
    check_descriptor(descriptor, state.roster, state.terms)
    return Standing(state.site, state.key, state.roster, descriptor, descriptor.session)
