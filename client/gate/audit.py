"""The audit log at work: every decision of the site, in one chain that only grows.

A line is committed with what it tells of, in the same SQLite transaction, and then appended to
a JSONL file that auditors may read and nobody else than the gate's user may write. After a crash
between the two the file is completed from the database. A file that has less than was written, or
other lines, is refused: somebody was there. So is one that has more: then the database is old.
"""

import os
import stat
from pathlib import Path

from client.gate.chain import GENESIS, MAX_WHY, Event, Line, line_hash, read_lines
from client.gate.database import Database
from protocol import canonical
from protocol.errors import ConcauseError, PolicyError, StorageError, UsageError
from protocol.identifiers import Digest

SCHEMA = """\
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    line BLOB NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    event TEXT NOT NULL,
    at INTEGER NOT NULL,
    start INTEGER NOT NULL,
    written INTEGER NOT NULL DEFAULT 0
)

CREATE INDEX audit_by_time ON audit (at)

CREATE INDEX audit_by_event ON audit (event)

CREATE TRIGGER audit_never_changes BEFORE UPDATE OF number, line, hash, event, at, start ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END

CREATE TRIGGER audit_never_shrinks BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END"""

LOG_FILE = "audit.jsonl"
CLOCK_ACCEPTED = "clock-accepted"
FOLDER_MODE, FILE_MODE = 0o750, 0o640  # a group may be given to the auditors


class Audit:
    """The lines in a gate's database, and the file that follows them."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self.path = folder / LOG_FILE

    @property
    def head(self) -> Digest:
        """Return the hash of the last line; of no line, 32 zero bytes."""
        rows = self._database.rows("SELECT hash FROM audit ORDER BY number DESC LIMIT 1")
        return Digest(rows[0][0]) if rows else GENESIS

    def has(self, head: Digest) -> bool:
        """Return whether a line with this hash was ever committed."""
        query = "SELECT 1 FROM audit WHERE hash = ?"
        return head == GENESIS or bool(self._database.rows(query, head))

    def last_time(self) -> int:
        """Return the latest time that any line since the last accepted clock has, else 0."""
        rows = self._database.rows(
            "SELECT at FROM audit WHERE number >= coalesce((SELECT max(number) FROM audit"
            " WHERE event = ?), 0) ORDER BY at DESC LIMIT 1",
            CLOCK_ACCEPTED,
        )
        return int(rows[0][0]) if rows else 0

    def newest_hash(self, event: str) -> str | None:
        """Return what the newest line that tells of `event` names as its hash."""
        query = "SELECT line FROM audit WHERE event = ? ORDER BY number DESC LIMIT 1"
        rows = self._database.rows(query, event)
        told = canonical.decode(rows[0][0]) if rows else None
        return str(told["hash"]) if isinstance(told, dict) and "hash" in told else None

    def record(self, event: Event, *, now: int) -> None:
        """Commit a line, with the transaction that it is in; `flush` brings it to the file."""
        if event.why is not None and len(event.why) > MAX_WHY:
            raise UsageError(
                "reason-too-long", f"Expected a reason of at most {MAX_WHY} characters.", "Cut it."
            )
        with self._database.transaction():
            rows = self._database.rows(
                "SELECT number, hash, start + length(line) + 1 FROM audit"
                " ORDER BY number DESC LIMIT 1"
            )
            number, previous, start = rows[0] if rows else (0, GENESIS, 0)
            line = Line(number + 1, now, Digest(previous), event)
            self._database.write(
                "INSERT INTO audit (number, line, hash, event, at, start)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                line.number,
                line.encoded,
                line.hash,
                event.event,
                now,
                start,
            )

    def flush(self) -> None:
        """Append to the file what was committed and is not there yet; on the disk on return.

        Raises:
            PolicyError: the file has less, more or other lines than it should.
            StorageError: it cannot be written.
        """
        with self._database.transaction():  # its lock keeps other processes from appending too
            rows = self._database.rows(
                "SELECT number, line, start FROM audit WHERE written = 0 ORDER BY number"
            )
            if not rows:
                return
            _append(self.path, rows[0][2], b"".join(line + b"\n" for _, line, _ in rows))
            self._database.write("UPDATE audit SET written = 1 WHERE number <= ?", rows[-1][0])

    def check(self) -> None:
        """Check the whole file against the database, after completing it.

        Raises:
            PolicyError: the file was edited, cut off or removed; or the database is an older copy.
            StorageError: the file cannot be read.
        """
        self.flush()
        expected = [row[0] for row in self._database.rows("SELECT hash FROM audit ORDER BY number")]
        content = _read(self.path) if expected or self.path.exists() else b""
        found = [line_hash(line) for line in content.splitlines()]
        if found == expected and content.endswith(b"\n" if expected else b""):
            return
        if found[: len(expected)] == expected:
            raise rolled_back()
        read_lines(content)  # says which line is not as it was written
        raise _cut_off() if found == expected[: len(found)] else rolled_back()


def rolled_back() -> PolicyError:
    """Return the error for a memory that is older than what the site said before."""
    return PolicyError(
        "state-rolled-back",
        "The gate's memory is older than what this site has signed: a backup was put back, and "
        "with it budget that is spent.",
        "Put the newest memory in place. If it is lost, begin a new site, and count the old "
        "budget as spent.",
    )


def _append(path: Path, start: int, content: bytes) -> None:
    """Write `content` at `start`, the end of the file; what is there already must be its part."""
    try:
        make_readable(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
    except OSError as error:
        raise _unwritable(path) from error
    try:
        os.fchmod(descriptor, FILE_MODE)
        if os.fstat(descriptor).st_size < start:
            raise _cut_off()
        there = os.pread(descriptor, len(content) + 1, start)
        if there != content[: len(there)]:
            raise rolled_back()
        _write_all(descriptor, content[len(there) :], start + len(there))
        os.fsync(descriptor)
    except OSError as error:
        raise _unwritable(path) from error
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, content: bytes, at: int) -> None:
    while content:
        done = os.pwrite(descriptor, content, at)
        content, at = content[done:], at + done


def make_readable(folder: Path) -> None:
    """Make the log's folder, closed to all but its owner and one group.

    Raises:
        StorageError: others may enter it, or its group may write there.
    """
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & ~FOLDER_MODE:
        raise StorageError(
            "audit-folder-open",
            f"Expected {folder} to be closed to others and to its group's writing, found mode "
            f"{mode:04o}.",
            f"Run chmod 750 {folder}.",
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise _cut_off() from error
    except OSError as error:
        raise _unwritable(path) from error


def _cut_off() -> ConcauseError:
    return PolicyError(
        "audit-truncated",
        "The audit log has fewer lines than were written to it.",
        "Put the log back from a copy, and ask who may write to the file.",
    )


def _unwritable(path: Path) -> StorageError:
    return StorageError(
        "audit-unwritable",
        f"Expected to read and append to {path}.",
        "Check free space and the permissions of the audit folder.",
    )
