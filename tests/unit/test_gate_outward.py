"""What leaves a site after a failure, what its log keeps, and that there is one gate at a time."""

import io
import json
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import pytest

from client.gate import ledger
from client.gate.gate import Gate
from client.gate.keys import SECRET_BYTES
from client.gate.memory import LOG_FILE, open_gate_memory, open_memory
from client.gate.outward import MAX_TEXT, refusal_of
from client.gate.site_log import FIELDS, SiteLog
from protocol import canonical
from protocol.errors import (
    BudgetError,
    CohortError,
    ConcauseError,
    PeerError,
    PolicyError,
    SiteOnlyError,
    StorageError,
    UsageError,
)
from protocol.secagg.messages import Invitation, encode_message
from tests.support.site_world import NOW, World

PLANTED = "patient 4711, HIV positive"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path)) as world:
        yield world


@pytest.mark.parametrize(
    "error",
    [
        ValueError(PLANTED),
        KeyError(PLANTED),
        OSError(13, "denied", PLANTED),
        RuntimeError(PLANTED, {"cause": PLANTED}),
        type(PLANTED.replace(" ", ""), (Exception,), {})(PLANTED),
    ],
)
def test_planted_value_in_a_foreign_error_never_leaves(error: Exception) -> None:
    outward = refusal_of(error, "id-1").encode()
    assert b"4711" not in outward
    assert b"HIV" not in outward
    assert b'"code":"internal"' in outward


def test_planted_value_behind_one_of_our_errors_never_leaves() -> None:
    error = UsageError("a-code", "A cause.")
    error.__cause__ = ValueError(PLANTED)
    assert b"4711" not in refusal_of(error, "id-1").encode()


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (PolicyError("a-code", "Cause.", "Remedy."), "policy"),
        (PeerError("a-code", "Cause.", "Remedy.", culprits=[1]), "protocol"),
        (CohortError("a-code", "Cause.", "Remedy.", found=1, needed=2), "cohort"),
        (
            BudgetError(
                "a-code", "Cause.", "Remedy.", remaining=Fraction(1), requested=Fraction(2)
            ),
            "budget",
        ),
    ],
)
def test_what_others_must_mend_leaves_with_its_words(error: ConcauseError, category: str) -> None:
    assert canonical.decode(refusal_of(error, "id-1").encode()) == {
        "category": category,
        "code": "a-code",
        "cause": "Cause.",
        "remedy": "Remedy.",
        "id": "id-1",
    }


@pytest.mark.parametrize(
    "error",
    [
        UsageError("column-missing", PLANTED, "Look into /srv/hospital/policy.toml."),
        StorageError("data-changed", PLANTED, "Look into /srv/hospital/policy.toml."),
        SiteOnlyError("approval-other-snapshot", PLANTED, "Look into /srv/hospital/policy.toml."),
    ],
)
def test_what_only_the_site_can_mend_leaves_as_one_fixed_answer(error: ConcauseError) -> None:
    same = refusal_of(StorageError("another-code", "Another cause."), "id-1")
    assert refusal_of(error, "id-1") == same
    assert (same.category, same.code) == ("infrastructure", "site-not-ready")
    assert b"4711" not in refusal_of(error, "id-1").encode()


def test_words_that_leave_are_bounded() -> None:
    refusal = refusal_of(PolicyError("a-code", "x" * 5000, "y" * 5000), "id-1")
    assert (len(refusal.cause), len(refusal.remedy)) == (MAX_TEXT, MAX_TEXT)


def lines(world: World) -> list[dict[str, str]]:
    text = (world.config(0).site.folder / LOG_FILE).read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_refusal_is_in_the_log_under_the_id_that_left(world: World) -> None:
    refusal = canonical.decode(world.open(0).respond(b"\x99", now=NOW)["refusal"])
    assert isinstance(refusal, dict)
    (line,) = lines(world)
    assert (line["event"], line["level"]) == ("refused", "warning")
    assert (line["incident"], line["code"]) == (refusal["id"], refusal["code"])
    assert "trace" not in line


def test_ledger_and_log_keep_what_the_fixed_answer_hides(world: World) -> None:
    gate = world.open(0)
    error = UsageError("column-missing", "A cause.", "A remedy.")
    refusal = gate.refuse(error, b"\x99", now=NOW)
    assert refusal.code == "site-not-ready"
    (line,) = lines(world)
    assert (line["incident"], line["code"]) == (refusal.id, "column-missing")
    assert "A cause." in line["trace"]
    (entry,) = gate._memory.ledger.entries()
    assert (entry.incident, entry.code) == (refusal.id, "column-missing")


