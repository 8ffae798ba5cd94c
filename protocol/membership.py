"""How a site joins: its signed request, the coordinator's signed welcome, and their fingerprints.

A site's private keys never leave it. The welcome brings what a site has to trust from then on: the
roster and the authority behind the SuperLink's certificate. Whoever could change it on its way
could take the coordinator's place, so its fingerprint is read out over another channel (SPEC 7.11).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol import canonical
from protocol.canonical import Json
from protocol.errors import PeerError, UsageError
from protocol.identifiers import PublicKey, Signature
from protocol.secagg.roster import Roster, parse_roster
from protocol.signing import parse_public_key, sign, verify

REQUEST_FORMAT = "concause-join-request/1"
WELCOME_FORMAT = "concause-welcome/1"
_REQUEST, _WELCOME = "join-request", "welcome"
_GROUPS, _GROUP = 8, 4  # 128 bits, for a person to read out


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """Who wants to join, and with which key; `contact` is for people."""

    name: str
    key: PublicKey
    contact: str

    def signed(self, key: Ed25519PrivateKey) -> bytes:
        """Return the file that travels; the signature shows that the site has the key."""
        fields: dict[str, Json] = {
            "format": REQUEST_FORMAT,
            "name": self.name,
            "key": self.key.hex(),
            "contact": self.contact,
        }
        return _signed(fields, _REQUEST, key)


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a site needs to take part; `root_certificates` is PEM, empty for public ones."""

    site: str
    roster: Roster
    superlink: str
    root_certificates: str

    def signed(self, key: Ed25519PrivateKey) -> bytes:
        """Return the file that travels."""
        fields: dict[str, Json] = {
            "format": WELCOME_FORMAT,
            "site": self.site,
            "roster": canonical.decode(self.roster.canonical),
            "superlink": self.superlink,
            "root_certificates": self.root_certificates,
        }
        return _signed(fields, _WELCOME, key)


def read_request(document: bytes) -> JoinRequest:
    """Return a request whose signature holds.

    Raises:
        PeerError: it does not.
        UsageError: it is no request.
    """
    fields = _fields(document, REQUEST_FORMAT, {"name", "key", "contact"})
    key = parse_public_key(str(fields["key"]))
    _verify(fields, _REQUEST, key)
    return JoinRequest(str(fields["name"]), key, str(fields["contact"]))


def read_welcome(document: bytes) -> Welcome:
    """Return a welcome signed by the coordinator of its roster.

    Whether that is the coordinator that people mean, the fingerprint tells.

    Raises:
        PeerError: the signature does not hold.
        UsageError: it is no welcome.
    """
    names = {"site", "roster", "superlink", "root_certificates"}
    fields = _fields(document, WELCOME_FORMAT, names)
    roster = parse_roster(canonical.encode(fields["roster"]))
    _verify(fields, _WELCOME, roster.coordinator)
    return Welcome(
        str(fields["site"]), roster, str(fields["superlink"]), str(fields["root_certificates"])
    )


def fingerprint(document: bytes) -> str:
    """Return 128 bits of a file's SHA-256, in groups that can be read out."""
    digits = hashlib.sha256(document).hexdigest()
    return "-".join(digits[_GROUP * at : _GROUP * (at + 1)] for at in range(_GROUPS))


def check_fingerprint(document: bytes, given: str) -> None:
    """Check a file against the fingerprint that someone read out; spaces and case do not count.

    Raises:
        PeerError: it is another file.
    """
    plain = "".join(character for character in given.lower() if character not in " -:")
    if plain != fingerprint(document).replace("-", ""):
        raise PeerError(
            "fingerprint-mismatch",
            "The file does not have the fingerprint that was given.",
            "Ask the coordinator to read it out again. If it stays another, someone changed the "
            "file on its way: do not use it.",
        )


def _signed(fields: Mapping[str, Json], purpose: str, key: Ed25519PrivateKey) -> bytes:
    signature = sign(key, purpose, canonical.encode({**fields}))
    return canonical.encode({**fields, "signature": signature.hex()})


def _fields(document: bytes, format_: str, names: set[str]) -> dict[str, Any]:
    found = canonical.decode(document)
    if (
        not isinstance(found, dict)
        or set(found) != {*names, "format", "signature"}
        or found["format"] != format_
    ):
        raise UsageError(
            "other-document",
            f"Expected a document of format {format_}, found another.",
            "Check which file was sent.",
        )
    return found


def _verify(fields: Mapping[str, Any], purpose: str, key: PublicKey) -> None:
    signed = {name: value for name, value in fields.items() if name != "signature"}
    try:
        signature = Signature(bytes.fromhex(str(fields["signature"])))
    except ValueError as error:
        raise PeerError("bad-signature", f"The {purpose} signature does not hold.") from error
    verify(key, purpose, canonical.encode(signed), signature)
