"""What people of a site decide at a terminal: signing, reviewing, stopping, and its audit log."""

import json
import re
from pathlib import Path
from time import time
from typing import Any

import pytest
from typer.testing import CliRunner

from client.__main__ import app
from client.commands.output import replace_text
from client.gate.chain import Event
from client.gate.gate import Gate
from client.gate.ledger import Caps, Request
from client.gate.memory import CHARGED
from protocol.canonical import fraction_text
from protocol.errors import PolicyError, StorageError, UsageError
from protocol.identifiers import SessionId
from protocol.secagg.messages import decode_request
from protocol.study.document import parse_study
from tests.support.site_place import (
    COST,
    Place,
    gate,
    invitation,
    place,
    set_up,
)
from tests.support.site_world import STUDY

FIXTURES = (place, gate)  # found by their names


def test_what_the_coordinator_quotes_is_explained_at_the_site(place: Place, gate: Gate) -> None:
    asked = invitation(place)  # of a study that nobody approved
    quoted = json.loads(gate.respond(asked, now=int(time()))["refusal"])["id"]
    session = decode_request(asked).session.hex()
    for words in (quoted, f"000001-{session[:12]}", parse_study(STUDY).hash.hex()):
        found = place.document("explain", words)
        assert [line["event"] for line in found["audit"]] == ["refused"]
        assert [entry["code"] for entry in found["log"]] == ["study-not-approved"]
    assert "study-not-approved" in place.run("explain", quoted).stdout


def test_a_trace_is_shown_to_the_site_under_the_id_of_the_refusal(place: Place, gate: Gate) -> None:
    place.approve()
    (place.folder / "records.parquet").unlink()
    refusal = json.loads(gate.respond(invitation(place), now=int(time()))["refusal"])
    assert refusal["code"] == "site-not-ready"
    assert f"concause site explain {refusal['id']}" in refusal["remedy"]
    assert "Traceback" not in refusal["remedy"] + refusal["cause"]
    told = place.run("explain", refusal["id"]).stdout
    assert "Traceback" in told
    assert "`path` in [data]" in told


@pytest.mark.parametrize(
    ("quoted", "code"),
    [("0123456789abcdef", "id-unknown"), ("abc", "not-an-id"), ("", "not-an-id")],
)
def test_an_id_of_nothing_here_is_refused(place: Place, gate: Gate, quoted: str, code: str) -> None:
    gate.respond(b"", now=int(time()))
    with (place.folder / "memory" / "logs" / "gate.jsonl").open("a") as log:
        log.write('{"cut off')
    with pytest.raises(UsageError) as refused:
        place.run("explain", quoted)
    assert refused.value.code == code


@pytest.mark.parametrize("role", ["administrator", "auditor"])
def test_who_does_not_approve_is_told_so_before_anything_is_read(place: Place, role: str) -> None:
    with pytest.raises(PolicyError) as refused:
        place.approve(by=[role])
    assert refused.value.code == "role-not-allowed"


def test_who_signs_second_with_other_terms_begins_anew(place: Place) -> None:
    place.approve(by=["steward"])
    (second,) = place.approve("--rho-cap", "0.09", by=["privacy-officer"])
    assert "It still waits for: data steward." in second.stdout
    (third,) = place.approve(by=["steward"])
    assert "The study is approved." in third.stdout
    assert place.document("status")["approvals"][0]["standing"]["rho_cap"] == "9/100"


def test_review_says_in_words_what_is_asked_and_signs_nothing(place: Place) -> None:
    page = place.run("review", str(place.study)).stdout
    for words in (
        "WHO ASKS\nThe testers",
        "9 integers",
        "they could be at most",
        "(north, east, west)",
        "What is spent never comes back",
        "- Is every variable above needed",
    ):
        assert words in page
    assert place.document("status")["approvals"] == []


def test_pages_are_written_for_a_browser(place: Place) -> None:
    for command in ("review", "check"):
        path = place.folder / f"{command}.html"
        place.run(command, str(place.study), "--html", str(path))
        text = path.read_text()
        assert "<html" in text
        assert "http" not in text.replace("http-equiv", "")  # it fetches nothing


