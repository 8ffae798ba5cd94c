"""Envelopes: what steward and privacy officer allow in advance, so that a study needs no one.

An envelope names authors, variables and costs, and ends on a day. A study inside it may be
admitted without a further signature; what all such studies spend has a cap of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from client.gate.endorsement import (
    Document,
    Endorsement,
    check_endorsers,
    read_endorsement,
    verify_endorsement,
)
from client.gate.people import Person
from client.gate.settings import Section, read_settings
from protocol import canonical
from protocol.canonical import Json, fraction_text, parse_fraction
from protocol.errors import PolicyError
from protocol.identifiers import Digest
from protocol.privacy.plan import StatisticsPlan
from protocol.study.study import Study

FORMAT = "concause-envelope/1"
PURPOSE = "envelope"
_FIELDS = {"format", "policy", "mapping", "roster", "authors", "variables"} | {
    *("rho_study", "rho_total", "expires")
}


class EnvelopeWishes(Section):
    """The file in which people write what an envelope shall allow; costs in rho of zCDP."""

    format: Literal["concause-envelope/1"]
    authors: tuple[str, ...] = Field(min_length=1)
    variables: tuple[str, ...] = Field(min_length=1)
    rho_study: Decimal = Field(gt=0)
    rho_total: Decimal = Field(gt=0)
    expires: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What is allowed in advance; `expires` in seconds since 1970."""

    policy: Digest
    mapping: Digest
    roster: Digest
    authors: tuple[str, ...]
    variables: tuple[str, ...]
    rho_study: Fraction
    rho_total: Fraction
    expires: int

    def document(self) -> dict[str, Json]:
        """Return what is signed."""
        return {
            "format": FORMAT,
            "policy": self.policy.hex(),
            "mapping": self.mapping.hex(),
            "roster": self.roster.hex(),
            "authors": list(self.authors),
            "variables": list(self.variables),
            "rho_study": fraction_text(self.rho_study),
            "rho_total": fraction_text(self.rho_total),
            "expires": self.expires,
        }

    @property
    def hash(self) -> Digest:
        """Return the hash under which the ledger knows it."""
        return canonical.digest(self.document())


@dataclass(frozen=True, slots=True)
class SignedEnvelope:
    """An envelope with the signatures that it has so far."""

    envelope: Envelope
    endorsements: tuple[Endorsement, ...]

    def to_json(self) -> dict[str, Json]:
        """Return the value that files hold."""
        return {
            "envelope": self.envelope.document(),
            "signatures": [each.to_json() for each in self.endorsements],
        }


def read_wishes(path: Path) -> EnvelopeWishes:
    """Return the wishes in a TOML file.

    Raises:
        UsageError: the file is missing, not TOML, or a field is wrong.
    """
    return read_settings(path, EnvelopeWishes)


def envelope_of(
    wishes: EnvelopeWishes, *, policy: Digest, mapping: Digest, roster: Digest
) -> Envelope:
    """Return the envelope that people wish for, bound to what holds at the site now."""
    return Envelope(
        policy=policy,
        mapping=mapping,
        roster=roster,
        authors=tuple(sorted(set(wishes.authors))),
        variables=tuple(sorted(set(wishes.variables))),
        rho_study=Fraction(wishes.rho_study),
        rho_total=Fraction(wishes.rho_total),
        expires=int(datetime.combine(wishes.expires, time(23, 59, 59), UTC).timestamp()),
    )


def read_signed_envelope(value: Any) -> SignedEnvelope:  # noqa: ANN401 - what a file holds
    """Return the envelope in a JSON value, its signatures verified; whose they are is not asked.

    Raises:
        ValueError, TypeError, PeerError, UsageError: it is none, or a signature does not hold.
    """
    if not isinstance(value, dict) or set(value) != {"envelope", "signatures"}:
        raise ValueError("not an envelope")
    fields = value["envelope"]
    envelope = _envelope(fields)
    if envelope.document() != fields:
        raise ValueError("not an envelope in its one form")
    endorsements = tuple(read_endorsement(each) for each in value["signatures"])
    for endorsement in endorsements:
        verify_endorsement(envelope.document(), PURPOSE, endorsement)
    return SignedEnvelope(envelope, endorsements)


def check_inside(
    signed: SignedEnvelope,
    study: Study,
    plan: StatisticsPlan,
    people: Sequence[Person],
    *,
    now: int,
) -> None:
    """Check that an envelope stands and that a study is inside it, its total cap aside.

    Raises:
        PolicyError: with one code for each limit.
    """
    envelope = signed.envelope
    check_endorsers(signed.endorsements, people, study)
    strangers = set(study.variables) - set(envelope.variables)
    reasons = (
        ("envelope-expired", now > envelope.expires, "has expired"),
        ("envelope-author", study.author not in envelope.authors, "does not name its author"),
        ("envelope-variable", strangers, "does not allow all of its variables"),
        ("envelope-cost", plan.rho > envelope.rho_study, "allows less than it costs"),
    )
    for code, outside, words in reasons:
        if outside:
            raise PolicyError(
                code,
                f"The site's envelope for studies without further signatures {words}.",
                "Have the study approved by the site's people, or the envelope changed by them.",
            )


def _envelope(fields: Document) -> Envelope:
    if set(fields) != _FIELDS or fields["format"] != FORMAT:
        raise ValueError("not an envelope")
    expires = fields["expires"]
    if type(expires) is not int:
        raise TypeError("not a time")
    return Envelope(
        policy=_digest(fields["policy"]),
        mapping=_digest(fields["mapping"]),
        roster=_digest(fields["roster"]),
        authors=_texts(fields["authors"]),
        variables=_texts(fields["variables"]),
        rho_study=parse_fraction(str(fields["rho_study"])),
        rho_total=parse_fraction(str(fields["rho_total"])),
        expires=expires,
    )


def _digest(value: Json) -> Digest:
    return Digest(bytes.fromhex(str(value)))


def _texts(value: Json) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return tuple(map(str, value))
