"""The audit log at work: every decision of the site, in one chain that only grows.

A line is committed with what it tells of, in the same SQLite transaction, and then appended to
a JSONL file that auditors may read and nobody else than the gate's user may write. After a crash
between the two the file is completed from the database. A file that has less than was written, or
other lines, is refused: somebody was there. So is one that has more: then the database is old.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from client.gate.chain import GENESIS, MAX_WHY, Event, Line, line_hash, read_line, read_lines
from client.gate.database import Database
from protocol.errors import ConcauseError, PolicyError, SiteOnlyError, StorageError, UsageError
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
_SALT_BYTES = 16


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

    def newest(
        self, *kinds: str, study: str | None = None, about: str | None = None
    ) -> Event | None:
        """Return the newest event of one of `kinds`; of this study, about this hash."""
        for event in self._events(kinds):
            if study in (None, event.study) and about in (None, event.hash):
                return event
        return None

    def count(self, kind: str, *, study: str) -> int:
        """Return how many events of a kind there are about a study."""
        return sum(event.study == study for event in self._events([kind]))

    def events(self, kind: str) -> tuple[Event, ...]:
        """Return all events of a kind, newest first."""
        return tuple(self._events([kind]))

    def _events(self, kinds: Sequence[str]) -> Iterator[Event]:
        marks = ", ".join("?" * len(kinds))
        query = f"SELECT number, line FROM audit WHERE event IN ({marks}) ORDER BY number DESC"  # noqa: S608
        for number, line in self._database.rows(query, *kinds):
            yield read_line(line, number).event

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
            salt = os.urandom(_SALT_BYTES).hex()
            line = Line(number + 1, now, Digest(previous), salt, event)
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
        with self._database.transaction():  # or a command could add a line in between
            self.flush()
            expected = self._hashes()
            content = _read(self.path) if expected or self.path.exists() else b""
        found = [line_hash(line) for line in content.splitlines()]
        if found == expected and content.endswith(b"\n" if expected else b""):
            return
        read_lines(content)  # says which line is not as it was written
        if len(found) < len(expected) and found == expected[: len(found)]:
            raise _cut_off()
        raise rolled_back()

    def rebuild(self, event: Event, aside: Path, *, now: int) -> None:
        """Write the file anew from the database, with `event` as one more line.

        What was there is moved to `aside`.

        Raises:
            SiteOnlyError: the file is an unbroken log with other lines than the database: then the
                database is the older copy, or was one.
            StorageError: the file cannot be moved or written.
        """
        with self._database.transaction():
            expected = self._hashes()
            content = self.path.read_bytes() if self.path.exists() else b""
            found = [line_hash(line) for line in content.splitlines()]
            if found != expected[: len(found)]:
                _check_no_chain(content)
            self.record(event, now=now)
            lines = self._database.rows("SELECT line FROM audit ORDER BY number")
            try:
                make_readable(self.path.parent)
                if self.path.exists():
                    self.path.rename(aside)
            except OSError as error:
                raise _unwritable(self.path) from error
            _append(self.path, 0, b"".join(line + b"\n" for (line,) in lines))
            self._database.write("UPDATE audit SET written = 1 WHERE written = 0")

    def _hashes(self) -> list[Digest]:
        rows = self._database.rows("SELECT number, line, hash FROM audit ORDER BY number")
        for number, line, hash_ in rows:
            if not isinstance(line, bytes) or line_hash(line) != hash_:
                raise _edited_in_database(number)
        return [Digest(hash_) for _, _, hash_ in rows]


def rolled_back() -> PolicyError:
    """Return the error for a memory that is older than what the site said before."""
    return SiteOnlyError(
        "state-rolled-back",
        "The gate's memory is older than what this site has signed: a backup was put back, and "
        "with it budget that is spent.",
        "Put the newest memory in place. If it is lost, begin a new site, and count the old "
        "budget as spent.",
    )


def _check_no_chain(content: bytes) -> None:
    """Refuse lines that are an unbroken chain.

    Raises:
        SiteOnlyError: they are.
    """
    try:
        read_lines(content)
    except PolicyError:
        return
    raise rolled_back()


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
        if not there.strip(b"\0"):  # what a file system may leave of a write that was cut off
            os.ftruncate(descriptor, start)
            there = b""
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
    return SiteOnlyError(
        "audit-truncated",
        "The audit log has fewer lines than were written to it.",
        "Ask who may write to the file. The administrator may have it written anew with "
        "`concause site audit restore`; what is there is kept beside it.",
    )


def _edited_in_database(number: int) -> ConcauseError:
    return SiteOnlyError(
        "audit-edited",
        f"Line {number} of the audit log is not in the gate's database as it was written.",
        "Compare it with a copy that was exported earlier, and ask who may write to the database.",
    )


def _unwritable(path: Path) -> StorageError:
    return StorageError(
        "audit-unwritable",
        f"Expected to read and append to {path}.",
        "Check free space and the permissions of the audit folder.",
    )