def test_person_needs_a_name_and_key_of_their_own(place: Place) -> None:
    before = (place.folder / "policy.toml").read_text()
    for name, key, words in (
        ("Ada", "steward", "--replace"),
        ("Eve", "steward", "must not share"),
        ("Ada", "new", "--replace"),
        (" ", "new", "Write it in quotes"),
    ):
        with pytest.raises(UsageError) as refused:
            place.run("person", name, "--role", "auditor", "--key", place.key(key))
        assert words in str(refused.value)
    assert not Path(place.key("new")).exists()
    assert (place.folder / "policy.toml").read_text() == before


def test_key_of_a_person_is_replaced_and_the_old_one_is_void(place: Place, gate: Gate) -> None:
    place.approve()
    new = str(place.folder / "keys" / "new.key")
    place.run("person", "Ben", "--role", "privacy-officer", "--key", new, "--replace")
    with pytest.raises(PolicyError) as refused:
        gate.answer(invitation(place), now=int(time()))
    assert refused.value.code == "approver-unknown"
    place.approve(by=["steward"])
    place.run("approve", str(place.study), "--yes", "--key", new)
    assert "body" in gate.respond(invitation(place), now=int(time()))


def test_pause_withdrawal_and_their_end_as_commands(place: Place, gate: Gate) -> None:
    place.approve()
    assert place.document("pause", "--why", "audit week")["paused"] is True
    assert "PAUSED" in place.run("status").stdout
    with pytest.raises(UsageError) as unkeyed:
        place.run("resume")
    assert unkeyed.value.code == "key-needed"
    place.run("resume", "--key", place.key("administrator"))
    place.run("withdraw", str(place.study), "--key", place.key("steward"), "--why", "ethics vote")
    with pytest.raises(PolicyError) as refused:
        gate.answer(invitation(place), now=int(time()))
    assert refused.value.code == "approval-withdrawn"
    place.run("accept-clock", "--key", place.key("administrator"))
    told = [(line["event"], line["who"], line.get("why")) for line in audit_lines(place)]
    assert ("approval-withdrawn", "Ada (data steward)", "ethics vote") in told
    assert told[-4][0] == "paused"
    assert told[-4][1].endswith("(no key)")


def audit_lines(place: Place) -> list[dict[str, Any]]:
    argv = ["audit", "show", "--config", str(place.settings), "--json"]
    found = CliRunner().invoke(app, argv, catch_exceptions=False)
    lines: list[dict[str, Any]] = json.loads(found.stdout)["lines"]
    return lines


def test_study_to_withdraw_is_named_by_file_or_hash(place: Place) -> None:
    place.approve()
    found = parse_study(STUDY).hash.hex()
    place.run("withdraw", found)
    assert place.document("withdraw", found[:12])["study"] == found
    for text in ("tiny", found[:7], "0" * 12, "00" * 32):
        with pytest.raises(UsageError) as refused:
            place.run("withdraw", text)
        assert refused.value.code == "study-unknown"


def test_envelope_admits_what_is_inside_it(place: Place, gate: Gate) -> None:
    study = str(place.study)
    with pytest.raises(PolicyError) as missing:
        place.run("admit", study)
    assert missing.value.code == "envelope-missing"
    wishes = place.folder / "envelope.toml"
    wishes.write_text(
        'format = "concause-envelope/1"\nauthors = ["The testers"]\nvariables = ["a", "b"]\n'
        "rho_study = 0.05\nrho_total = 0.08\nexpires = 2090-01-01\n"
    )
    for role, waits in (("steward", "waits for: privacy officer"), ("privacy-officer", "holds")):
        done = place.run("envelope", str(wishes), "--yes", "--key", place.key(role))
        assert waits in done.stdout
    place.run("admit", study)
    assert "body" in gate.respond(invitation(place), now=int(time()))
    assert place.document("status")["approvals"][0]["standing"]["by"] == ["envelope"]


