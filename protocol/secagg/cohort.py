"""Checks that both roles make of lists of sites and of one site's signed message (SPEC 4.6)."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.errors import PeerError
from protocol.identifiers import SessionId, SiteId
from protocol.secagg.keys import check_exchange_key
from protocol.secagg.messages import (
    Advert,
    Agreement,
    CoordinatorMessage,
    MaskedVector,
    Opened,
    Reveal,
    Shares,
    SiteMessage,
    SplitVector,
)
from protocol.secagg.roster import Roster
from protocol.signing import sign, verify

_Signed = TypeVar("_Signed", Advert, Shares, MaskedVector, Agreement, Reveal, SplitVector, Opened)
_Answer = TypeVar("_Answer")


def sign_message(message: _Signed, key: Ed25519PrivateKey) -> _Signed:
    """Return the message with the site's signature over its payload."""
    return replace(message, signature=sign(key, message.purpose, message.payload))


def verify_message(message: SiteMessage, session: SessionId, roster: Roster) -> bytes:
    """Return what a site of the roster signed with the message, for this session.

    Raises:
        PeerError: it did not.
    """
    check_session(message, session)
    if message.site >= len(roster.sites):
        raise PeerError("unknown-site", "The message names a site that is not in the roster.")
    key = roster.sites[message.site].key
    payload = message.payload
    verify(key, message.purpose, payload, message.signature)
    return payload


def check_session(message: SiteMessage | CoordinatorMessage | Opened, session: SessionId) -> None:
    """Check that the message is of this session.

    Raises:
        PeerError: it is of another.
    """
    if message.session != session:
        raise PeerError("other-session", "The message belongs to another round.")


def check_ascending(sites: Sequence[SiteId]) -> None:
    """Check that the list is strictly ascending, hence without repetition.

    Raises:
        PeerError: it is not.
    """
    if any(left >= right for left, right in pairwise(sites)):
        raise PeerError("sites-not-ascending", "Expected each site once, in ascending order.")


def check_members(
    sites: Sequence[SiteId], within: Collection[SiteId], me: SiteId, smallest: int
) -> None:
    """Check a list that the coordinator shows a site: U1, U2 or U3.

    Raises:
        PeerError: not ascending, not `within`, without the site itself, or below `smallest`.
    """
    check_ascending(sites)
    if not set(sites) <= set(within):
        raise PeerError("unknown-site", "The list names a site that it may not name.")
    if me not in sites:
        raise PeerError("self-omitted", "The list leaves out this site, which had answered.")
    if len(sites) < smallest:
        raise PeerError("cohort-too-small", "The list is below the smallest cohort of the round.")


def check_distinct_keys(adverts: Collection[Advert]) -> None:
    """Check that no X25519 key occurs twice, neither between sites nor within one.

    Raises:
        PeerError: one does.
    """
    keys = [key for advert in adverts for key in (advert.mask_key, advert.share_key)]
    if len(set(keys)) != len(keys):
        raise PeerError("duplicate-key", "Two X25519 keys of the round are the same.")


def check_keys(advert: Advert, others: Collection[Advert]) -> None:
    """Check the X25519 keys of an advert, alone and beside those of others.

    Raises:
        PeerError: one is not in its one encoding, of low order, or there twice.
    """
    check_exchange_key(advert.mask_key)
    check_exchange_key(advert.share_key)
    check_distinct_keys((*others, advert))


def is_repeated(known: Mapping[SiteId, _Answer], site: SiteId, answer: _Answer) -> bool:
    """Return whether the answer of a site is in already.

    Raises:
        PeerError: another answer of it is.
    """
    if site in known and known[site] != answer:
        raise PeerError("second-answer", "The site gave two different answers in one step.")
    return site in known


@contextmanager
def blaming(message: SiteMessage) -> Iterator[None]:
    """Name the sender of a message as the culprit of what is wrong with it."""
    try:
        yield
    except PeerError as error:
        raise PeerError(error.code, error.cause, error.remedy, culprits=(message.site,)) from error
