"""The roster: who takes part, and the signing key of each, pinned at every party (SPEC 4.1).

A site's place in the list is its `SiteId`. The document is public and canonical; its
hash is in every descriptor, so a coordinator cannot show two sites two rosters.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from protocol import canonical
from protocol.canonical import Json
from protocol.errors import UsageError
from protocol.identifiers import MAX_SITES, PUBLIC_KEY_BYTES, Digest, PublicKey, SiteId

FORMAT = "concause-roster/1"
AGGREGATORS = (0, 2, 3)  # how many there may be
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MAX_NAME_LENGTH = 64


@dataclass(frozen=True, slots=True)
class RosterSite:
    """One site: its name and its Ed25519 signing key."""

    name: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class RosterAggregator:
    """One operator that adds up shares: its name, its Ed25519 key, its X25519 key for seals."""

    name: str
    key: PublicKey
    sealing_key: PublicKey


@dataclass(frozen=True, slots=True)
class Roster:
    """The consortium: coordinator, sites, 1 to 200, and aggregators, none, two or three.

    Names and keys are all distinct.

    Raises:
        UsageError: on construction, if that does not hold.
    """

    name: str
    coordinator: PublicKey
    sites: tuple[RosterSite, ...]
    aggregators: tuple[RosterAggregator, ...] = ()
    hash: Digest = field(init=False, repr=False, compare=False)  # SHA-256 of `canonical`

    def __post_init__(self) -> None:
        members: tuple[RosterSite | RosterAggregator, ...] = (*self.sites, *self.aggregators)
        _check_names([self.name], [member.name for member in members])
        sealing = (aggregator.sealing_key for aggregator in self.aggregators)
        _check_keys([self.coordinator, *(member.key for member in members), *sealing])
        if not 1 <= len(self.sites) <= MAX_SITES:
            raise UsageError(
                "roster-size", f"Expected 1 to {MAX_SITES} sites, found {len(self.sites)}."
            )
        if len(self.aggregators) not in AGGREGATORS:
            raise UsageError(
                "roster-aggregators",
                f"Expected no aggregators, 2 or 3, found {len(self.aggregators)}.",
                "One alone would see every site's numbers; enrol a second.",
            )
        # Once: every check of a descriptor compares it.
        object.__setattr__(self, "hash", Digest(hashlib.sha256(self.canonical).digest()))

    @property
    def canonical(self) -> bytes:
        """Return the canonical JSON of the roster."""
        document: dict[str, Json] = {
            "format": FORMAT,
            "name": self.name,
            "coordinator": self.coordinator.hex(),
            "sites": [{"name": site.name, "key": site.key.hex()} for site in self.sites],
        }
        if self.aggregators:
            document["aggregators"] = [
                {"name": one.name, "key": one.key.hex(), "sealing_key": one.sealing_key.hex()}
                for one in self.aggregators
            ]
        return canonical.encode(document)

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
    decoded = canonical.decode(document)
    given = "aggregators " if isinstance(decoded, dict) and "aggregators" in decoded else ""
    fields = _object(decoded, "the roster", f"{given}coordinator format name sites")
    if fields["format"] != FORMAT:
        raise UsageError("roster-format", f"Expected format {FORMAT!r} in the roster.")
    sites = _listed(fields, "sites", "each site of the roster", "key name")
    aggregators = _listed(
        fields, "aggregators", "each aggregator of the roster", "key name sealing_key"
    )
    if given and not aggregators:
        raise UsageError("roster-field", "Expected no field 'aggregators' where there are none.")
    return Roster(
        _text(fields, "name"),
        _key(fields, "coordinator"),
        tuple(RosterSite(_text(site, "name"), _key(site, "key")) for site in sites),
        tuple(
            RosterAggregator(_text(one, "name"), _key(one, "key"), _key(one, "sealing_key"))
            for one in aggregators
        ),
    )


def _listed(
    fields: Mapping[str, object], name: str, where: str, names: str
) -> list[Mapping[str, object]]:
    listed = fields.get(name, [])
    if not isinstance(listed, list):
        raise UsageError("roster-field", f"Expected a list under {name!r} in the roster.")
    return [_object(entry, where, names) for entry in listed]


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


def check_name(name: str) -> None:
    """Check the name of a consortium, or of a member of one.

    Raises:
        UsageError: a roster could not hold it.
    """
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME_LENGTH:
        raise UsageError(
            "roster-name",
            f"Expected a name of lower-case letters, digits and hyphens, found {name!r}.",
            "Write for example 'north-hospital'.",
        )


def _check_names(consortium: Sequence[str], sites: Sequence[str]) -> None:
    for name in (*consortium, *sites):
        check_name(name)
    if len(set(sites)) != len(sites):
        raise UsageError("duplicate-site", "Two sites of the roster have the same name.")


def _check_keys(keys: Sequence[PublicKey]) -> None:
    if any(len(key) != PUBLIC_KEY_BYTES for key in keys):
        raise UsageError("roster-key", f"Expected keys of {PUBLIC_KEY_BYTES} bytes.")
    if len(set(keys)) != len(keys):
        raise UsageError(
            "duplicate-key", "Two parties of the roster have the same key.", "Use one key each."
        )
