"""The roster: canonical bytes, strict parsing, and each rule that can be broken."""

from collections.abc import Callable

import pytest

from protocol import canonical
from protocol.errors import UsageError
from protocol.identifiers import PublicKey
from protocol.secagg.roster import Roster, RosterSite, parse_roster
from tests.support.secagg_network import consortium

ROSTER = consortium(3).roster


def test_parsing_gives_back_the_roster_and_its_bytes() -> None:
    assert parse_roster(ROSTER.canonical) == ROSTER
    assert parse_roster(ROSTER.canonical).canonical == ROSTER.canonical


def test_a_site_is_found_by_its_name() -> None:
    assert [ROSTER.site_id(site.name) for site in ROSTER.sites] == list(ROSTER.ids)


def test_an_unknown_site_is_told_the_names() -> None:
    with pytest.raises(UsageError, match="site-0, site-1, site-2") as refused:
        ROSTER.site_id("elsewhere")
    assert refused.value.code == "not-in-roster"


def test_the_order_of_the_sites_changes_the_hash() -> None:
    turned = Roster(ROSTER.name, ROSTER.coordinator, ROSTER.sites[::-1])
    assert turned.hash != ROSTER.hash


def key(number: int) -> PublicKey:
    return PublicKey(number.to_bytes(32, "big"))


def sites(*names: str) -> tuple[RosterSite, ...]:
    return tuple(RosterSite(name, key(place + 1)) for place, name in enumerate(names))


BROKEN: dict[str, tuple[str, Callable[[], Roster]]] = {
    "no site": ("roster-size", lambda: Roster("r", key(0), ())),
    "201 sites": (
        "roster-size",
        lambda: Roster("r", key(0), sites(*(f"s{i}" for i in range(201)))),
    ),
    "a name with a space": ("roster-name", lambda: Roster("r", key(0), sites("north wing"))),
    "an empty name": ("roster-name", lambda: Roster("", key(0), sites("a"))),
    "a name of 65 letters": ("roster-name", lambda: Roster("r", key(0), sites("a" * 65))),
    "one name twice": ("duplicate-site", lambda: Roster("r", key(0), sites("a", "a"))),
    "one key twice": ("duplicate-key", lambda: Roster("r", key(1), sites("a"))),
    "a short key": ("roster-key", lambda: Roster("r", PublicKey(b"short"), sites("a"))),
}


@pytest.mark.parametrize(("code", "build"), BROKEN.values(), ids=BROKEN)
def test_a_roster_that_breaks_a_rule_is_refused(code: str, build: Callable[[], Roster]) -> None:
    with pytest.raises(UsageError) as refused:
        build()
    assert refused.value.code == code


DOCUMENT: dict[str, canonical.Json] = {
    "format": "concause-roster/1",
    "name": "r",
    "coordinator": key(0).hex(),
    "sites": [{"name": "a", "key": key(1).hex()}],
}
UNREADABLE: dict[str, tuple[str, canonical.Json]] = {
    "another format": ("roster-format", {**DOCUMENT, "format": "concause-roster/2"}),
    "a field too many": ("roster-field", {**DOCUMENT, "comment": "hello"}),
    "no sites": ("roster-field", {k: v for k, v in DOCUMENT.items() if k != "sites"}),
    "sites that are no list": ("roster-field", {**DOCUMENT, "sites": "a"}),
    "a site that is no object": ("roster-field", {**DOCUMENT, "sites": ["a"]}),
    "a name that is no text": ("roster-field", {**DOCUMENT, "name": 3}),
    "a key in capitals": ("roster-key", {**DOCUMENT, "coordinator": "AB" * 32}),
    "a list": ("roster-field", [1]),
}


def test_the_document_of_the_refusals_is_otherwise_good() -> None:
    assert parse_roster(canonical.encode(DOCUMENT)).name == "r"


@pytest.mark.parametrize(("code", "document"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_document_that_is_not_a_roster_is_refused(code: str, document: canonical.Json) -> None:
    with pytest.raises(UsageError) as refused:
        parse_roster(canonical.encode(document))
    assert refused.value.code == code


def test_a_roster_in_another_layout_is_refused() -> None:
    with pytest.raises(UsageError) as refused:
        parse_roster(ROSTER.canonical + b"\n")
    assert refused.value.code == "not-canonical"
