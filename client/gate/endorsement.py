"""Endorsements: signatures of the site's people over a document that they all saw alike.

Each covers the document, the signer's name, role and key, and the time (SPEC 7.3). Two are
needed, of two roles; the roles have different keys, and neither is the author's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.gate.people import APPROVING, Person, Role, check_not_author, check_role, person_of
from protocol import canonical
from protocol.canonical import Json
from protocol.errors import PolicyError, SiteOnlyError
from protocol.identifiers import Signature
from protocol.signing import parse_public_key, sign, verify
from protocol.study.study import Study

Document = Mapping[str, Json]
_FIELDS = {"name", "role", "key", "at", "signature"}


@dataclass(frozen=True, slots=True)
class Endorsement:
    """One person's signature; `key` in hex, `at` in seconds since 1970."""

    name: str
    role: Role
    key: str
    at: int
    signature: Signature

    def to_json(self) -> dict[str, Json]:
        """Return the value that files hold."""
        return {**_signer(self), "signature": self.signature.hex()}


def endorse(
    document: Document, purpose: str, person: Person, key: Ed25519PrivateKey, *, at: int
) -> Endorsement:
    """Return a person's signature over `document`."""
    unsigned = Endorsement(person.name, person.role, person.key, at, Signature(b""))
    signature = sign(key, purpose, _payload(document, unsigned))
    return Endorsement(person.name, person.role, person.key, at, signature)


def read_endorsement(value: Any) -> Endorsement:  # noqa: ANN401 - what a file holds
    """Return the endorsement in a JSON value, its signature unchecked.

    Raises:
        ValueError, TypeError: it is none.
    """
    if not isinstance(value, Mapping) or set(value) != _FIELDS or type(value["at"]) is not int:
        raise ValueError("not an endorsement")
    signature = Signature(bytes.fromhex(value["signature"]))
    return Endorsement(
        str(value["name"]), Role(value["role"]), str(value["key"]), value["at"], signature
    )


def verify_endorsement(document: Document, purpose: str, endorsement: Endorsement) -> None:
    """Check the signature of an endorsement.

    Raises:
        PeerError, UsageError: it does not hold, or its key is none.
    """
    key = parse_public_key(endorsement.key)
    verify(key, purpose, _payload(document, endorsement), endorsement.signature)


def check_endorsers(
    endorsements: Sequence[Endorsement], people: Sequence[Person], study: Study | None
) -> None:
    """Check that a steward and a privacy officer have signed, and no one else has.

    `study`: whose author may not be among them. Precondition: the signatures hold.

    Raises:
        PolicyError: one is missing, unknown, of another role by now, or the author.
    """
    signed = {_endorser(each, people, study).role for each in endorsements}
    if missing := [role.words for role in APPROVING if role not in signed]:
        raise SiteOnlyError(
            "approval-incomplete",
            f"The signature of the site's {' and '.join(missing)} is missing.",
            "Have the site's people sign with `concause site approve`: two of them, of two roles.",
        )


def may_endorse(endorsement: Endorsement, people: Sequence[Person], study: Study | None) -> bool:
    """Return whether one signature is of someone who may give it."""
    try:
        _endorser(endorsement, people, study)
    except PolicyError:
        return False
    return True


def _endorser(endorsement: Endorsement, people: Sequence[Person], study: Study | None) -> Person:
    person = person_of(people, endorsement.key)
    check_role(person, *APPROVING)
    if person.role is not endorsement.role:
        raise SiteOnlyError(
            "approver-of-other-role",
            "Someone who signed has another role by now.",
            "Have it signed again by those who have the roles.",
        )
    if study is not None:
        check_not_author(person, study)
    return person


def _payload(document: Document, endorsement: Endorsement) -> bytes:
    return canonical.encode({**document, "signer": _signer(endorsement)})


def _signer(endorsement: Endorsement) -> dict[str, Json]:
    return {
        "name": endorsement.name,
        "role": endorsement.role.value,
        "key": endorsement.key,
        "at": endorsement.at,
    }
