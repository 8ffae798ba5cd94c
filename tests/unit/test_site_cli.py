"""The `concause site` commands, from an empty folder to a ledger, on real records."""

import socket
import urllib.request
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from time import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomlkit
from typer.testing import CliRunner

from client.__main__ import app
from client.gate.gate import Gate
from client.gate.keys import create_key, load_key
from client.gate.ledger import Kind
from client.gate.opening import open_gate
from client.gate.site_config import read_site_config
from protocol.errors import PolicyError, StorageError, UsageError
from protocol.secagg.roster import Roster, RosterSite
from protocol.signing import public_key
from tests.support.site_place import COST, RECORDS, Place, gate, invitation, place, set_up
from tests.support.site_supernode import free_port
from tests.support.site_world import STUDY, entries, key

FIXTURES = (place, gate)  # found by their names


def test_new_site_is_closed_to_others_and_allows_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "north"
    shown = set_up(folder).stdout
    config = read_site_config(folder / "site.toml")
    assert public_key(load_key(config.site.signing_key)).hex() in shown
    assert {path.stat().st_mode & 0o777 for path in (folder, folder / "keys")} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in (folder / "keys").iterdir()} == {0o600}
    (folder / "study.toml").write_text(STUDY)
    (folder / "roster.json").write_bytes(
        Roster("x", public_key(key("c")), (RosterSite("north", public_key(key("n"))),)).canonical
    )
    fresh = Place(folder)
    fresh.run("person", "Ada", "--role", "steward", "--key", fresh.key("steward"))
    with pytest.raises(PolicyError) as refused:
        fresh.approve(by=["steward"])
    assert refused.value.code == "policy-roster-unset"


def test_new_site_goes_into_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(app, ["init", "north"], catch_exceptions=False)
    assert read_site_config(Path("north/site.toml")).flower.insecure is False


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "north"
    set_up(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UsageError) as refused:
        set_up(folder)
    assert refused.value.code == "site-exists"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_name_that_no_roster_takes_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    argv = ["init", "St. Mary", "--folder", str(tmp_path / "new")]
    with pytest.raises(UsageError, match="lower-case letters"):
        CliRunner().invoke(app, argv, catch_exceptions=False)
    assert not (tmp_path / "new").exists()


def test_check_shows_how_the_records_fit(place: Place) -> None:
    document = place.document("check", str(place.study))
    assert (document["ready"], document["rows"], document["units"]) == (True, 5, 5)
    assert "Nothing to mend." in place.run("check", str(place.study)).stdout


def test_check_of_records_that_do_not_fit_ends_with_exit_code_2(place: Place) -> None:
    study = place.folder / "other.toml"
    study.write_text(
        STUDY.replace("variables.b", "variables.c")
        .replace("-> b", "-> c")
        .replace('outcome = "b"', 'outcome = "c"')
    )
    result = place.run("check", str(study))
    assert result.exit_code == 2
    assert "c has no column" in result.stdout
    (row,) = [line for line in result.stdout.splitlines() if "no such column" in line]
    assert row.count(" - ") == 4


def test_approval_shows_what_leaves_and_asks(place: Place) -> None:
    result = place.run("approve", str(place.study), "--key", place.key("steward"), stdin="n\n")
    assert result.exit_code == 1
    for words in ("The testers", "9 integers", "at least 3 of 3 sites", "Sign?"):
        assert words in result.stdout
    assert place.document("status")["approvals"] == []


def test_approved_study_is_answered_and_charged_to_the_ledger(place: Place, gate: Gate) -> None:
    first, second = place.approve()
    assert "It still waits for: privacy officer." in first.stdout
    assert "Signed by Ben (privacy officer). The study is approved." in second.stdout
    assert "body" in gate.respond(invitation(place), now=int(time()))
    (entry,) = place.document("ledger")["entries"]
    assert (entry["kind"], Fraction(entry["rho"])) == ("reservation", COST)
    status = place.document("status")
    assert [found["step"] for found in status["rounds"]] == ["advertised"]
    assert Fraction(status["budget"]["remaining"]) == Fraction(1, 10) - COST


def test_refusal_is_in_the_ledger_for_people_too(place: Place, gate: Gate) -> None:
    gate.respond(invitation(place), now=int(time()))
    (entry,) = entries(gate, Kind.REFUSAL)
    shown = place.run("ledger").stdout
    assert "refusal" in shown
    assert str(entry.incident)[:6] in shown


def test_records_that_change_after_the_approval_void_it(place: Place, gate: Gate) -> None:
    place.approve()
    pq.write_table(pa.table(RECORDS | {"b": [0, 0, 0, 0, 0]}), place.folder / "records.parquet")
    with pytest.raises(PolicyError) as refused:
        gate.answer(invitation(place), now=int(time()))
    assert refused.value.code == "approval-other-snapshot"


