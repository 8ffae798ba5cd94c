"""The gate: what a site answers to a coordinator, and the order in which it commits itself.

Check everything, then commit, then answer: each step of a round is in the journal, and its
cost in the ledger, on the disk, before a byte leaves. The secrets of a round live in memory
only. A gate that is killed therefore loses the round, and with it at most the round's budget.
"""

import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.gate.approvals import ApprovalTerms
from client.gate.audit import rolled_back
from client.gate.chain import Event
from client.gate.consent import Consent, Consents
from client.gate.journal import Opening, Step, already_run
from client.gate.ledger import Request
from client.gate.means import Means, Point
from client.gate.memory import CHARGED, Memory
from client.gate.outward import Refusal, concerns_site_alone, refusal_of
from client.gate.site_log import SiteLog
from protocol.canonical import fraction_text
from protocol.checkpoints import own_checkpoint, sign_checkpoint
from protocol.errors import ConcauseError, PolicyError, StorageError
from protocol.identifiers import Digest, SessionId
from protocol.secagg.descriptor import Descriptor, SignedDescriptor, check_descriptor
from protocol.secagg.hashing import sites_hash
from protocol.secagg.messages import (
    Adverts,
    CoordinatorMessage,
    Deliveries,
    Invitation,
    Quorum,
    SiteMessage,
    Survivors,
    decode_request,
    encode_message,
)
from protocol.secagg.ring import to_ring
from protocol.secagg.rounds import MemberState, answer, invited
from protocol.secagg.site_states import AwaitingInvitation, Contribution
from protocol.secagg.split_site import AwaitingParticipants
from protocol.signing import public_key

ENTROPY_BYTES = 32
_INCIDENT_BYTES = 8


