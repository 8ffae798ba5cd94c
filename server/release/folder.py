"""The folder that a release is: which files it holds, and how it comes to be in one piece.

A release is built in a hidden sibling of its place, written through to disk, and renamed at
the end. Whoever finds the folder finds all of it; a crash leaves nothing under its name.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path, PurePath

from protocol.errors import StorageError, UsageError
from protocol.identifiers import Digest

_CHUNK_BYTES = 1 << 20


class ReleaseFile(StrEnum):
    """The files of a release with one data set, in the order in which a reader meets them."""

    REPORT = "report.html"
    SYNTHETIC = "synthetic.parquet"
    MODEL = "model.json"
    PRIVACY = "privacy.json"
    STUDY = "study.toml"
    ROSTER = "roster.json"
    TRANSCRIPT = "transcript.bin"
    MANIFEST = "manifest.json"


class FollowedFile(StrEnum):
    """The further files of a release that follows an earlier one: the papers of that round."""

    STUDY = "earlier-study.toml"
    ROSTER = "earlier-roster.json"
    TRANSCRIPT = "earlier-transcript.bin"


def numbered(name: str, copies: int) -> tuple[str, ...]:
    """Return one file name per data set: `name` itself for one, else rows-001.parquet and on."""
    if copies == 1:
        return (name,)
    plain = PurePath(name)
    return tuple(f"{plain.stem}-{number:03d}{plain.suffix}" for number in range(1, copies + 1))


def synthetic_names(copies: int) -> tuple[str, ...]:
    """Return the names of the files with synthetic rows."""
    return numbered(ReleaseFile.SYNTHETIC, copies)


def content_of(copies: int, *, follows: bool = False) -> tuple[str, ...]:
    """Return the names of the files that the manifest of a release with `copies` data sets lists.

    They are in the order in which a reader meets them; `follows` if its study follows another.
    """
    names = [str(name) for name in ReleaseFile if name is not ReleaseFile.MANIFEST]
    place = names.index(ReleaseFile.SYNTHETIC)
    followed = tuple(map(str, FollowedFile)) if follows else ()
    return (*names[:place], *synthetic_names(copies), *names[place + 1 :], *followed)


def file_digest(path: Path) -> Digest:
    """Return the SHA-256 of a file, read in pieces."""
    running = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            running.update(chunk)
    return Digest(running.digest())


def check_free(folder: Path) -> None:
    """Check that nothing is where a release is to be.

    Raises:
        UsageError: something is: a release is never overwritten.
    """
    if folder.exists() or folder.is_symlink():
        raise UsageError(
            "release-exists",
            f"Expected a place that is free, found {str(folder)!r} there already.",
            "A release is never overwritten: choose another folder.",
        )


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """Give an empty folder to build in; on leaving, make it durable and rename it to `folder`.

    When the body raises, what was built is removed and nothing appears under `folder`.

    Raises:
        UsageError: `folder` exists already: a release is never overwritten.
        StorageError: the disk did not take it.
    """
    check_free(folder)
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir()
        yield draft
        _make_durable(draft)
        draft.rename(folder)  # an existing folder with files in it makes this fail, never merge
        _sync(folder.parent)
    except OSError as error:
        raise StorageError(
            "release-not-written",
            f"The release could not be written to {str(folder)!r}: {error.strerror}.",
            "Check space and permissions, then write it again; nothing was left behind.",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _make_durable(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