def test_a_flood_of_junk_stops_filling_the_disk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MAX_REFUSALS_A_DAY", 3)
    gate = world.open(0)
    for _ in range(5):
        assert "refusal" in gate.respond(b"\x99", now=NOW)
    assert len(lines(world)) == len(gate._memory.ledger.entries()) == 3
    gate.respond(b"\x99", now=NOW + 90_000)
    assert len(gate._memory.ledger.entries()) == 4


def test_refusal_leaves_even_when_the_disk_does_not_take_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = world.open(0)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gate._log, "alarm", full)
    assert b'"code":"unknown-message"' in gate.respond(b"\x99", now=NOW)["refusal"]


def test_answer_is_noted_without_anything_of_its_content(world: World) -> None:
    signed = world.issue()
    world.open(0).answer(encode_message(Invitation(signed)), now=NOW)
    (line,) = lines(world)
    assert (line["event"], line["step"]) == ("answered", "Advert")
    assert line["session"] == signed.descriptor.session.hex()


def test_answer_leaves_even_when_the_log_does_not_take_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = world.open(0)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gate._log, "note", full)
    body = encode_message(Invitation(world.issue()))
    assert gate.answer(body, now=NOW) == gate.answer(body, now=NOW)


def test_log_drops_fields_that_are_not_on_the_list_and_says_so(tmp_path: Path) -> None:
    with closing(SiteLog(tmp_path / "log.jsonl")) as log:
        log.note("measured", step="masked", patient=PLANTED, code=None)
    (line,) = [json.loads(text) for text in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert set(line) <= FIELDS
    assert line["event"] == "measured (dropped: patient)"
    assert PLANTED not in str(line)


def test_log_speaks_plainly_on_a_terminal_and_of_nothing_else(tmp_path: Path) -> None:
    screen = io.StringIO()
    with closing(SiteLog(tmp_path / "log.jsonl", screen)) as log:
        log.note("answered", step="Advert", study="ab" * 32, patient=PLANTED)
        log.alarm("refused", error=ValueError(PLANTED), code="other-roster", incident="id-1")
    first, second = screen.getvalue().splitlines()
    assert first[9:] == "answered (dropped: patient) step=Advert study=abababab..."
    assert second[9:] == "refused code=other-roster incident=id-1"
    assert PLANTED not in screen.getvalue()


def test_log_is_private(tmp_path: Path) -> None:
    with closing(SiteLog(tmp_path / "log.jsonl")):
        assert (tmp_path / "log.jsonl").stat().st_mode & 0o777 == 0o600


def test_secrets_are_in_no_repr(world: World) -> None:
    gate: Gate = world.open(0)
    shown = repr(gate._member) + repr(gate._means)
    assert "Ed25519PrivateKey" not in shown
    assert str(b"b" * SECRET_BYTES) not in shown


def test_second_gate_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with closing(open_gate_memory(tmp_path, tmp_path / "audit")):
        with pytest.raises(StorageError) as refused:
            open_gate_memory(tmp_path, tmp_path / "audit")
        assert refused.value.code == "gate-already-running"
        open_memory(tmp_path, tmp_path / "audit").close()
    open_gate_memory(tmp_path, tmp_path / "audit").close()


def test_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    folder.mkdir(mode=0o755)
    with pytest.raises(StorageError) as refused:
        open_memory(folder, tmp_path / "audit")
    assert refused.value.code == "folder-open-to-others"


def test_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as refused:
        open_memory(tmp_path / "file" / "memory", tmp_path / "audit")
    assert refused.value.code == "folder-not-writable"


@pytest.mark.parametrize("level", ["note", "alarm"])
def test_a_log_on_a_full_disk_stops_nobody(level: str) -> None:
    with closing(SiteLog(Path("/dev/full"))) as log:
        for _ in range(3):
            getattr(log, level)("supernode-ended", attempt=1)


def test_refusals_of_a_time_to_come_do_not_use_up_those_of_today(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MAX_REFUSALS_A_DAY", 2)
    kept = world.open(0)._memory.ledger
    later = NOW + 10 * ledger.YEAR_S
    for _ in range(2):
        assert kept.note_refusal("x", "1", session=None, study=None, now=later)
    assert not kept.note_refusal("x", "1", session=None, study=None, now=later)
    assert kept.note_refusal("x", "1", session=None, study=None, now=NOW)
