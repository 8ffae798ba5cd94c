"""Approvals: a data steward's signed yes to one study, one plan, one snapshot of the data.

An approval is canonical JSON, signed by a key that the site's policy names. It binds hashes
of all that was looked at, the most rho that the study may spend, and an expiry. The study's
own canonical text is kept beside it: the gate never takes a study from the coordinator.
Whoever else must agree one day signs the same terms.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.gate.keys import PRIVATE
from client.gate.memory import make_private
from protocol import canonical
from protocol.canonical import Json, fraction_text, parse_fraction
from protocol.errors import PeerError, PolicyError, StorageError, UsageError
from protocol.identifiers import DIGEST_BYTES, Digest, PublicKey, Signature
from protocol.signing import parse_public_key, public_key, sign, verify
from protocol.study.document import study_from_canonical
from protocol.study.study import Study

FORMAT = "concause-approval/1"
PURPOSE = "approval"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalTerms:
    """What is approved; times in seconds since 1970.

    Attributes:
        mapping: how the site's columns become the study's variables.
        snapshot: the state of the data that was looked at.
        rho_cap: the most that all rounds of this study may spend.
    """

    study: Digest
    plan: Digest
    roster: Digest
    mapping: Digest
    snapshot: Digest
    rho_cap: Fraction
    approved: int
    expires: int

    def document(self, approver: PublicKey) -> dict[str, Json]:
        """Return the terms as they are signed."""
        digests = {name: getattr(self, name).hex() for name in _DIGESTS}
        return digests | {
            "format": FORMAT,
            "rho_cap": fraction_text(self.rho_cap),
            "approved": self.approved,
            "expires": self.expires,
            "approver": approver.hex(),
        }


_DIGESTS = ("study", "plan", "roster", "mapping", "snapshot")
_FIELDS = {*_DIGESTS, "format", "rho_cap", "approved", "expires", "approver", "signature"}


@dataclass(frozen=True, slots=True)
class Present:
    """What an approval must match now."""

    study: Digest
    plan: Digest
    roster: Digest
    mapping: Digest
    snapshot: Digest


def sign_approval(terms: ApprovalTerms, key: Ed25519PrivateKey) -> bytes:
    """Return the approval as a file holds it."""
    document = terms.document(public_key(key))
    signature = sign(key, PURPOSE, canonical.encode(document))
    return canonical.encode({**document, "signature": signature.hex()})


def read_approval(document: bytes, approvers: tuple[str, ...]) -> ApprovalTerms:
    """Return the terms of an approval that one of `approvers` signed.

    Raises:
        PolicyError: it was not made by one of them, or not one byte is as it was signed.
    """
    try:
        fields = canonical.decode(document)
        if not isinstance(fields, dict) or set(fields) != _FIELDS or fields["format"] != FORMAT:
            raise _tampered()
        signature = Signature(bytes.fromhex(fields.pop("signature")))
        approver = parse_public_key(fields["approver"])
        verify(approver, PURPOSE, canonical.encode(fields), signature)
        terms = _terms(fields)
    except (PeerError, UsageError, TypeError, ValueError) as error:
        raise _tampered() from error
    if approver.hex() not in approvers:
        raise PolicyError(
            "approver-unknown",
            "The approval is signed with a key that the site's policy does not name.",
            "Have the study approved by the data steward, or the key added to approvers in "
            "policy.toml.",
        )
    return terms


def check_approval(terms: ApprovalTerms, present: Present, *, now: int) -> None:
    """Check that an approval still stands.

    Raises:
        PolicyError: with one code for each thing that may have changed.
    """
    if now > terms.expires:
        raise _void("approval-expired", "The site's approval of this study has expired.")
    for name in _DIGESTS:
        if getattr(terms, name) != getattr(present, name):
            raise _void(f"approval-other-{name}", _CHANGES[name])


_CHANGES = {
    "study": "The approval is for another study.",
    "plan": "The study compiles to another statistics plan than the one approved.",
    "roster": "The roster is another than the one under which the study was approved.",
    "mapping": "The site's mapping has changed since the study was approved.",
    "snapshot": "The site's data have changed since the study was approved.",
}


class ApprovalFolder:
    """The folders `approvals` and `studies` of a site, one file per study hash."""

    def __init__(self, folder: Path) -> None:
        self._approvals = folder / "approvals"
        self._studies = folder / "studies"

    def write(self, study: Study, approval: bytes) -> Path:
        """Store an approval and the study it is for; return the approval's path.

        Raises:
            StorageError: the folder cannot be written.
        """
        path = self._approvals / _name(study.hash)
        try:
            for folder in (self._approvals, self._studies):
                make_private(folder)
            _replace(self._studies / _name(study.hash), study.canonical)
            _replace(path, approval)
        except OSError as error:
            raise StorageError(
                "approval-not-written",
                f"Expected to be allowed to write {path}.",
                "Check free space and permissions of the site's folder.",
            ) from error
        return path

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
        return tuple(Digest(bytes.fromhex(name)) for name in names)


def _terms(fields: Mapping[str, Json]) -> ApprovalTerms:
    digests = {name: Digest(bytes.fromhex(str(fields[name]))) for name in _DIGESTS}
    if any(len(digest) != DIGEST_BYTES for digest in digests.values()):
        raise ValueError("not a digest")
    approved, expires = fields["approved"], fields["expires"]
    if not isinstance(approved, int) or not isinstance(expires, int):
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


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of one."""
    draft = path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name too, not only the content
    finally:
        os.close(folder)


def _tampered() -> PolicyError:
    return _void("approval-tampered", "The approval on the site's disk is not as it was signed.")


def _void(code: str, cause: str) -> PolicyError:
    return PolicyError(code, cause, "Have the site look again and approve the study anew.")
