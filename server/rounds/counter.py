"""The coordinator's round counter: durable, and strictly increasing whatever happens.

A site refuses a counter that is not above the last one it saw (SPEC 7.4), so a number is
used up the moment it is taken, even if no round comes of it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import UsageError
from server.rounds.folder import replace_file

LARGEST = 2**64 - 1
_PRIVATE_FILE = 0o600


def next_counter(path: Path) -> int:
    """Return the number after the one in the file; it is on disk before it is returned.

    Raises:
        UsageError: the file does not hold a number, or no larger one is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        counter = _last(path) + 1
        replace_file(path, f"{counter}\n".encode())
    return counter


def _last(path: Path) -> int:
    if not path.exists():
        return 0
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if not (text.isascii() and text.isdigit()) or not 0 <= int(text) < LARGEST:
        raise UsageError(
            "damaged-counter",
            f"Expected the last round's number in {path}, found something else.",
            "Write the largest number of any round ever issued there; the names of the "
            "round folders begin with it.",
        )
    return int(text)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