def test_audit_log_is_exported_and_verified_by_someone_without_the_site(
    place: Place, gate: Gate, tmp_path: Path
) -> None:
    place.approve()
    gate.respond(invitation(place), now=int(time()))
    run = CliRunner()
    copy, seal = str(tmp_path / "log.jsonl"), str(tmp_path / "auditor.checkpoint")
    config = ["--config", str(place.settings)]
    exported = run.invoke(app, ["audit", "export", copy, *config, "--json"], catch_exceptions=False)
    trusted = ["--trust", json.loads(exported.stdout)["public_key"]]
    check = ["audit", "verify", copy, "--checkpoint", f"{copy}.checkpoint"]
    done = run.invoke(app, [*check, *trusted], catch_exceptions=False)
    assert "holds 1 checkpoints" in done.stdout
    with pytest.raises(PolicyError) as stranger:
        run.invoke(app, [*check, "--trust", "00" * 32], catch_exceptions=False)
    assert stranger.value.code == "checkpoint-not-trusted"
    Path(copy).write_bytes(b"".join(Path(copy).read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(PolicyError) as cut:
        run.invoke(app, [*check, *trusted], catch_exceptions=False)
    assert cut.value.code == "audit-truncated"
    attest = ["audit", "verify", *config, "--attest", seal, "--key", place.key("auditor")]
    assert run.invoke(app, attest, catch_exceptions=False).exit_code == 0
    gate.respond(b"more", now=int(time()))
    held = run.invoke(app, ["audit", "verify", *config, "--checkpoint", seal])
    assert "holds 1 checkpoints" in held.stdout
    with pytest.raises(StorageError) as taken:
        run.invoke(app, ["audit", "export", copy, *config], catch_exceptions=False)
    assert taken.value.code == "file-not-writable"


def test_a_signature_of_someone_replaced_since_is_asked_for_again(place: Place) -> None:
    place.approve(by=["steward"])
    new = str(place.folder / "keys" / "new.key")
    place.run("person", "Ada", "--role", "steward", "--key", new, "--replace")
    (second,) = place.approve(by=["privacy-officer"])
    assert "It still waits for: data steward." in second.stdout
    done = place.run("approve", str(place.study), "--yes", "--key", new)
    assert "The study is approved." in done.stdout
    assert place.document("status")["approvals"][0]["standing"]["by"] == ["Ben", "Ada"]


def test_a_file_that_is_no_approval_is_passed_over(place: Place) -> None:
    place.approve()
    (place.folder / "memory" / "approvals" / "notes.json").write_text("{}")
    assert len(place.document("status")["approvals"]) == 1


def test_a_damaged_audit_log_is_restored_by_the_administrator(place: Place) -> None:
    place.approve()
    log = place.folder / "audit" / "audit.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-50])
    with pytest.raises(PolicyError):
        place.run("audit", "show")
    with pytest.raises(PolicyError) as denied:
        place.run("audit", "restore", "--key", place.key("steward"))
    assert denied.value.code == "role-not-allowed"
    done = place.document("audit", "restore", "--key", place.key("administrator"), "--why", "disk")
    assert Path(done["kept"]).read_bytes() == whole[:-50]
    assert log.read_bytes().startswith(whole)
    assert place.document("audit", "show")["lines"][-1]["event"] == "audit-restored"


def test_an_envelope_is_withdrawn_by_the_command(place: Place) -> None:
    with pytest.raises(UsageError) as unsaid:
        place.run("withdraw")
    assert unsaid.value.code == "study-or-envelope"
    with pytest.raises(PolicyError) as nothing:
        place.run("withdraw", "--envelope")
    assert nothing.value.code == "envelope-missing"
    wishes = place.folder / "envelope.toml"
    wishes.write_text(
        'format = "concause-envelope/1"\nauthors = ["The testers"]\n'
        'variables = ["a", "b"]\nrho_study = 0.05\nrho_total = 0.05\nexpires = 2040-01-01\n'
    )
    for role in ("steward", "privacy-officer"):
        place.run("envelope", str(wishes), "--yes", "--key", place.key(role))
    assert place.document("withdraw", "--envelope", "--why", "no more")["withdrawn"]
    assert place.document("audit", "show")["lines"][-1]["event"] == "envelope-withdrawn"


def test_a_policy_stays_whole_when_the_disk_is_full(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place.folder / "policy.toml"
    before = path.read_text()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("client.gate.private.os.fsync", full)
    with pytest.raises(StorageError) as refused:
        replace_text(path, "half of")
    assert refused.value.code == "file-not-writable"
    assert path.read_text() == before
    assert not list(place.folder.glob("*.draft"))


@pytest.mark.parametrize("by", [None, "administrator"])
@pytest.mark.parametrize("damage", [b"", b"other\n" * 50])
def test_a_damaged_log_stops_nobody_from_stopping(
    place: Place, gate: Gate, by: str | None, damage: bytes
) -> None:
    place.approve()
    (place.folder / "audit" / "audit.jsonl").write_bytes(damage)
    key = () if by is None else ("--key", place.key(by))
    with pytest.raises(PolicyError, match=r"It is withdrawn\. But: "):
        place.run("withdraw", str(place.study), *key)
    (approval,) = place.document("status")["approvals"]
    assert approval["standing"]["code"] == "approval-withdrawn"
    with pytest.raises(PolicyError, match=r"The site is paused\. But: "):
        place.run("pause", *key)
    with pytest.raises(PolicyError) as refused:
        gate.answer(invitation(place), now=int(time()))
    assert refused.value.code == "site-paused"


def test_the_sites_own_log_is_verified_against_the_gates_database(place: Place) -> None:
    place.approve()
    assert "unbroken" in place.run("audit", "verify").stdout
    log = place.folder / "audit" / "audit.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(PolicyError) as cut:
        place.run("audit", "verify")
    assert cut.value.code == "audit-truncated"


def test_a_study_that_spent_is_approved_for_one_round_more(place: Place, gate: Gate) -> None:
    """The cap of an approval is on all rounds of its study, so it has to hold those that were."""
    study = parse_study(STUDY)
    place.approve()
    request = Request(SessionId(bytes(32)), study.hash, COST, int(time()) + 60)
    caps = Caps(1, 1)  # type: ignore[arg-type]
    gate._memory.ledger.reserve(request, caps, now=int(time()))
    gate._memory.ledger.charge(request, caps, now=int(time()))
    charged = Event(event=CHARGED, session=request.session.hex(), rho=fraction_text(COST))
    gate._memory.note(charged, now=int(time()))
    place.edit("policy.toml", budget={"lifetime": {"rho": 1}, "study": {"rho": 1}})
    with pytest.raises(UsageError) as refused:
        place.approve("--rho-cap", str(COST))
    assert refused.value.code == "rho-cap-below-cost"
    first, _ = place.approve()
    assert "NOT ENOUGH" not in first.stdout
    assert "body" in gate.respond(invitation(place), now=int(time()))
    place.edit("policy.toml", budget={"lifetime": {"rho": 1}, "study": {"rho": float(COST)}})
    assert "NOT ENOUGH for one round" in place.run("review", str(place.study)).stdout
    assert "NOT ENOUGH for one round" in place.approve()[0].stdout


def test_a_page_with_counts_is_for_its_owner_alone(place: Place) -> None:
    path = place.folder / "check.html"
    path.write_text("an older one")
    path.chmod(0o644)
    place.run("check", str(place.study), "--html", str(path))
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_audit_log_is_shown_as_one(place: Place, tmp_path: Path) -> None:
    set_up(tmp_path / "new", "--unit-column", "person")
    assert "No entries yet." in Place(tmp_path / "new").run("audit", "show").stdout
    assert place.document("audit", "show")["lines"]


def test_who_attests_without_being_an_auditor_is_told_so(place: Place) -> None:
    for role, said in (("auditor", False), ("steward", True)):
        seal = str(place.folder / f"{role}.seal")
        key = place.key(role)
        done = place.run("audit", "verify", "--attest", seal, "--key", key).stdout
        assert ("nobody will trust it" in done) is said


def test_a_study_that_has_expired_is_said_to_have(place: Place) -> None:
    place.study.write_text(re.sub(r"expires = \S+", "expires = 2020-01-01", STUDY))
    assert "The study has expired, on 2020-01-01." in place.run("check", str(place.study)).stdout
