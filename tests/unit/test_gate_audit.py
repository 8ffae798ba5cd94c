"""The audit log: one chain, in which nothing can be changed, added, removed or cut off unseen."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from client.gate.audit import SCHEMA, Audit
from client.gate.chain import GENESIS, MAX_WHY, Event, check_holds, read_lines
from client.gate.database import Database
from protocol import canonical
from protocol.checkpoints import (
    CHECKPOINT_BYTES,
    join_checkpoints,
    own_checkpoint,
    read_checkpoint,
    sign_checkpoint,
)
from protocol.errors import ConcauseError, PolicyError, StorageError, UsageError
from protocol.signing import public_key
from tests.support.site_world import key

NOW = 1_000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "gate.sqlite", SCHEMA)) as database:
        yield database


@pytest.fixture
def audit(database: Database, tmp_path: Path) -> Audit:
    """Return a log of three lines."""
    audit = Audit(database, tmp_path / "audit")
    for number in range(3):
        audit.record(Event(event=f"event-{number}", why="because"), now=NOW + number)
    audit.flush()
    return audit


def lines(audit: Audit) -> list[bytes]:
    return audit.path.read_bytes().splitlines(keepends=True)


def test_lines_read_back_in_one_chain(audit: Audit) -> None:
    found = read_lines(audit.path.read_bytes())
    assert [line.number for line in found] == [1, 2, 3]
    assert [line.previous for line in found] == [GENESIS, found[0].hash, found[1].hash]
    assert audit.head == found[-1].hash
    assert audit.has(found[0].hash)
    audit.check()


def test_line_holds_what_was_told_and_nothing_empty(audit: Audit) -> None:
    line = json.loads(lines(audit)[0])
    assert len(bytes.fromhex(line.pop("salt"))) == 16
    assert line == {
        "number": 1,
        "at": NOW,
        "previous": GENESIS.hex(),
        "event": "event-0",
        "who": "gate",
        "why": "because",
    }


Edit = Callable[[list[bytes]], list[bytes]]
EDITS: dict[str, tuple[Edit, str]] = {
    "a word": (lambda found: [found[0], found[1].replace(b"because", b"perhaps"), found[2]], "3"),
    "a time": (lambda found: [found[0].replace(b"1000", b"1001"), *found[1:]], "2"),
    "a line removed": (lambda found: [found[0], found[2]], "2"),
    "the first removed": (lambda found: found[1:], "1"),
    "two exchanged": (lambda found: [found[1], found[0], found[2]], "1"),
    "one twice": (lambda found: [found[0], found[0], *found[1:]], "2"),
    "spaces": (lambda found: [found[0], found[1].replace(b":", b": ", 1), found[2]], "2"),
    "a field": (lambda found: [found[0].replace(b"{", b'{"added":"x",', 1), *found[1:]], "1"),
    "a number for a text": (lambda found: [found[0].replace(b'"gate"', b"7"), *found[1:]], "1"),
    "no JSON": (lambda found: [found[0], b"nonsense\n", found[2]], "2"),
    "half a line": (lambda found: [*found[:2], found[2][:20]], "3"),
}


@pytest.mark.parametrize("name", EDITS)
def test_edited_line_is_found_and_named(audit: Audit, name: str) -> None:
    edit, number = EDITS[name]
    edited = b"".join(edit(lines(audit)))
    with pytest.raises(PolicyError) as refused:
        read_lines(edited)
    assert refused.value.code == "audit-edited"
    assert f"Line {number} " in refused.value.cause
    audit.path.write_bytes(edited)
    with pytest.raises(ConcauseError):
        audit.check()


def rechained(content: bytes) -> bytes:
    """Return a log with a word changed, and every hash after it made to fit again."""
    previous, out = GENESIS, b""
    for text in content.splitlines():
        fields = json.loads(text)
        fields["previous"] = previous.hex()
        fields["why"] = "perhaps"
        line = canonical.encode(fields)
        (*_, last) = read_lines(out + line + b"\n")
        previous, out = last.hash, out + line + b"\n"
    return out


def test_a_log_that_was_written_anew_is_found_by_the_gate_and_by_a_checkpoint(
    audit: Audit,
) -> None:
    checkpoint = sign_checkpoint(audit.head, key("site-0"))
    forged = rechained(audit.path.read_bytes())
    with pytest.raises(PolicyError) as unheld:
        check_holds(read_lines(forged), checkpoint)
    assert unheld.value.code == "audit-truncated"
    audit.path.write_bytes(forged)
    with pytest.raises(PolicyError) as refused:
        audit.check()
    assert refused.value.code == "state-rolled-back"


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_truncated_file_is_a_whole_chain_that_lacks_its_checkpoint(audit: Audit, kept: int) -> None:
    checkpoint = sign_checkpoint(audit.head, key("site-0"))
    check_holds(read_lines(audit.path.read_bytes()), checkpoint)
    audit.path.write_bytes(b"".join(lines(audit)[:kept]))
    with pytest.raises(PolicyError) as unheld:
        check_holds(read_lines(audit.path.read_bytes()), checkpoint)
    assert unheld.value.code == "audit-truncated"
    with pytest.raises(PolicyError) as refused:
        audit.check()
    assert refused.value.code == "audit-truncated"
    audit.record(Event(event="more"), now=NOW)
    with pytest.raises(PolicyError) as appended:
        audit.flush()
    assert appended.value.code == "audit-truncated"


def test_file_that_is_gone_is_found(audit: Audit) -> None:
    audit.path.unlink()
    with pytest.raises(PolicyError) as refused:
        audit.check()
    assert refused.value.code == "audit-truncated"


@pytest.mark.parametrize("cut", [0, 1, 50, None])
def test_crash_between_commit_and_file_is_made_good(
    audit: Audit, database: Database, cut: int | None
) -> None:
    audit.record(Event(event="late"), now=NOW)
    (((line),),) = database.rows("SELECT line FROM audit WHERE written = 0")
    with audit.path.open("ab") as file:  # so much of it was written when the power went
        file.write((line + b"\n")[:cut])
    audit.check()
    assert [each.event.event for each in read_lines(audit.path.read_bytes())][-1] == "late"
    assert database.rows("SELECT count(*) FROM audit WHERE written = 0") == [(0,)]


def test_zeros_in_the_place_of_a_line_are_what_a_power_cut_leaves(audit: Audit) -> None:
    audit.record(Event(event="late"), now=NOW)
    with audit.path.open("ab") as file:
        file.write(bytes(4096))
    audit.check()
    assert [each.event.event for each in read_lines(audit.path.read_bytes())][-1] == "late"


DAMAGES: dict[str, tuple[Callable[[bytes], bytes | None], str]] = {
    "cut off in a line": (lambda content: content[:100], "audit-edited"),
    "cut off after a line": (
        lambda content: content[: content.index(b"\n") + 1],
        "audit-truncated",
    ),
    "an end that is no line": (lambda content: content + b"junk\n", "audit-edited"),
    "the last line feed": (lambda content: content[:-1], "audit-edited"),
    "a word": (lambda content: content.replace(b"because", b"perhaps", 1), "audit-edited"),
    "gone": (lambda _: None, "audit-truncated"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_written_anew_and_kept(audit: Audit, tmp_path: Path, damage: str) -> None:
    whole = audit.path.read_bytes()
    ruin, code = DAMAGES[damage]
    left = ruin(whole)
    if left is None:
        audit.path.unlink()
    else:
        audit.path.write_bytes(left)
    with pytest.raises(PolicyError) as found:
        audit.check()
    assert found.value.code == code
    assert "restore" in found.value.remedy
    aside = tmp_path / "audit" / "aside"
    audit.rebuild(Event(event="restored"), aside, now=NOW)
    audit.check()
    assert audit.path.read_bytes().startswith(whole)
    assert read_lines(audit.path.read_bytes())[-1].event.event == "restored"
    assert left is None or aside.read_bytes() == left


@pytest.mark.usefixtures("audit")
def test_file_that_goes_on_where_the_database_ends_is_not_written_anew(tmp_path: Path) -> None:
    (tmp_path / "older").mkdir()
    older = Database(tmp_path / "older" / "gate.sqlite", SCHEMA)
    with closing(Database(tmp_path / "gate.sqlite", SCHEMA)) as newer, closing(older):
        for row in newer.rows("SELECT * FROM audit WHERE number < 3"):
            older.write("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)", *row)
        old = Audit(older, tmp_path / "audit")
        for attempt in (old.check, lambda: old.rebuild(Event(event="x"), tmp_path / "a", now=1)):
            with pytest.raises(PolicyError) as refused:
                attempt()
            assert refused.value.code == "state-rolled-back"
        old.record(Event(event="after the older copy was put back"), now=NOW)
        with pytest.raises(PolicyError) as diverged:
            old.rebuild(Event(event="x"), tmp_path / "a", now=1)
        assert diverged.value.code == "state-rolled-back"
    assert not (tmp_path / "a").exists()


@pytest.mark.usefixtures("audit")
@pytest.mark.parametrize("flushed", [True, False])
def test_older_copy_of_the_database_is_found_by_the_file(tmp_path: Path, *, flushed: bool) -> None:
    older = Database(tmp_path / "older.sqlite", SCHEMA)
    for number in range(2):
        old = Audit(older, tmp_path / "audit")
        old.record(Event(event=f"event-{number}", why="because"), now=NOW + number)
    if flushed:
        older.write("UPDATE audit SET written = 1")
    else:
        old.record(Event(event="another"), now=NOW)
    with closing(older), pytest.raises(PolicyError) as refused:
        old.check()
    assert refused.value.code == "state-rolled-back"


def test_two_processes_append_in_one_order(audit: Audit, tmp_path: Path) -> None:
    with closing(Database(tmp_path / "gate.sqlite", SCHEMA)) as second:
        other = Audit(second, tmp_path / "audit")
        for number in range(10):
            (audit, other)[number % 2].record(Event(event="x"), now=NOW)
            (other, audit)[number % 3 % 2].flush()
        other.check()
    assert len(read_lines(audit.path.read_bytes())) == 13


@pytest.mark.parametrize("statement", ["DELETE FROM audit", "UPDATE audit SET line = x'00'"])
def test_committed_line_can_be_neither_changed_nor_removed(
    audit: Audit, database: Database, statement: str
) -> None:
    with pytest.raises(StorageError):
        database.write(statement)
    audit.check()


def test_files_may_be_read_by_a_group_and_written_by_nobody_else(audit: Audit) -> None:
    assert audit.path.stat().st_mode & 0o777 == 0o640
    assert audit.path.parent.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("mode", [0o770, 0o755])
def test_folder_open_to_others_is_refused(audit: Audit, mode: int) -> None:
    audit.path.parent.chmod(mode)
    audit.record(Event(event="more"), now=NOW)
    with pytest.raises(StorageError) as refused:
        audit.flush()
    assert refused.value.code == "audit-folder-open"


def test_log_that_cannot_be_written_says_so(database: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    audit = Audit(database, tmp_path / "file" / "audit")
    audit.record(Event(event="x"), now=NOW)
    with pytest.raises(StorageError) as refused:
        audit.flush()
    assert refused.value.code == "audit-unwritable"


def test_reason_is_bounded(audit: Audit) -> None:
    audit.record(Event(event="x", why="y" * MAX_WHY), now=NOW)
    with pytest.raises(UsageError) as refused:
        audit.record(Event(event="x", why="y" * (MAX_WHY + 1)), now=NOW)
    assert refused.value.code == "reason-too-long"


def test_checkpoint_is_its_signers_alone(audit: Audit) -> None:
    mine, other = (public_key(key(name)) for name in ("site-0", "site-1"))
    encoded = sign_checkpoint(audit.head, key("site-0")).encode()
    assert len(encoded) == CHECKPOINT_BYTES
    assert read_checkpoint(encoded, mine) is not None
    assert read_checkpoint(encoded, other) is None
    assert read_checkpoint(encoded[:-1], mine) is None
    assert read_checkpoint(bytes([encoded[0] ^ 1]) + encoded[1:], mine) is None


def test_own_checkpoint_is_found_among_many() -> None:
    names = [f"site-{number}" for number in range(5)]
    together = join_checkpoints(sign_checkpoint(GENESIS, key(name)).encode() for name in names)
    found = own_checkpoint(together, public_key(key("site-3")))
    assert found is not None
    assert found.head == GENESIS
    assert own_checkpoint(together, public_key(key("a stranger"))) is None
    assert own_checkpoint(together * 41, public_key(key("site-3"))) is None
