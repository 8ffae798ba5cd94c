"""Joining a consortium: request, welcome and fingerprint, by the commands of both sides."""

from pathlib import Path
from typing import Any

import pytest

from client.__main__ import app as site_app
from client.gate.keys import load_key
from client.gate.policy import read_policy
from client.gate.site_config import read_roster, read_site_config
from protocol import canonical
from protocol.errors import PeerError, PolicyError, StorageError, UsageError
from protocol.membership import (
    JoinRequest,
    Welcome,
    check_fingerprint,
    fingerprint,
    read_request,
    read_welcome,
)
from protocol.secagg.roster import Roster, RosterSite
from protocol.signing import public_key
from server.commands.coordinator import app as coordinator_app
from tests.support.joining_place import NAMES, Place, place, run
from tests.support.site_world import key

FIXTURES = (place,)  # found by its name


def test_a_site_joins_and_trusts_what_the_welcome_brought(place: Place) -> None:
    path, read_out = place.approve("north", "--superlink", "coordinator.example.org:443")
    done = place.site("north", "install", path, "--fingerprint", read_out)
    config = read_site_config(place.home("north") / "site.toml")
    assert config.flower.superlink == "coordinator.example.org:443"
    assert config.flower.root_certificates is not None
    root = place.folder / "coordinator" / "tls" / "root.pem"
    assert config.flower.root_certificates.read_bytes() == root.read_bytes()
    assert read_policy(config.site.policy).roster == done["roster_hash"]
    status = place.site("north", "status")
    assert status["roster"]["sites"] == ["north"]
    assert "# The consortium's roster" in (place.home("north") / "site.toml").read_text()


def test_no_secret_is_in_what_travels(place: Place) -> None:
    path, _ = place.approve("north")
    travels = place.request("north").read_bytes() + path.read_bytes()
    for secret in (place.home("north") / "keys").iterdir():
        content = secret.read_bytes()
        assert content not in travels
        assert content.hex().encode() not in travels


def test_one_more_site_leaves_the_others_keys_and_they_install_the_new_roster(
    place: Place,
) -> None:
    place.join("north")
    before = read_roster(place.home("north") / "roster.json")
    place.join("south")
    assert place.roster("south") == ["north", "south"]
    assert place.roster("north") == ["north"]
    path = place.folder / "again.welcome"
    again = place.coordinator("welcome", "north", "--out", path)
    place.site("north", "install", path, "--fingerprint", again["fingerprint"])
    after = read_roster(place.home("north") / "roster.json")
    assert after.sites[0] == before.sites[0]
    assert place.roster("north") == ["north", "south"]


def test_key_of_a_site_is_replaced_only_on_purpose(place: Place) -> None:
    for name in NAMES:
        place.join(name)
    fresh = place.home("south") / "keys" / "site.key"
    run(site_app, "init", "north", "--folder", place.folder / "anew", "--unit-column", "person")
    asked = place.folder / "anew.request"
    config = place.folder / "anew" / "site.toml"
    run(site_app, "request", "--out", asked, "--config", config)
    with pytest.raises(UsageError) as refused:
        place.coordinator("approve", asked, "--yes", "--out", place.folder / "w")
    assert refused.value.code == "other-key"
    place.coordinator("approve", asked, "--yes", "--replace", "--out", place.folder / "w")
    again = place.folder / "again.welcome"
    done = place.coordinator("welcome", "south", "--out", again)
    place.site("south", "install", again, "--fingerprint", done["fingerprint"])
    roster = read_roster(place.home("south") / "roster.json")
    assert roster.sites[1].key == public_key(load_key(fresh))
    with pytest.raises(PolicyError) as other:  # the old key is in no roster any more
        place.site(
            "north",
            "install",
            place.folder / "w",
            "--fingerprint",
            fingerprint((place.folder / "w").read_bytes()),
        )
    assert other.value.code == "welcome-other-key"


def test_a_key_is_compared_before_a_program_takes_a_site_in(place: Place) -> None:
    with pytest.raises(UsageError) as refused:
        place.coordinator("approve", place.request("north"))
    assert refused.value.code == "confirmation-needed"


def test_a_file_that_is_no_request_is_named(place: Place) -> None:
    other = place.folder / "other.request"
    with pytest.raises(UsageError, match=r"other\.request"):
        place.coordinator("approve", other, "--yes")
    other.write_bytes(b"PAR1")
    with pytest.raises(PeerError, match=r"other\.request.*concause site request"):
        place.coordinator("approve", other, "--yes")
    other.write_bytes(place.request("north").read_bytes().replace(b"it@", b"us@"))
    with pytest.raises(PeerError, match=r"other\.request.*does not hold"):
        place.coordinator("approve", other, "--yes")


@pytest.mark.parametrize(
    ("name", "options"),
    [("Demo", []), ("demo", ["--superlink", "0.0.0.0:19400", "--insecure"])],
)
def test_a_coordinator_that_cannot_work_leaves_nothing_behind(
    tmp_path: Path, name: str, options: list[str]
) -> None:
    with pytest.raises(UsageError):
        run(coordinator_app, "init", name, "--folder", tmp_path / "new", *options)
    assert not (tmp_path / "new").exists()


