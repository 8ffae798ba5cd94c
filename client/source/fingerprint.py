"""The fingerprint of a snapshot: what was approved, so that other data need a new approval."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol import canonical
from protocol.canonical import Json
from protocol.errors import StorageError
from protocol.identifiers import Digest


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Schema, number of rows and the SHA-256 of each file, in the order of their names.

    Neither names nor folders enter: the same files moved elsewhere are the same snapshot. Of a
    database `content` is a sum of hashes of its rows, and there are no files.
    """

    columns: tuple[tuple[str, str], ...]  # (name, type), in the order of the files
    rows: int
    files: tuple[Digest, ...]
    content: str | None = None

    @property
    def digest(self) -> Digest:
        """Return the SHA-256 of the canonical JSON."""
        return canonical.digest(self.to_json())

    def to_json(self) -> Json:
        """Return the value that `digest` covers."""
        return {
            "columns": [list(column) for column in self.columns],
            "rows": self.rows,
            "files": [file.hex() for file in self.files],
            **({} if self.content is None else {"content": self.content}),
        }


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells, without reading it, that a file was written to or replaced."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int


def file_state(file: Path) -> FileState:
    """Return the state of `file` now.

    Raises:
        StorageError: it is gone or may not be read.
    """
    try:
        found = file.stat()
    except OSError as error:
        raise unreadable() from error
    return FileState(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def check_readable(file: Path) -> None:
    """Check that `file` may be read.

    Raises:
        StorageError: it may not.
    """
    try:
        file.open("rb").close()
    except OSError as error:
        raise unreadable() from error


def fingerprint(schema: Mapping[str, str], rows: int, files: Sequence[Path]) -> Fingerprint:
    """Return the fingerprint of `files`, which hold `rows` rows of columns `schema`.

    Raises:
        StorageError: a file cannot be read to its end.
    """
    return Fingerprint(tuple(schema.items()), rows, tuple(_sha256(file) for file in files))


def _sha256(file: Path) -> Digest:
    try:
        with file.open("rb") as stream:
            return Digest(hashlib.file_digest(stream, "sha256").digest())
    except OSError as error:
        raise unreadable() from error


def unreadable() -> StorageError:
    """Return the error for a file that is gone or may not be read."""
    return StorageError(
        "data-file-unreadable",
        "Expected to read the data files to their end, but one is gone or may not be read.",
        "Check the files at `path` in [data] and the rights of the gate's user.",
    )
