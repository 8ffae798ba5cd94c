"""The roster: who takes part, and the signing key of each, pinned at every party (SPEC 4.1).

A site's place in the list is its `SiteId`. The document is public and canonical; its
hash is in every descriptor, so a coordinator cannot show two sites two rosters.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protocol import canonical
from protocol.errors import UsageError
from protocol.identifiers import MAX_SITES, PUBLIC_KEY_BYTES, Digest, PublicKey, SiteId

FORMAT = "concause-roster/1"
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MAX_NAME_LENGTH = 64


@dataclass(frozen=True, slots=True)
class RosterSite:
    """One site: its name and its Ed25519 signing key."""

    name: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class Roster:
    """The consortium: coordinator and sites, 1 to 200, names and keys all distinct.

    Raises:
        UsageError: on construction, if that does not hold.
    """

    name: str
    coordinator: PublicKey
    sites: tuple[RosterSite, ...]

    def __post_init__(self) -> None:
        _check_names([self.name], [site.name for site in self.sites])
        _check_keys([self.coordinator, *(site.key for site in self.sites)])
        if not 1 <= len(self.sites) <= MAX_SITES:
            raise UsageError(
                "roster-size", f"Expected 1 to {MAX_SITES} sites, found {len(self.sites)}."
            )

    @property
    def canonical(self) -> bytes:
        """Return the canonical JSON of the roster."""
        return canonical.encode(
            {
                "format": FORMAT,
                "name": self.name,
                "coordinator": self.coordinator.hex(),
                "sites": [{"name": site.name, "key": site.key.hex()} for site in self.sites],
            }
        )

    @property
    def hash(self) -> Digest:
        """Return the SHA-256 of the canonical bytes."""
        return Digest(hashlib.sha256(self.canonical).digest())

    @property
    def ids(self) -> tuple[SiteId, ...]:
        """Return every site's id, ascending."""
        return tuple(SiteId(position) for position in range(len(self.sites)))

    def site_id(self, name: str) -> SiteId:
        """Return the id of the site called `name`.

        Raises:
            UsageError: the roster has no such site.
        """
        for position, site in enumerate(self.sites):
            if site.name == name:
                return SiteId(position)
        raise UsageError(
            "not-in-roster",
            f"Expected a site of roster {self.name!r}, found {name!r}.",
            f"Use one of: {', '.join(site.name for site in self.sites)}.",
        )


def parse_roster(document: bytes) -> Roster:
    """Return the roster of `Roster.canonical`.

    Raises:
        UsageError: not canonical JSON, a field is missing or unknown, or the roster breaks
            a rule of `Roster`.
    """
    fields = _object(canonical.decode(document), "the roster", "coordinator format name sites")
    if fields["format"] != FORMAT:
        raise UsageError("roster-format", f"Expected format {FORMAT!r} in the roster.")
    listed = fields["sites"]
    if not isinstance(listed, list):
        raise UsageError("roster-field", "Expected a list under 'sites' in the roster.")
    sites = [_object(entry, "each site of the roster", "key name") for entry in listed]
    return Roster(
        _text(fields, "name"),
        _key(fields, "coordinator"),
        tuple(RosterSite(_text(site, "name"), _key(site, "key")) for site in sites),
    )


def _object(value: object, where: str, names: str) -> Mapping[str, object]:
    if not isinstance(value, dict) or sorted(value) != names.split():
        raise UsageError("roster-field", f"Expected exactly the fields {names} in {where}.")
    return value


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise UsageError("roster-field", f"Expected text under {name!r} in the roster.")
    return value


def _key(fields: Mapping[str, object], name: str) -> PublicKey:
    text = _text(fields, name)
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise UsageError("roster-key", f"Expected 64 lower-case hex digits under {name!r}.")
    return PublicKey(bytes.fromhex(text))


def _check_names(consortium: Sequence[str], sites: Sequence[str]) -> None:
    for name in (*consortium, *sites):
        if not _NAME.fullmatch(name) or len(name) > _MAX_NAME_LENGTH:
            raise UsageError(
                "roster-name",
                f"Expected a name of lower-case letters, digits and hyphens, found {name!r}.",
                "Write for example 'north-hospital'.",
            )
    if len(set(sites)) != len(sites):
        raise UsageError("duplicate-site", "Two sites of the roster have the same name.")


def _check_keys(keys: Sequence[PublicKey]) -> None:
    if any(len(key) != PUBLIC_KEY_BYTES for key in keys):
        raise UsageError("roster-key", f"Expected keys of {PUBLIC_KEY_BYTES} bytes.")
    if len(set(keys)) != len(keys):
        raise UsageError(
            "duplicate-key", "Two parties of the roster have the same key.", "Use one key each."
        )