def test_site_is_taken_out_of_the_roster(place: Place) -> None:
    for name in NAMES:
        place.join(name)
    assert place.coordinator("remove", "south")["sites"] == ["north"]
    for gone in ("south", "west"):
        with pytest.raises(UsageError) as unknown:
            place.coordinator("remove", gone)
        assert unknown.value.code == "site-unknown"
    with pytest.raises(UsageError) as last:
        place.coordinator("remove", "north")
    assert last.value.code == "roster-size"
    with pytest.raises(UsageError) as removed:
        place.coordinator("welcome", "south")
    assert removed.value.code == "site-unknown"


def test_welcome_with_another_fingerprint_is_refused_and_changes_nothing(place: Place) -> None:
    path, read_out = place.approve("north")
    home = place.home("north")
    before = {file: file.read_bytes() for file in home.rglob("*") if file.is_file()}
    for wrong in ("0" + read_out[1:] if read_out[0] != "0" else "1" + read_out[1:], "", "zz"):
        with pytest.raises(PeerError) as refused:
            place.site("north", "install", path, "--fingerprint", wrong)
        assert refused.value.code == "fingerprint-mismatch"
    assert {file: file.read_bytes() for file in home.rglob("*") if file.is_file()} == before
    place.site("north", "install", path, "--fingerprint", read_out.upper().replace("-", " "))


def test_welcome_for_another_site_is_refused(place: Place) -> None:
    path, read_out = place.approve("north")
    with pytest.raises(UsageError) as refused:
        place.site("south", "install", path, "--fingerprint", read_out)
    assert refused.value.code == "welcome-for-another-site"


def test_request_is_noted_in_the_audit_log_once_installed(place: Place) -> None:
    place.join("north")
    log = (place.home("north") / "audit" / "audit.jsonl").read_text()
    assert '"event":"roster-installed"' in log


def test_certificates_are_renewed_without_new_trust(place: Place) -> None:
    tls = place.folder / "coordinator" / "tls"
    root, old = (tls / "root.pem").read_bytes(), (tls / "superlink.pem").read_bytes()
    with pytest.raises(StorageError) as there:
        place.coordinator("certify", "superlink")
    assert there.value.code == "file-exists"
    place.coordinator("certify", "superlink", "--renew")
    assert (tls / "superlink.pem").read_bytes() != old
    assert (tls / "root.pem").read_bytes() == root
    assert (tls / "superlink.key").stat().st_mode & 0o777 == 0o600
    (tls / "root.key").unlink()
    with pytest.raises(UsageError) as gone:
        place.coordinator("certify", "superlink", "--renew")
    assert gone.value.code == "authority-missing"
    assert (tls / "superlink.pem").exists()


ROSTER = Roster(
    "testers", public_key(key("coordinator")), (RosterSite("north", public_key(key("n"))),)
)


REQUEST = JoinRequest("north", public_key(key("n")), "").signed(key("n"))


WELCOME = Welcome("north", ROSTER, "a:1", "").signed(key("coordinator"))


def test_what_travels_reads_back() -> None:
    assert read_request(REQUEST) == JoinRequest("north", public_key(key("n")), "")
    assert read_welcome(WELCOME) == Welcome("north", ROSTER, "a:1", "")
    check_fingerprint(WELCOME, fingerprint(WELCOME))


@pytest.mark.parametrize("field", ["name", "key", "contact", "signature"])
def test_request_edited_in_any_field_is_refused(field: str) -> None:
    document = canonical.decode(REQUEST)
    assert isinstance(document, dict)
    edited = {"key": public_key(key("x")).hex(), "signature": "00" * 64}.get(field, "other")
    with pytest.raises(PeerError):
        read_request(canonical.encode({**document, field: edited}))


@pytest.mark.parametrize("field", ["site", "roster", "superlink", "root_certificates", "signature"])
def test_welcome_edited_in_any_field_is_refused(field: str) -> None:
    document = canonical.decode(WELCOME)
    assert isinstance(document, dict)
    other = Roster("others", ROSTER.coordinator, ROSTER.sites)
    edited: Any = {
        "roster": canonical.decode(other.canonical),
        "signature": "zz",
    }.get(field, "other")
    with pytest.raises(PeerError):
        read_welcome(canonical.encode({**document, field: edited}))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not-json"),
        (b"{}", "other-document"),
        (b"[]", "other-document"),
        (REQUEST, "other-document"),
    ],
)
def test_what_is_no_welcome_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_welcome(content)
    assert refused.value.code == code


def test_policy_without_a_place_for_the_roster_is_left_alone(place: Place) -> None:
    path, read_out = place.approve("north")
    policy = place.home("north") / "policy.toml"
    bare = 'format = "concause-policy/1"\n'
    policy.write_text(bare)
    with pytest.raises(UsageError) as refused:
        place.site("north", "install", path, "--fingerprint", read_out)
    assert refused.value.code == "policy-not-written"
    assert policy.read_text() == bare
    assert not (place.home("north") / "roster.json").exists()


def test_welcome_by_another_than_the_coordinator_is_refused() -> None:
    with pytest.raises(PeerError):
        read_welcome(Welcome("north", ROSTER, "a:1", "").signed(key("n")))
