"""The people of a site: who may do what, by name, role and key.

Nobody has two roles and no two people share a key: what needs two people cannot be done by one.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from client.gate.settings import Section
from protocol.errors import PolicyError, SiteOnlyError
from protocol.study.study import Study

Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # a hash or a public key


class Role(StrEnum):
    """What a person of a site answers for."""

    STEWARD = "steward"
    OFFICER = "privacy-officer"
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"

    @property
    def words(self) -> str:
        """Return the role as people say it."""
        return _WORDS[self]


_WORDS = {
    Role.STEWARD: "data steward",
    Role.OFFICER: "privacy officer",
    Role.ADMINISTRATOR: "site administrator",
    Role.AUDITOR: "auditor",
}
APPROVING = (Role.STEWARD, Role.OFFICER)  # a study needs one of each


class Person(Section):
    """One person of the site; `key` is the public half of their Ed25519 key."""

    name: str = Field(min_length=1, max_length=100)
    role: Role
    key: Hex


def repeated(people: Iterable[Person]) -> str | None:
    """Return a name or key that two of the people share, None if there is none."""
    seen: set[str] = set()
    for person in people:
        for mark in (_plain(person.name), person.key):
            if mark in seen:
                return mark
            seen.add(mark)
    return None


def person_of(people: Iterable[Person], key: str) -> Person:
    """Return the person whose public key this is, in hex.

    Raises:
        PolicyError: the policy names nobody with it.
    """
    for person in people:
        if person.key == key:
            return person
    raise SiteOnlyError(
        "approver-unknown",
        "A signature is by a key that the site's policy gives to nobody.",
        "Use the key of a person under [[people]] in policy.toml, or have this one added there.",
    )


def check_role(person: Person, *roles: Role) -> None:
    """Check that a person has one of `roles`.

    Raises:
        PolicyError: not so.
    """
    if person.role not in roles:
        wanted = " or ".join(role.words for role in roles)
        raise PolicyError(
            "role-not-allowed",
            f"Expected the key of a {wanted}, found that of a {person.role.words}.",
            f"Have it done by a {wanted} whom policy.toml names.",
        )


def check_not_author(person: Person, study: Study) -> None:
    """Check that a person did not write the study, by their key and by their name.

    Raises:
        PolicyError: the study's author is this person.
    """
    named = rf"\b{re.escape(_plain(person.name))}(?!\w)"
    if person.key == study.author_key or re.search(named, _plain(study.author)):
        raise PolicyError(
            "approval-by-author",
            "The study's author may not approve it.",
            "Have it approved by other people of the site.",
        )


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()