@dataclass(frozen=True, slots=True)
class Member:
    """Who this site is: its name in the roster, and its signing key."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Agreed:
    """A round that the site takes part in, and the approval under which it does.

    `withdrawals`: how often the study had been withdrawn when the site joined.
    """

    descriptor: Descriptor
    terms: ApprovalTerms
    withdrawals: int


@dataclass(frozen=True, slots=True)
class LiveRound:
    """A round whose secrets are in memory: its state, and the last exchange, word for word."""

    agreed: Agreed
    state: MemberState
    request: bytes = field(repr=False)
    answer: bytes = field(repr=False)

    @property
    def descriptor(self) -> Descriptor:
        """Return what the coordinator signed."""
        return self.agreed.descriptor


class Gate:
    """One site's whole behaviour towards a coordinator; knows nothing of Flower."""

    def __init__(
        self, member: Member, consents: Consents, memory: Memory, log: SiteLog, means: Means
    ) -> None:
        self._member = member
        self._consents = consents
        self._memory = memory
        self._log = log
        self._means = means
        self._live: dict[SessionId, LiveRound] = {}
        self._turn = threading.Lock()

    def respond(self, body: bytes, *, now: int, known: bytes = b"") -> dict[str, bytes]:
        """Return what travels back: an answer under "body", or a "refusal"; never raises.

        `known` are the checkpoints that the coordinator holds, this site's among them if any.
        """
        try:
            return {"body": self.answer(body, now=now, known=known)}
        except Exception as error:  # noqa: BLE001 - the site's outermost shell
            return {"refusal": self.refuse(error, body, now=now).encode()}

    def answer(self, body: bytes, *, now: int, known: bytes = b"") -> bytes:
        """Return the answer to one request of the coordinator; `now` in seconds since 1970.

        A word-for-word repetition of a round's last request gets its last answer once more.

        Raises:
            ConcauseError: the site does not answer; nothing of the request has any effect.
        """
        with self._turn:
            self._check_memory(known, now)
            request = decode_request(body)
            live = self._live.get(request.session)
            if live is not None:
                self._check_not_withdrawn(live.agreed)
                if live.request == body:
                    return live.answer
            agreed, state, message = self._step(request, live, now)
            encoded = encode_message(message)
            self._live[request.session] = LiveRound(agreed, state, body, encoded)
            self._note_answer(message, agreed.descriptor)
            return encoded

    def checkpoint(self) -> bytes:
        """Return the signed hash of the audit log's last line; nothing if it cannot be read."""
        with suppress(StorageError):
            return sign_checkpoint(self._memory.audit.head, self._member.key).encode()
        return b""

    def _check_memory(self, known: bytes, now: int) -> None:
        """Check that the site is at work, its clock right, and its memory the newest."""
        self._memory.standing.check_at_work()
        self._memory.check_clock(now=now)
        checkpoint = own_checkpoint(known, public_key(self._member.key))
        if checkpoint is not None and not self._memory.audit.has(checkpoint.head):
            raise rolled_back()

    def refuse(self, error: Exception, body: bytes, *, now: int) -> Refusal:
        """Record that a request was not answered, and return what may be said about it."""
        refusal = refusal_of(error, self._means.entropy(_INCIDENT_BYTES).hex())
        session, study = self._subject(body)
        code = error.code if isinstance(error, ConcauseError) else refusal.code
        noted = True
        # A full disk, or an audit log that was cut off, must not turn a refusal into silence.
        with suppress(StorageError, PolicyError):
            noted = self._note_refusal(code, refusal.id, session, study, now)
        if noted:
            self._log_refusal(error, refusal, code, session, study)
        return refusal

    def _note_refusal(
        self, code: str, incident: str, session: SessionId | None, study: Digest | None, now: int
    ) -> bool:
        with self._memory.transaction():
            noted = self._memory.ledger.note_refusal(
                code, incident, session=session, study=study, now=now
            )
            if noted:
                event = Event(event="refused", code=code, incident=incident)
                self._memory.audit.record(_about(event, study, session), now=now)
        return noted

    def _log_refusal(
        self,
        error: Exception,
        refusal: Refusal,
        code: str,
        session: SessionId | None,
        study: Digest | None,
    ) -> None:
        explained = isinstance(error, ConcauseError) and not concerns_site_alone(error)
        with suppress(OSError):
            self._log.alarm(
                "refused",
                error=None if explained else error,
                incident=refusal.id,
                category=refusal.category,
                code=code,
                session=session.hex() if session else None,
                study=study.hex() if study else None,
            )

    def forget_lost_rounds(self, *, now: int) -> None:
        """Close the rounds of an earlier process, whose secrets are gone; once, at the start.

        Raises:
            PolicyError: the audit log was edited or cut off, or the memory is an older copy.
        """
        self._memory.check_whole()
        with self._memory.transaction():
            self._memory.audit.record(Event(event="gate-started"), now=now)
            for record in self._memory.journal.unfinished():
                self._end(record.session, now)

    def close(self) -> None:
        """Drop all secrets and let go of the files."""
        self._live.clear()
        self._memory.close()
        self._log.close()

    def _step(
        self, request: CoordinatorMessage, live: LiveRound | None, now: int
    ) -> tuple[Agreed, MemberState, SiteMessage]:
        if isinstance(request, Invitation):
            return self._advertise(request, now)
        if live is None:
            raise self._absent(request.session)
        _check_deadline(live.descriptor, now)
        match request:
            case Adverts() if isinstance(live.state, AwaitingParticipants):
                return live.agreed, *self._contribute(live, request, now)
            case Adverts():
                return live.agreed, *self._share(live, request, now)
            case Deliveries():
                return live.agreed, *self._contribute(live, request, now)
            case Survivors():
                return live.agreed, *self._agree(live, request, now)
            case Quorum():
                return live.agreed, *self._reveal(live, request, now)

    def _note_answer(self, message: SiteMessage, descriptor: Descriptor) -> None:
        with suppress(OSError):  # it is committed: a full disk must not keep the answer back
            self._log.note(
                "answered",
                step=type(message).__name__,
                session=message.session.hex(),
                study=descriptor.study_hash.hex(),
            )

    def _advertise(
        self, invitation: Invitation, now: int
    ) -> tuple[Agreed, MemberState, SiteMessage]:
        descriptor = invitation.signed.descriptor
        opening, study = self._check_invitation(invitation.signed, now), descriptor.study_hash
        with self._consents.open(study, self._means.open_source, now=now) as consent:
            check_descriptor(descriptor, consent.roster, consent.terms)
        state, (advert,) = answer(self._ready(consent), invitation)
        self._means.reached(Point.INVITATION_CHECKED)
        older = [
            session for session, live in self._live.items() if _gives_way(live, descriptor, now)
        ]
        self._memory.note_policy(consent.policy, now=now)
        terms, standing = consent.approval.terms, self._memory.standing
        with self._memory.transaction():
            standing.check_at_work()  # people may have spoken since it was looked at
            standing.check_stands(terms)
            agreed = Agreed(descriptor, terms, standing.withdrawals(study))
            # Rounds that are not live: their begin was committed, and not what was to follow.
            unheld = [each.session for each in self._memory.journal.unfinished()]
            for old in [*older, *(each for each in unheld if each not in self._live)]:
                self._end(old, now)
            self._note("round-joined", agreed, now)
            self._memory.ledger.reserve(_request(descriptor, consent), consent.caps, now=now)
            self._means.reached(Point.RESERVING)
            self._memory.journal.begin(opening, now=now)
            for old in older:
                del self._live[old]
        self._means.reached(Point.ADVERTISED)
        return agreed, state, advert

    def _check_invitation(self, signed: SignedDescriptor, now: int) -> Opening:
        policy, roster = self._consents.pinned()
        descriptor = signed.descriptor
        if descriptor.roster_hash != roster.hash:
            raise PolicyError(
                "other-roster",
                "The round names another roster than the one pinned at this site.",
                "Have the consortium agree on one roster, and every site pin it.",
            )
        signed.verify(roster)
        _check_deadline(descriptor, now)
        if descriptor.deadline > now + policy.longest_round_s:
            raise PolicyError(
                "deadline-too-far",
                f"Expected a round of at most {policy.longest_round_s} seconds, found a later "
                "deadline.",
                "Issue the round with an earlier deadline, or check both clocks.",
            )
        opening = Opening(
            descriptor.session, roster.coordinator, descriptor.counter, descriptor.study_hash
        )
        self._memory.journal.check_opening(opening, now=now)
        self._memory.check_whole()  # once a round: somebody may have been there while it worked
        self._memory.note_policy(policy.digest_with_people, now=now)
        return opening

    def _ready(self, consent: Consent) -> MemberState:
        site, key = consent.roster.site_id(self._member.name), self._member.key
        entropy = self._means.entropy(ENTROPY_BYTES)
        return invited(AwaitingInvitation(site, key, consent.roster, consent.terms, entropy))

    def _share(
        self, live: LiveRound, adverts: Adverts, now: int
    ) -> tuple[MemberState, SiteMessage]:
        state, (shares,) = answer(live.state, adverts)
        self._means.reached(Point.SHARES_DEALT)
        self._memory.journal.advance(adverts.session, Step.SHARED, now=now)
        self._means.reached(Point.SHARED)
        return state, shares

    def _contribute(
        self, live: LiveRound, request: Adverts | Deliveries, now: int
    ) -> tuple[MemberState, SiteMessage]:
        """Charge, measure, add noise, and answer: with a masked vector, or one in shares."""
        descriptor, session = live.descriptor, request.session
        study = descriptor.study_hash
        waiting, _ = answer(live.state, request)
        self._means.reached(Point.DELIVERIES_CHECKED)
        with self._consents.open(study, self._means.open_source, now=now) as consent:
            check_descriptor(descriptor, consent.roster, consent.terms)
            statistics = self._means.measure(consent.plan, consent.study, consent.source)
        self._means.reached(Point.MEASURED)
        self._memory.note_policy(consent.policy, now=now)
        with self._memory.transaction():
            self._check_still_allowed(live.agreed)  # people may have spoken while it measured
            self._note(CHARGED, live.agreed, now, rho=fraction_text(consent.plan.rho))
            if isinstance(request, Adverts):  # with aggregators there is no step between
                self._memory.journal.advance(session, Step.SHARED, now=now)
            self._memory.journal.advance(session, Step.CHARGED, now=now)
            self._means.reached(Point.CHARGING)
            self._memory.ledger.charge(_request(descriptor, consent), consent.caps, now=now)
        self._means.reached(Point.CHARGED)
        noisy = self._means.add_noise(consent.plan, statistics)
        self._means.reached(Point.NOISED)
        state, (hidden,) = answer(waiting, Contribution(to_ring(noisy)))
        with self._memory.transaction():
            self._check_still_allowed(live.agreed)
            self._note("vector-released", live.agreed, now)
            self._memory.journal.advance(session, Step.MASKED, now=now)
        self._means.reached(Point.MASKED)
        return state, hidden

    def _agree(
        self, live: LiveRound, survivors: Survivors, now: int
    ) -> tuple[MemberState, SiteMessage]:
        state, (agreement,) = answer(live.state, survivors)
        self._means.reached(Point.AGREEING)
        self._memory.journal.advance(
            survivors.session, Step.AGREED, now=now, survivors=sites_hash(survivors.sites)
        )
        self._means.reached(Point.AGREED)
        return state, agreement

    def _reveal(self, live: LiveRound, quorum: Quorum, now: int) -> tuple[MemberState, SiteMessage]:
        state, (reveal,) = answer(live.state, quorum)
        self._means.reached(Point.REVEALING)
        with self._memory.transaction():
            self._note("round-revealed", live.agreed, now)
            self._memory.journal.advance(quorum.session, Step.REVEALED, now=now)
        self._means.reached(Point.REVEALED)
        return state, reveal

    def _check_not_withdrawn(self, agreed: Agreed) -> None:
        study = agreed.terms.study
        self._memory.standing.check_not_withdrawn(study, before=agreed.withdrawals)

    def _check_still_allowed(self, agreed: Agreed) -> None:
        self._memory.standing.check_at_work()
        self._check_not_withdrawn(agreed)

    def _note(self, event: str, agreed: Agreed, now: int, rho: str | None = None) -> None:
        terms = agreed.terms
        told = Event(event=event, hash=terms.hash.hex(), rho=rho)
        self._memory.audit.record(_about(told, terms.study, agreed.descriptor.session), now=now)

    def _end(self, session: SessionId, now: int) -> None:
        record = self._memory.journal.find(session)
        study = record.study if record else None
        self._memory.audit.record(_about(Event(event="round-lost"), study, session), now=now)
        self._memory.journal.abandon(session, now=now)
        self._memory.ledger.lapse(session, now=now)

    def _absent(self, session: SessionId) -> PolicyError:
        record = self._memory.journal.find(session)
        if record is not None:
            return already_run(record)
        return PolicyError(
            "round-unknown",
            "Expected a message of a round that this site was invited to.",
            "Send the invitation first.",
        )

    def _subject(self, body: bytes) -> tuple[SessionId | None, Digest | None]:
        try:
            request = decode_request(body)
            if isinstance(request, Invitation):
                return request.session, request.signed.descriptor.study_hash
            record = self._memory.journal.find(request.session)
        except ConcauseError:
            return None, None
        return request.session, record.study if record else None


def _request(descriptor: Descriptor, consent: Consent) -> Request:
    inside = consent.approval.envelope
    return Request(
        descriptor.session,
        descriptor.study_hash,
        consent.plan.rho,
        descriptor.deadline,
        inside.envelope.hash if inside else None,
    )


def _about(event: Event, study: Digest | None, session: SessionId | None) -> Event:
    return replace(
        event,
        study=study.hex() if study else None,
        session=session.hex() if session else None,
    )


def _gives_way(live: LiveRound, descriptor: Descriptor, now: int) -> bool:
    """Return whether a round ends when another begins: one of its study, or after its deadline."""
    return live.descriptor.study_hash == descriptor.study_hash or live.descriptor.deadline < now


def _check_deadline(descriptor: Descriptor, now: int) -> None:
    if now > descriptor.deadline:
        raise PolicyError(
            "deadline-passed",
            "The round's deadline has passed.",
            "Issue a new round, or check both clocks.",
        )
