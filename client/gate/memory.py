"""What the gate remembers across restarts: ledger, journal, switches, audit log and log.

One gate at a time: a second process would mistake the first one's rounds for lost ones.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TextIO

from client.gate import audit, journal, ledger
from client.gate.audit import Audit
from client.gate.chain import Event
from client.gate.database import Database
from client.gate.journal import Journal
from client.gate.ledger import Kind, Ledger
from client.gate.private import check_private, make_private
from client.gate.site_log import SiteLog
from client.gate.standing import Standing
from protocol.canonical import fraction_text
from protocol.errors import SiteOnlyError, StorageError
from protocol.identifiers import Digest

SCHEMA = "\n\n".join(part.SCHEMA for part in (ledger, journal, audit))
DATABASE_FILE = "gate.sqlite"
LOCK_FILE = "gate.lock"
CLOCK_TOLERANCE_S = 300
LOG_FILE = Path("logs", "gate.jsonl")
POLICY, CHARGED = "policy-in-force", "round-charged"


@dataclass(frozen=True, slots=True)
class Memory:
    """All share `database`, so that one transaction covers an act and what is noted of it."""

    database: Database
    ledger: Ledger
    journal: Journal
    standing: Standing
    audit: Audit
    lock: IO[bytes] | None = None  # the locked file, if this is the gate's own memory

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything inside, or nothing; then bring the audit log's file up to date."""
        with self.database.transaction():
            yield
        self.audit.flush()

    def note(self, event: Event, *, now: int) -> None:
        """Write one line of the audit log; on the disk, in database and file, on return.

        Raises:
            PolicyError, StorageError: the log is not as it was written, or cannot be.
        """
        with self.transaction():
            self.audit.record(event, now=now)

    def note_policy(self, policy: Digest, *, now: int) -> None:
        """Write down which policy is in force, unless the audit log says so already.

        Raises:
            PolicyError, StorageError: as `note`.
        """
        with self.transaction():
            self.record_policy(policy, now=now)

    def record_policy(self, policy: Digest, *, now: int) -> None:
        """Commit what `note_policy` writes, with the transaction that it is in."""
        known = self.audit.newest(POLICY)
        if known is None or known.hash != policy.hex():
            self.audit.record(Event(event=POLICY, hash=policy.hex()), now=now)

    def check_whole(self) -> None:
        """Check the audit log against its file, and the ledger against the audit log.

        Raises:
            SiteOnlyError: one of them is not as it was written, or an older copy.
            StorageError: they cannot be read.
        """
        self.audit.check()
        charges = {
            (entry.session.hex() if entry.session else None, fraction_text(entry.rho))
            for entry in self.ledger.entries()
            if entry.kind is Kind.CHARGE and entry.rho is not None
        }
        if charges != {(event.session, event.rho) for event in self.audit.events(CHARGED)}:
            raise SiteOnlyError(
                "ledger-edited",
                "The ledger has other charges than the audit log tells of.",
                "Put the newest memory in place, and ask who may write to the gate's database.",
            )

    def check_clock(self, *, now: int) -> None:
        """Check that the clock was not moved back since anything was last written down.

        Raises:
            PolicyError: it was, by more than the tolerance of clocks that are kept in step.
        """
        if self.audit.last_time() > now + CLOCK_TOLERANCE_S:
            raise SiteOnlyError(
                "clock-behind",
                "The clock of the gate's machine is behind the last entry of its audit log.",
                "Set the clock. If it was the earlier time that was wrong, have the site "
                "administrator say so with `concause site accept-clock`.",
            )

    def close(self) -> None:
        """Let go of the files; another gate may begin."""
        self.database.close()
        if self.lock is not None:
            self.lock.close()


def open_memory(folder: Path, audit_folder: Path) -> Memory:
    """Return the memory in a site's folder, made if need be, to look at.

    Raises:
        StorageError: the folder cannot be used, or others may enter it.
    """
    make_private(folder)
    check_private(folder)
    database = Database(folder / DATABASE_FILE, SCHEMA)
    log = Audit(database, audit_folder)
    return Memory(
        database,
        Ledger(database),
        Journal(database),
        Standing(log),
        log,
    )


def open_gate_memory(folder: Path, audit_folder: Path) -> Memory:
    """Return the memory in a site's folder for the one gate that answers from it.

    Raises:
        StorageError: another gate is at work, or the folder cannot be used.
    """
    make_private(folder)
    lock = _lock(folder)
    try:
        return replace(open_memory(folder, audit_folder), lock=lock)
    except BaseException:
        lock.close()
        raise


def open_log(folder: Path, screen: TextIO | None = None) -> SiteLog:
    """Return the log in a site's folder, which also speaks on a `screen`, if there is one.

    Raises:
        StorageError: the folder cannot be used.
    """
    path = folder / LOG_FILE
    make_private(path.parent)
    return SiteLog(path, screen)


def _lock(folder: Path) -> IO[bytes]:
    file = (folder / LOCK_FILE).open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise StorageError(
            "gate-already-running",
            f"Expected no gate at work in {folder}, found one.",
            "Stop the other `concause site start` first.",
        ) from error
    return file
