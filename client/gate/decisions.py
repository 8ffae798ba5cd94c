"""What people of a site decide: a decision is in the audit log before it takes effect.

Stopping needs no key: whoever may write to the site's folder may pause it or withdraw a study.
Allowing does: a study needs two people, going on after a pause the site's administrator.
"""

from dataclasses import dataclass, field, replace
from getpass import getuser
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.gate.approvals import (
    PURPOSE,
    Approval,
    ApprovalFolder,
    check_consented,
)
from client.gate.audit import CLOCK_ACCEPTED
from client.gate.chain import Event
from client.gate.endorsement import endorse
from client.gate.envelope import PURPOSE as ENVELOPE
from client.gate.envelope import Envelope, SignedEnvelope
from client.gate.memory import Memory
from client.gate.people import APPROVING, Person, Role, check_not_author, check_role, person_of
from client.gate.policy import Policy
from client.gate.proposal import Proposal
from client.gate.standing import (
    ADMITTED,
    ENVELOPE_SIGNED,
    ENVELOPE_WITHDRAWN,
    PAUSED,
    RESUMED,
    SIGNED,
    WITHDRAWN,
)
from protocol.errors import ConcauseError, PolicyError, StorageError
from protocol.identifiers import Digest
from protocol.signing import public_key


@dataclass(frozen=True, slots=True)
class Signer:
    """A person of the site with the key in their hand, and the policy that names them."""

    person: Person
    key: Ed25519PrivateKey = field(repr=False)
    policy: Digest

    @property
    def words(self) -> str:
        """Return who this is, for the audit log."""
        return f"{self.person.name} ({self.person.role.words})"


def signer_of(policy: Policy, key: Ed25519PrivateKey) -> Signer:
    """Return the person whose key this is.

    Raises:
        PolicyError: the policy names nobody with it.
    """
    person = person_of(policy.people, public_key(key).hex())
    return Signer(person, key, policy.digest_with_people)


def someone(signer: Signer | None) -> str:
    """Return who acts, for the audit log: a person by their key, else the user of the machine."""
    return signer.words if signer else f"user {getuser()} (no key)"


