"""Folders of a site that only their owner may enter."""

import stat
from pathlib import Path

from protocol.errors import StorageError


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