def test_approval_has_the_terms_that_were_asked_for(place: Place) -> None:
    place.approve("--rho-cap", "0.1", "--expires", "2050-01-31", by=["steward"])
    place.approve(by=["privacy-officer"])
    standing = place.document("status")["approvals"][0]["standing"]
    assert (standing["rho_cap"], standing["expires"]) == ("1/10", 2_527_286_399)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--rho-cap", "0.0001"], "rho-cap-below-cost"),
        (["--rho-cap", "much"], "not-a-number"),
        (["--expires", "2020-01-01"], "expiry-out-of-range"),
        (["--expires", "2199-01-01"], "expiry-out-of-range"),
        (["--key", "none.key"], "file-not-readable"),
    ],
)
def test_approval_on_terms_that_cannot_be_is_refused(
    place: Place, options: list[str], code: str
) -> None:
    with pytest.raises(UsageError) as refused:
        place.approve(*options, by=["steward"])
    assert refused.value.code == code


def test_json_does_not_ask_and_so_needs_a_yes(place: Place) -> None:
    with pytest.raises(UsageError) as refused:
        place.run("approve", str(place.study), "--json", "--key", place.key("steward"))
    assert refused.value.code == "confirmation-needed"


def test_approval_with_a_key_that_the_policy_does_not_name_is_refused(place: Place) -> None:
    create_key(place.folder / "other.key")
    with pytest.raises(PolicyError) as refused:
        place.run("approve", str(place.study), "--yes", "--key", str(place.folder / "other.key"))
    assert refused.value.code == "approver-unknown"


def test_approval_without_any_key_is_refused(place: Place) -> None:
    with pytest.raises(UsageError) as refused:
        place.run("approve", str(place.study), "--yes")
    assert refused.value.code == "key-needed"


def test_mapping_is_proposed_and_not_written(place: Place) -> None:
    table = {"A": ["yes", "no"], "b": [0, 1], "person": [1, 2]}
    pq.write_table(pa.table(table), place.folder / "records.parquet")
    before = place.settings.read_text()
    shown = place.run("map", str(place.study), "--suggest").stdout
    assert place.run("map", str(place.study)).stdout == shown
    assert tomlkit.parse(shown).unwrap() == {
        "mapping": {"a": {"column": "A", "values": {"no": "0", "yes": "1"}}}
    }
    assert place.settings.read_text() == before


def test_gate_is_watched_where_the_settings_say(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    port = free_port()

    def look(*_: object) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
            seen.append(response.read())

    monkeypatch.setattr("client.gate.agent.Agent.run", look)
    monkeypatch.setattr("client.commands.work.signal.signal", lambda *_: None)
    text = place.settings.read_text().replace("# health_port = 9095", f"health_port = {port}")
    place.settings.write_text(text)
    place.run("start")
    assert b"concause_rho_charged 0.0" in seen[0]


def test_study_that_is_not_there_is_refused(place: Place) -> None:
    argv = ("approve", str(place.folder / "none.toml"), "--yes", "--key", place.key("steward"))
    with pytest.raises(UsageError) as refused:
        place.run(*argv)
    assert refused.value.code == "file-not-readable"


def test_status_of_a_new_site_says_what_is_missing_and_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "north"
    set_up(folder)
    status = Place(folder).document("status")
    assert status["roster"]["code"] == "roster-not-found"
    assert status["budget"]["code"] == "policy-budget-unset"
    assert "Not yet." in Place(folder).run("status").stdout


def test_status_names_an_approval_that_does_not_stand_any_more(place: Place) -> None:
    place.approve()
    assert "signed by Ada, Ben until" in place.run("status").stdout
    place.edit("policy.toml", people=[])
    (approval,) = place.document("status")["approvals"]
    assert approval["standing"]["code"] == "approver-unknown"


def test_start_answers_until_told_to_stop(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[object] = []
    monkeypatch.setattr("client.gate.agent.Agent.run", lambda _, stop: served.append(stop))
    monkeypatch.setattr("client.commands.work.signal.signal", lambda *_: None)
    assert "is at work" in place.run("start").stdout
    assert len(served) == 1
    with closing(open_gate(place.config, now=int(time()))):
        pass  # the first gate has let go of its folder


def test_start_with_supernode_runs_it_as_long_as_the_gate(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[bool] = []
    monkeypatch.setattr("client.gate.agent.Agent.run", lambda *_: None)
    monkeypatch.setattr("client.commands.work.signal.signal", lambda *_: None)
    monkeypatch.setattr(
        "client.gate.supervisor.Supervisor.run", lambda _, stop: ran.append(stop.wait(20))
    )
    place.run("start", "--with-supernode")
    assert ran == [True]


def test_second_gate_is_not_started(place: Place, gate: Gate) -> None:
    assert gate is not None
    with pytest.raises(StorageError) as refused:
        place.run("start")
    assert refused.value.code == "gate-already-running"


def test_supernode_whose_port_is_taken_is_not_started(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        path = place.folder / "site.toml"
        path.write_text(path.read_text().replace("runtime_port = 9094", f"runtime_port = {port}"))
        with pytest.raises(StorageError) as refused:
            place.run("start", "--with-supernode")
    assert refused.value.code == "port-in-use"
