"""The folder in which the query engine may set rows aside when memory runs out.

It lies inside the site's own folder, is readable by the gate's user alone, and is wiped when the
source closes. A lock tells a folder in use from one that a crash left behind, so that the next
source wipes the latter. It is not encrypted: DuckDB encrypts spilled pages only with an
extension that would have to be downloaded.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SPILL_FOLDER = "spill"  # in the folder of a site's memory
_PREFIX = "spill-"


class SpillFolder:
    """A locked, empty folder for one engine, until `wipe`."""

    def __init__(self, parent: Path) -> None:
        """Make the folder in `parent`, and wipe what crashed sources left there."""
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(parent):  # so that nobody takes a folder just made for one left behind
            for left in parent.glob(f"{_PREFIX}*"):
                _wipe_unless_in_use(left)
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent)).resolve()
            self._lock: int | None = _open(self.path)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def wipe(self) -> None:
        """Remove the folder with all that is in it; a second call does no harm."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = _open(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _wipe_unless_in_use(folder: Path) -> None:
    try:
        lock = _open(folder)
    except OSError:
        return  # wiped by its owner in this moment, or not a folder of ours
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(lock)
