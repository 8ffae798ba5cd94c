"""What the gate remembers across restarts: ledger, journal and log, in the site's own folder.

One gate at a time: a second process would mistake the first one's rounds for lost ones.
"""

import fcntl
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from client.gate import journal, ledger
from client.gate.database import Database
from client.gate.journal import Journal
from client.gate.ledger import Ledger
from client.gate.site_log import SiteLog
from protocol.errors import StorageError

SCHEMA = f"{ledger.SCHEMA}\n\n{journal.SCHEMA}"
DATABASE_FILE = "gate.sqlite"
LOCK_FILE = "gate.lock"
LOG_FILE = Path("logs", "gate.jsonl")


@dataclass(frozen=True, slots=True)
class Memory:
    """Ledger and journal share `database`, so that one transaction covers both."""

    database: Database
    ledger: Ledger
    journal: Journal
    lock: IO[bytes] | None = None  # the locked file, if this is the gate's own memory

    def close(self) -> None:
        """Let go of the files; another gate may begin."""
        self.database.close()
        if self.lock is not None:
            self.lock.close()


def open_memory(folder: Path) -> Memory:
    """Return the memory in a site's folder, made if need be, to look at.

    Raises:
        StorageError: the folder cannot be used, or others may enter it.
    """
    make_private(folder)
    _check_private(folder)
    database = Database(folder / DATABASE_FILE, SCHEMA)
    return Memory(database, Ledger(database), Journal(database))


def open_gate_memory(folder: Path) -> Memory:
    """Return the memory in a site's folder for the one gate that answers from it.

    Raises:
        StorageError: another gate is at work, or the folder cannot be used.
    """
    make_private(folder)
    lock = _lock(folder)
    try:
        return replace(open_memory(folder), lock=lock)
    except BaseException:
        lock.close()
        raise


def open_log(folder: Path) -> SiteLog:
    """Return the log in a site's folder.

    Raises:
        StorageError: the folder cannot be used.
    """
    path = folder / LOG_FILE
    make_private(path.parent)
    return SiteLog(path)


def make_private(folder: Path) -> None:
    """Make a folder that only its owner may enter, and its parents, where there are none.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        for each in (*reversed(folder.parents), folder):
            each.mkdir(mode=0o700, exist_ok=True)  # parents=True would open them to others
    except OSError as error:
        raise StorageError(
            "folder-not-writable",
            f"Expected to be allowed to use the folder {folder}.",
            "Check `folder` in site.toml and the folder's permissions.",
        ) from error


def _check_private(folder: Path) -> None:
    mode = folder.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise StorageError(
            "folder-open-to-others",
            f"Expected {folder} to be closed to others, found mode {stat.S_IMODE(mode):04o}.",
            f"Run chmod 700 {folder}, and consider who may have written to it.",
        )


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
