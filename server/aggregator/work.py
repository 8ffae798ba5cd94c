"""The work of an aggregator: look for rounds, check them, open them with the others, sign."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol.codec import Writer
from protocol.errors import ConcauseError, UsageError
from protocol.identifiers import SessionId
from protocol.secagg.cohort import sign_message
from protocol.secagg.hashing import labelled_hash
from protocol.secagg.keys import exchange, expand, public_half
from protocol.secagg.messages import Opened
from protocol.secagg.ring import to_wire
from protocol.secagg.roster import Roster
from protocol.signing import public_key
from server.aggregator.cohort import (
    Cohort,
    check_can_select,
    check_winner,
    opened_sum,
    own_share,
    read_cohort,
)
from server.aggregator.job import Job
from server.aggregator.meeting import open_together
from server.aggregator.settings import MeetingSection
from server.aggregator.spent import SpentRounds
from server.api.relay_client import RelayClient
from server.rounds.clock import Clock

_KEY_BYTES = 32
COMPARING = 2  # parties of a selection, beside the dealer
ROLES = ("first", "second", "dealer")
DEALER = ROLES.index("dealer")


@dataclass(frozen=True, slots=True)
class Operator:
    """Who this aggregator is: its place in the roster, and its keys."""

    place: int
    roster: Roster
    signing_key: Ed25519PrivateKey = field(repr=False)
    sealing_key: X25519PrivateKey = field(repr=False)


def find_operator(
    name: str, roster: Roster, signing_key: Ed25519PrivateKey, sealing_key: X25519PrivateKey
) -> Operator:
    """Return the operator with its place in the roster.

    Raises:
        UsageError: the roster has no aggregator of that name with these keys.
    """
    for place, one in enumerate(roster.aggregators):
        own = (public_key(signing_key), public_half(sealing_key))
        if one.name == name and (one.key, one.sealing_key) == own:
            return Operator(place, roster, signing_key, sealing_key)
    raise UsageError(
        "not-in-roster",
        f"Expected aggregator {name!r} with these two keys in roster {roster.name!r}, found none.",
        "Have the coordinator enrol what `concause aggregator init` printed, and pin its roster.",
    )


@dataclass(frozen=True, slots=True)
class Aggregator:
    """Attends to the rounds of one coordinator."""

    operator: Operator
    relay: RelayClient
    meeting: MeetingSection
    spent: SpentRounds
    clock: Clock
    log: Path

    def work(self, stop: Event, every_s: float, say: Callable[[str], None]) -> None:
        """Look again and again until `stop` is set; what goes wrong is said once, and retried."""
        said = ""

        def say_anew(text: str) -> None:
            nonlocal said
            if text != said:
                say(text)
            said = text

        while not stop.is_set():
            try:
                self.look(say_anew)
            except ConcauseError as error:
                say_anew(f"{error.code}: {error}")
            stop.wait(every_s)

    def look(self, say: Callable[[str], None]) -> None:
        """Attend once to each round that waits.

        Raises:
            StorageError: the relay cannot be reached.
        """
        for session in self.relay.pending():
            try:
                if self._attend(session):
                    say(f"opened round {session.hex()[:12]}")
            except ConcauseError as error:
                say(f"round {session.hex()[:12]}: {error.code}: {error}")

    def _attend(self, session: SessionId) -> bool:
        if (kept := self.spent.kept(session)) is not None:
            self.relay.hand_in(kept)
            return False
        if self.spent.is_spent(session):
            return False
        now = int(self.clock.now().timestamp())
        cohort = read_cohort(*self.relay.fetch(session), self.operator.roster, now=now)
        opened = self.open(cohort)
        self.spent.keep(opened)
        self.relay.hand_in(opened)
        return True

    def open(self, cohort: Cohort) -> Opened:
        """Open a round with the others, and return the sum, signed.

        Raises:
            PolicyError: it was opened before.
            PeerError: a site's seal does not open, or the others came with other shares.
            StorageError: the others did not come, or one was lost.
        """
        operator = self.operator
        check_can_select(cohort)
        share = own_share(cohort, operator.place, operator.sealing_key, os.urandom)
        result = open_together(
            self._job(cohort),
            share,
            lambda: self.spent.spend(cohort.session, cohort.hash),
            self.log,
        )
        if cohort.selects:
            check_winner(result)
        opened = Opened(
            cohort.session,
            operator.place,
            cohort.hash,
            cohort.missing,
            to_wire(opened_sum(cohort, result)),
        )
        return sign_message(opened, operator.signing_key)

    def _job(self, cohort: Cohort) -> Job:
        host, _, port = self.meeting.address.rpartition(":")
        keys = generator_keys(self.operator, cohort)
        if cohort.selects:
            keys |= selection_keys(self.operator, cohort)
        subject = Writer().fixed(cohort.session, 32).fixed(cohort.hash, 32)
        return Job(
            place=self.operator.place,
            parties=len(self.operator.roster.aggregators),
            subject=labelled_hash("opening", subject.finish()).hex(),
            keys={name: key.hex() for name, key in keys.items()},
            choose=cohort.selects,
            host=host,
            port=int(port),
            interface=self.meeting.interface,
            timeout_s=self.meeting.timeout_s,
        )


def generator_keys(operator: Operator, cohort: Cohort) -> dict[str, bytes]:
    """Return the keys of CrypTen's generators: of each pair of neighbours, own, and common.

    "next" of one party is "prev" of the one after it; they derive it from their sealing keys.
    """
    parties = COMPARING if cohort.selects else len(operator.roster.aggregators)
    if operator.place >= parties:
        return {}
    before, after = (operator.place - 1) % parties, (operator.place + 1) % parties
    return {
        "prev": _pair_key(operator, before, cohort, f"next-{before}"),
        "next": _pair_key(operator, after, cohort, f"next-{operator.place}"),
        "local": os.urandom(_KEY_BYTES),
        "global": labelled_hash("party-common", cohort.session),
    }


def selection_keys(operator: Operator, cohort: Cohort) -> dict[str, bytes]:
    """Return what this aggregator has in common with the others of a selection, by its other.

    A comparing party and the dealer share two: for the dealer's own share, and for triples.
    """
    roles = ("first", "second") if operator.place == DEALER else ("dealer",)
    found = {}
    for role in roles:
        other = DEALER if role == "dealer" else ROLES.index(role)
        comparing = operator.place if role == "dealer" else other
        for suffix in ("", "-triples"):
            label = f"dealt-{comparing}{suffix}"
            found[f"{role}{suffix}"] = _pair_key(operator, other, cohort, label)
    return found


def _pair_key(operator: Operator, other: int, cohort: Cohort, label: str) -> bytes:
    secret = exchange(operator.sealing_key, operator.roster.aggregators[other].sealing_key)
    return expand(secret, cohort.session, "party-pair", label.encode("ascii"))
