"""What the gate remembers across restarts: ledger, journal and log, in the site's own folder.

One gate at a time: a second process would mistake the first one's rounds for lost ones.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

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

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()


def open_memory(folder: Path) -> Memory:
    """Return the memory in a site's folder, made if need be; any number may look at once.

    Raises:
        StorageError: the folder cannot be used.
    """
    _make_private(folder)
    database = Database(folder / DATABASE_FILE, SCHEMA)
    return Memory(database, Ledger(database), Journal(database))


def open_log(folder: Path) -> SiteLog:
    """Return the log in a site's folder.

    Raises:
        StorageError: the folder cannot be used.
    """
    path = folder / LOG_FILE
    _make_private(path.parent)
    return SiteLog(path)


class GateLock:
    """Held by the one gate that may answer from a folder."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            StorageError: another process holds it, or the folder cannot be used.
        """
        _make_private(folder)
        self._file = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise StorageError(
                "gate-already-running",
                f"Expected no gate at work in {folder}, found one.",
                "Stop the other `concause site start` first.",
            ) from error

    def release(self) -> None:
        """Let another gate begin; a process that ends does so by itself."""
        os.close(self._file)


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            "folder-not-writable",
            f"Expected to be allowed to use the folder {folder}.",
            "Check `folder` in site.toml and the folder's permissions.",
        ) from error
