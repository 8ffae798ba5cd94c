"""What people of a site decide: a decision is in the audit log before it takes effect.

Stopping needs no key: whoever may write to the site's folder may pause it or withdraw a study.
Allowing does: a study needs two people, going on after a pause the site's administrator.
"""

from dataclasses import dataclass, replace
from getpass import getuser

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.gate.approvals import (
    PURPOSE,
    Approval,
    ApprovalFolder,
    check_consented,
    read_approval,
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
from protocol.identifiers import Digest
from protocol.signing import public_key


@dataclass(frozen=True, slots=True)
class Signer:
    """A person of the site with the key in their hand."""

    person: Person
    key: Ed25519PrivateKey

    @property
    def words(self) -> str:
        """Return who this is, for the audit log."""
        return f"{self.person.name} ({self.person.role.words})"


def signer_of(policy: Policy, key: Ed25519PrivateKey) -> Signer:
    """Return the person whose key this is.

    Raises:
        PolicyError: the policy names nobody with it.
    """
    return Signer(person_of(policy.people, public_key(key).hex()), key)


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
        self._write("approval-signed", signer.words, proposal, approval, now)
        return approval

    def admit(self, proposal: Proposal, envelope: SignedEnvelope, *, now: int) -> Approval:
        """Approve a study by an envelope that was signed in advance, for one round's cost.

        Raises:
            PolicyError: the study is outside the envelope, or the envelope does not stand.
        """
        examined = proposal.examined
        expires = min(proposal.terms.expires, envelope.envelope.expires)
        terms = replace(
            proposal.terms, approved=now, expires=expires, rho_cap=envelope.envelope.rho_study
        )
        approval = Approval(terms, (), envelope)
        people = examined.policy.people
        check_consented(approval, examined.study, examined.plan, people, now=now)
        self._write("approval-admitted", "envelope", proposal, approval, now)
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
        event = Event(event="envelope-signed", who=signer.words, hash=envelope.hash.hex())
        self._memory.note(event, now=now)
        return SignedEnvelope(envelope, (*kept, endorsement))

    def withdraw(self, study: Digest, signer: Signer | None, why: str | None, *, now: int) -> None:
        """End the approval of a study at once; what was spent stays spent.

        Raises:
            PolicyError: there is no approval.
        """
        terms = read_approval(self._approvals.approval(study)).terms
        event = Event(
            event="approval-withdrawn",
            who=someone(signer),
            study=study.hex(),
            hash=terms.hash.hex(),
            why=why,
        )
        with self._memory.transaction():
            self._memory.audit.record(event, now=now)
            self._memory.standing.withdraw(terms, now=now)

    def pause(self, signer: Signer | None, why: str | None, *, now: int) -> None:
        """Stop answering every coordinator, from the next message on."""
        with self._memory.transaction():
            event = Event(event="paused", who=someone(signer), why=why)
            self._memory.audit.record(event, now=now)
            self._memory.standing.pause(now=now)

    def resume(self, signer: Signer, why: str | None, *, now: int) -> None:
        """End a pause.

        Raises:
            PolicyError: the signer is not the site's administrator.
        """
        check_role(signer.person, Role.ADMINISTRATOR)
        with self._memory.transaction():
            event = Event(event="resumed", who=signer.words, why=why)
            self._memory.audit.record(event, now=now)
            self._memory.standing.resume(now=now)

    def accept_clock(self, signer: Signer, why: str | None, *, now: int) -> None:
        """Take the clock as it is now for right, though entries of the audit log are later.

        Raises:
            PolicyError: the signer is not the site's administrator.
        """
        check_role(signer.person, Role.ADMINISTRATOR)
        self._memory.note(Event(event=CLOCK_ACCEPTED, who=signer.words, why=why), now=now)

    def _write(
        self, event: str, who: str, proposal: Proposal, approval: Approval, now: int
    ) -> None:
        terms = approval.terms
        told = Event(event=event, who=who, study=terms.study.hex(), hash=terms.hash.hex())
        self._memory.note_policy(proposal.examined.policy.digest_with_people, now=now)
        self._memory.note(told, now=now)
        self._approvals.write(proposal.examined.study, approval.encode())
