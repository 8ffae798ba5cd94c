"""Folders of a site that only their owner may enter, and files that are whole at any moment."""

import os
import stat
from pathlib import Path

from protocol.errors import StorageError

_PRIVATE = 0o600


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


def check_private(folder: Path) -> None:
    """Check that nobody but its owner may enter a folder.

    Raises:
        StorageError: others may.
    """
    mode = folder.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise StorageError(
            "folder-open-to-others",
            f"Expected {folder} to be closed to others, found mode {stat.S_IMODE(mode):04o}.",
            f"Run chmod 700 {folder}, and consider who may have written to it.",
        )


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of one.

    It keeps the mode of the old one; a new one is for its owner alone.

    Raises:
        OSError: it cannot be written; the old one is as it was.
    """
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else _PRIVATE
    draft = path.with_name(f"{path.name}.draft")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name too, not only the content
    finally:
        os.close(folder)