class Decisions:
    """Decisions at one site, in its memory."""

    def __init__(self, memory: Memory, approvals: ApprovalFolder) -> None:
        self._memory = memory
        self._approvals = approvals

    def sign(self, proposal: Proposal, signer: Signer, *, now: int) -> Approval:
        """Sign a proposal, and return the approval with all signatures that it has.

        Raises:
            PolicyError: the signer is the study's author, or has no role that approves.
            StorageError: it cannot be written down.
        """
        study = proposal.examined.study
        check_role(signer.person, *APPROVING)
        check_not_author(signer.person, study)
        terms = proposal.terms
        endorsement = endorse(terms.document(), PURPOSE, signer.person, signer.key, at=now)
        approval = replace(proposal.approval, envelope=None).signed_by(endorsement)
        self._write(SIGNED, signer.words, proposal, approval, now)
        return approval

    def admit(self, proposal: Proposal, envelope: SignedEnvelope, *, now: int) -> Approval:
        """Approve a study by an envelope that was signed in advance, for one round's cost.

        Raises:
            PolicyError: the study is outside the envelope, the envelope does not stand, or
                people have withdrawn it or the study.
        """
        examined = proposal.examined
        self._memory.standing.check_may_be_admitted(examined.study.hash)
        self._memory.standing.check_envelope(envelope.envelope.hash)
        expires = min(proposal.terms.expires, envelope.envelope.expires)
        terms = replace(
            proposal.terms, approved=now, expires=expires, rho_cap=envelope.envelope.rho_study
        )
        approval = Approval(terms, (), envelope)
        people = examined.policy.people
        check_consented(approval, examined.study, examined.plan, people, now=now)
        self._write(ADMITTED, "envelope", proposal, approval, now)
        return approval

    def sign_envelope(
        self, envelope: Envelope, begun: SignedEnvelope | None, signer: Signer, *, now: int
    ) -> SignedEnvelope:
        """Sign an envelope, and return it with all signatures; `begun` has those of others.

        Raises:
            PolicyError: the signer has no role that approves.
        """
        check_role(signer.person, *APPROVING)
        endorsement = endorse(envelope.document(), ENVELOPE, signer.person, signer.key, at=now)
        others = begun.endorsements if begun and begun.envelope == envelope else ()
        kept = tuple(each for each in others if each.role is not endorsement.role)
        event = Event(event=ENVELOPE_SIGNED, who=signer.words, hash=envelope.hash.hex())
        self._note(event, signer, now)
        return SignedEnvelope(envelope, (*kept, endorsement))

    def approved(self) -> frozenset[Digest]:
        """Return the studies that anybody ever approved here."""
        return self._memory.standing.approved()

    def withdraw(
        self, study: Digest, signer: Signer | None, why: str | None, *, now: int
    ) -> ConcauseError | None:
        """End the approval of a study at once, whatever became of its file; refunds nothing.

        Return what else is wrong: a damaged log stops no one from stopping.

        Raises:
            PolicyError: the site never approved the study.
        """
        terms = self._memory.standing.approved_terms(study)
        who, hash_ = someone(signer), terms.hex()
        event = Event(event=WITHDRAWN, who=who, study=study.hex(), hash=hash_, why=why)
        return self._stop(event, signer, now)

    def withdraw_envelope(
        self, signer: Signer | None, why: str | None, *, now: int
    ) -> ConcauseError | None:
        """End the envelope that was signed last, and all that it admitted; return as `withdraw`.

        Raises:
            PolicyError: none was ever signed.
        """
        envelope = self._memory.standing.newest_envelope()
        if envelope is None:
            raise PolicyError(
                "envelope-missing", "The site has no envelope.", "There is nothing to withdraw."
            )
        event = Event(event=ENVELOPE_WITHDRAWN, who=someone(signer), hash=envelope.hex(), why=why)
        return self._stop(event, signer, now)

    def pause(self, signer: Signer | None, why: str | None, *, now: int) -> ConcauseError | None:
        """Stop answering every coordinator, from the next message on; return as `withdraw`."""
        return self._stop(Event(event=PAUSED, who=someone(signer), why=why), signer, now)

    def resume(self, signer: Signer, why: str | None, *, now: int) -> None:
        """End a pause.

        Raises:
            PolicyError: the signer is not the site's administrator.
        """
        check_role(signer.person, Role.ADMINISTRATOR)
        self._note(Event(event=RESUMED, who=signer.words, why=why), signer, now)

    def accept_clock(self, signer: Signer, why: str | None, *, now: int) -> None:
        """Take the clock as it is now for right, though entries of the audit log are later.

        Raises:
            PolicyError: the signer is not the site's administrator.
        """
        check_role(signer.person, Role.ADMINISTRATOR)
        self._note(Event(event=CLOCK_ACCEPTED, who=signer.words, why=why), signer, now)

    def restore_audit(self, signer: Signer, why: str | None, *, now: int) -> Path:
        """Write the audit log's file anew from the database; return where the old one is.

        Raises:
            PolicyError: the signer is not the site's administrator, or the database is the older.
            StorageError: the file cannot be moved or written.
        """
        check_role(signer.person, Role.ADMINISTRATOR)
        log = self._memory.audit
        aside = log.path.with_name(f"{log.path.name}.{now}.damaged")
        event = Event(event="audit-restored", who=signer.words, hash=signer.policy.hex(), why=why)
        log.rebuild(event, aside, now=now)
        return aside

    def _stop(self, event: Event, signer: Signer | None, now: int) -> ConcauseError | None:
        """Commit what ends something; return why the log's file could not follow, if it did not."""
        with self._memory.database.transaction():
            if signer is not None:
                self._memory.record_policy(signer.policy, now=now)
            self._memory.audit.record(event, now=now)
        try:
            self._memory.audit.flush()
        except (PolicyError, StorageError) as error:
            return error
        return None

    def _note(self, event: Event, signer: Signer | None, now: int) -> None:
        """Write a decision down, after the policy that says who the signer is."""
        if signer is not None:
            self._memory.note_policy(signer.policy, now=now)
        self._memory.note(event, now=now)

    def _write(
        self, event: str, who: str, proposal: Proposal, approval: Approval, now: int
    ) -> None:
        terms = approval.terms
        told = Event(event=event, who=who, study=terms.study.hex(), hash=terms.hash.hex())
        self._memory.note_policy(proposal.examined.policy.digest_with_people, now=now)
        self._memory.note(told, now=now)
        self._approvals.write(proposal.examined.study, approval.encode())
