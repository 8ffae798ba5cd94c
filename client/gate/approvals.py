"""Approvals: the signed yes of two people to one study, one plan, one snapshot of the data.

An approval is canonical JSON: terms, and the signatures of the site's data steward and privacy
officer over them. The terms bind hashes of all that was looked at, the most rho that the study
may spend, and an expiry. In place of signatures may stand an envelope that was signed in advance.
The study's own canonical text is kept beside it: the gate never takes a study from the coordinator.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from client.gate.endorsement import (
    Document,
    Endorsement,
    check_endorsers,
    read_endorsement,
    verify_endorsement,
)
from client.gate.envelope import SignedEnvelope, check_inside, read_signed_envelope
from client.gate.people import Person
from client.gate.private import make_private, replace_file
from protocol import canonical
from protocol.canonical import Json, fraction_text, parse_fraction
from protocol.errors import PeerError, PolicyError, SiteOnlyError, StorageError, UsageError
from protocol.identifiers import DIGEST_BYTES, Digest
from protocol.privacy.plan import StatisticsPlan
from protocol.study.document import study_from_canonical
from protocol.study.study import Study

FORMAT = "concause-approval/2"
PURPOSE = "approval"
_AGAIN = "Have the site look again and approve the study anew."


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalTerms:
    """What is approved; times in seconds since 1970.

    Attributes:
        mapping: how the site's columns become the study's variables.
        snapshot: the state of the data that was looked at.
        policy: the site's policy, less the keys of its people.
        rho_cap: the most that all rounds of this study may spend.
        approved: when these terms were first signed, or admitted.
    """

    study: Digest
    plan: Digest
    roster: Digest
    mapping: Digest
    snapshot: Digest
    policy: Digest
    rho_cap: Fraction
    approved: int
    expires: int

    def document(self) -> dict[str, Json]:
        """Return the terms as they are signed."""
        digests = {name: getattr(self, name).hex() for name in _DIGESTS}
        return digests | {
            "format": FORMAT,
            "rho_cap": fraction_text(self.rho_cap),
            "approved": self.approved,
            "expires": self.expires,
        }

    @property
    def hash(self) -> Digest:
        """Return the hash by which a withdrawal names them."""
        return canonical.digest(self.document())


_DIGESTS = ("study", "plan", "roster", "mapping", "snapshot", "policy")
_HASH = re.compile(rf"[0-9a-f]{{{2 * DIGEST_BYTES}}}")
_FIELDS = {*_DIGESTS, "format", "rho_cap", "approved", "expires"}


@dataclass(frozen=True, slots=True)
class Approval:
    """Terms with the signatures that they have so far, or the envelope that stands for them."""

    terms: ApprovalTerms
    endorsements: tuple[Endorsement, ...] = ()
    envelope: SignedEnvelope | None = None

    def encode(self) -> bytes:
        """Return the canonical JSON that a file holds."""
        return canonical.encode(
            {
                "terms": self.terms.document(),
                "signatures": [each.to_json() for each in self.endorsements],
                "envelope": self.envelope.to_json() if self.envelope else None,
            }
        )

    def signed_by(self, endorsement: Endorsement) -> "Approval":
        """Return the approval with one more signature; one of the same role is replaced."""
        others = tuple(each for each in self.endorsements if each.role is not endorsement.role)
        return replace(self, endorsements=(*others, endorsement))


@dataclass(frozen=True, slots=True)
class Present:
    """What an approval must match now."""

    study: Digest
    plan: Digest
    roster: Digest
    mapping: Digest
    snapshot: Digest
    policy: Digest


def read_approval(document: bytes) -> Approval:
    """Return an approval whose signatures hold; whose they are is not asked.

    Raises:
        PolicyError: not one byte is as it was signed, or it is no approval.
    """
    try:
        fields = canonical.decode(document)
        if not isinstance(fields, dict) or set(fields) != {"terms", "signatures", "envelope"}:
            raise _tampered()
        terms = _terms(fields["terms"])
        endorsements = tuple(read_endorsement(each) for each in fields["signatures"])
        for endorsement in endorsements:
            verify_endorsement(terms.document(), PURPOSE, endorsement)
        envelope = fields["envelope"]
        found = Approval(
            terms, endorsements, read_signed_envelope(envelope) if envelope is not None else None
        )
        if found.encode() != document:
            raise _tampered()
    except (PeerError, UsageError, TypeError, ValueError, KeyError) as error:
        raise _tampered() from error
    return found


def check_consented(
    approval: Approval, study: Study, plan: StatisticsPlan, people: Sequence[Person], *, now: int
) -> None:
    """Check that the site's people agreed: by two signatures, or by an envelope made in advance.

    Raises:
        PolicyError: a signature is missing, or not of one who may approve; or the study is
            outside the envelope.
    """
    if approval.envelope is None:
        check_endorsers(approval.endorsements, people, study)
        return
    envelope, terms = approval.envelope.envelope, approval.terms
    bound = (envelope.policy, envelope.mapping, envelope.roster)
    if bound != (terms.policy, terms.mapping, terms.roster) or terms.expires > envelope.expires:
        raise _void("envelope-other", "The envelope was signed for another state of the site.")
    check_inside(approval.envelope, study, plan, people, now=now)
    if terms.rho_cap > envelope.rho_study:
        raise _void("envelope-rho-study", "The approval allows more than its envelope does.")


def check_approval(terms: ApprovalTerms, present: Present, *, now: int) -> None:
    """Check that an approval still stands.

    Raises:
        PolicyError: with one code for each thing that may have changed.
    """
    if now > terms.expires:
        raise _void("approval-expired", "The site's approval of this study has expired.")
    for name in _DIGESTS:
        if getattr(terms, name) != getattr(present, name):
            kind = SiteOnlyError if name == "snapshot" else PolicyError  # records: its own matter
            raise kind(f"approval-other-{name}", _CHANGES[name], _AGAIN)


_CHANGES = {
    "study": "The approval is for another study.",
    "plan": "The study compiles to another statistics plan than the one approved.",
    "roster": "The roster is another than the one under which the study was approved.",
    "mapping": "The site's mapping has changed since the study was approved.",
    "snapshot": "The site's data have changed since the study was approved.",
    "policy": "The site's policy has changed since the study was approved.",
}


class ApprovalFolder:
    """The folders `approvals` and `studies` of a site, one file per study hash."""

    def __init__(self, folder: Path) -> None:
        self._approvals = folder / "approvals"
        self._studies = folder / "studies"
        self._envelope = folder / "envelope.json"

    def write(self, study: Study, approval: bytes) -> Path:
        """Store an approval and the study it is for; return the approval's path.

        Raises:
            StorageError: the folder cannot be written.
        """
        path = self._approvals / _name(study.hash)
        try:
            for folder in (self._approvals, self._studies):
                make_private(folder)
            replace_file(self._studies / _name(study.hash), study.canonical)
            replace_file(path, approval)
        except OSError as error:
            raise StorageError(
                "approval-not-written",
                f"Expected to be allowed to write {path}.",
                "Check free space and permissions of the site's folder.",
            ) from error
        return path

    def write_envelope(self, envelope: SignedEnvelope) -> Path:
        """Store the site's envelope in place of an earlier one; return its path.

        Raises:
            StorageError: the folder cannot be written.
        """
        try:
            make_private(self._approvals)
            replace_file(self._envelope, canonical.encode(envelope.to_json()))
        except OSError as error:
            raise StorageError(
                "approval-not-written",
                f"Expected to be allowed to write {self._envelope}.",
                "Check free space and permissions of the site's folder.",
            ) from error
        return self._envelope

    def envelope(self) -> SignedEnvelope | None:
        """Return the site's envelope, its signatures verified; None if there is none.

        Raises:
            PolicyError: it is not as it was signed.
        """
        if not self._envelope.exists():
            return None
        try:
            return read_signed_envelope(canonical.decode(_read(self._envelope)))
        except (PeerError, UsageError, TypeError, ValueError, KeyError) as error:
            raise _tampered() from error

    def study(self, study: Digest) -> Study:
        """Return an approved study.

        Raises:
            PolicyError: there is none, or its text is not what was approved.
        """
        text = _read(self._studies / _name(study))
        try:
            found = study_from_canonical(text)
        except UsageError as error:
            raise _tampered() from error
        if found.hash != study:
            raise _tampered()
        return found

    def approval(self, study: Digest) -> bytes:
        """Return the approval of a study, unread.

        Raises:
            PolicyError: there is none.
        """
        return _read(self._approvals / _name(study))

    def approved(self) -> tuple[Digest, ...]:
        """Return the hashes of all studies with an approval, whether it stands or not."""
        names = sorted(path.stem for path in self._approvals.glob("*.json"))
        return tuple(Digest(bytes.fromhex(name)) for name in names if _HASH.fullmatch(name))


def _terms(fields: Document) -> ApprovalTerms:
    if set(fields) != _FIELDS or fields["format"] != FORMAT:
        raise ValueError("not the terms of an approval")
    digests = {name: Digest(bytes.fromhex(str(fields[name]))) for name in _DIGESTS}
    if any(len(digest) != DIGEST_BYTES for digest in digests.values()):
        raise ValueError("not a digest")
    approved, expires = fields["approved"], fields["expires"]
    if type(approved) is not int or type(expires) is not int:
        raise TypeError("not a time")
    cap = parse_fraction(str(fields["rho_cap"]))
    return ApprovalTerms(**digests, rho_cap=cap, approved=approved, expires=expires)


def _name(study: Digest) -> str:
    return f"{study.hex()}.json"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PolicyError(
            "study-not-approved",
            "The site has not approved this study.",
            "Send the study to the site; it approves with `concause site approve`.",
        ) from error
    except OSError as error:
        raise StorageError(
            "approval-not-readable",
            "An approval on the site's disk cannot be read.",
            "Check permissions and the disk of the site's folder.",
        ) from error


def _tampered() -> PolicyError:
    return SiteOnlyError(
        "approval-tampered", "The approval on the site's disk is not as it was signed.", _AGAIN
    )


def _void(code: str, cause: str) -> PolicyError:
    return PolicyError(code, cause, _AGAIN)
