"""A folder of partitions: which there are, which are missing, and who is making them.

    part-000000.parquet ..   partitions, each finished
    _model.json              the model that they are drawn from
    _sample.json             what is asked for; at the end, the SHA-256 of every partition
    _lock                    the process that is at work

Readers of Parquet folders pass over names that begin with "_". A folder holds one sample: what is
missing of it is made, and nothing else is ever written into it.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from protocol.errors import StorageError, UsageError
from server.causal.model import Model
from server.causal.production.files import UNFINISHED, Progress, finished, write_file
from server.causal.production.request import (
    Request,
    interventions_of,
    request_from,
    with_paths,
)
from server.causal.sampling.engine import Engine

MODEL, MANIFEST, LOCK = "_model.json", "_sample.json", "_lock"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Partition:
    """A finished partition."""

    name: str
    rows: int
    sha256: str


def partition_name(index: int) -> str:
    """Return the name of a partition's file."""
    return f"part-{index:06d}.parquet"


def open_folder(folder: Path, model_text: str, request: Request) -> None:
    """Say in a new folder what sample it holds, or check that it holds a part of this one.

    Raises:
        UsageError: it holds something else.
        StorageError: it cannot be written to.
    """
    strangers = [path for path in folder.iterdir() if path.name != LOCK]
    if strangers and not (folder / MANIFEST).exists():
        raise UsageError(
            "folder-not-empty",
            f"Expected a new folder, or one with a part of this sample, found other files in "
            f"{folder}.",
            "Choose another --out.",
        )
    if (folder / MANIFEST).exists():
        _check_same(folder, request)
    if not (folder / MODEL).exists():
        _write(folder / MODEL, model_text)
    paths = {str(one["sha256"]): one["path"] for one in request.interventions if "path" in one}
    _write_manifest(folder, request, paths, read_manifest(folder).get("partitions", []))


def _check_same(folder: Path, request: Request) -> None:
    found = read_manifest(folder)["request"]
    if found != request.document:
        differing = [key for key, value in request.document.items() if found.get(key) != value]
        raise UsageError(
            "other-sample",
            f"Expected a folder with a part of this sample, found another in {folder}: it differs "
            f"in {', '.join(differing)}.",
            "Choose another --out, or ask for the same rows again.",
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what a folder says that it holds; empty if it says nothing.

    Raises:
        StorageError: it cannot be read.
    """
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(
            "sample-unreadable",
            f"Expected {path} to say what the folder holds, found something that cannot be read.",
            "Delete the folder, and make the sample again.",
        ) from error
    return dict(found)


def _write_manifest(
    folder: Path, request: Request, paths: Mapping[str, object], partitions: object
) -> None:
    document = {"request": request.document, "agents": paths, "partitions": partitions}
    _write(folder / MANIFEST, json.dumps(document, indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    with finished(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def load_folder(folder: Path) -> tuple[Request, Model]:
    """Return what is asked for in a folder, and the view of the model that it is drawn from.

    Raises:
        StorageError, UsageError: the folder was not opened, or an agent's file is another now.
    """
    document = read_manifest(folder)
    request = with_paths(request_from(document["request"]), document["agents"])
    text = (folder / MODEL).read_text(encoding="utf-8")
    if hashlib.sha256(text.encode()).hexdigest() != request.model_sha256:
        raise UsageError(
            "other-model",
            f"Expected the model of the sample in {folder}, found another.",
            "Delete the folder, and make the sample again.",
        )
    return request, Model.from_json(text).do(interventions_of(request.interventions))


def missing_partitions(folder: Path, request: Request) -> list[int]:
    """Return the partitions that are not there, or not whole."""
    return [index for index in range(request.partitions) if not _is_whole(folder, request, index)]


def _is_whole(folder: Path, request: Request, index: int) -> bool:
    """Return whether a partition is there, with its rows and for this request."""
    span = request.span(index)
    try:
        found = pq.read_metadata(folder / partition_name(index))
    except (OSError, pa.ArrowException):
        return False
    facts = found.metadata or {}
    expected = request.metadata(span)
    lines = span[1] if not request.long else found.num_rows
    return found.num_rows == lines and all(facts.get(key) == expected[key] for key in expected)


def make_partition(
    folder: Path,
    model: Model,
    request: Request,
    index: int,
    *,
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> Partition:
    """Write one partition; return what it is.

    Raises:
        StorageError, UsageError: as `write_file`.
    """
    path, span = folder / partition_name(index), request.span(index)
    write_file(path, model, request, span, progress=progress, engine=engine)
    return Partition(path.name, span[1], digest_of(path))


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def close_folder(folder: Path, request: Request) -> str:
    """Say in the manifest what is there; return the SHA-256 over the partitions' own.

    Raises:
        StorageError: a partition is missing.
    """
    missing = missing_partitions(folder, request)
    if missing:
        raise StorageError(
            "partitions-missing",
            f"Expected {request.partitions} partitions in {folder}, found {len(missing)} missing.",
            "Give the same command again: it makes what is missing.",
        )
    paths = read_manifest(folder)["agents"]
    names = [partition_name(index) for index in range(request.partitions)]
    digests = [digest_of(folder / name) for name in names]
    partitions = [
        {"name": name, "rows": request.span(index)[1], "sha256": digest}
        for index, (name, digest) in enumerate(zip(names, digests, strict=True))
    ]
    _write_manifest(folder, request, paths, partitions)
    return hashlib.sha256("".join(digests).encode()).hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder to this process; what an interrupted one left unfinished is removed.

    Raises:
        UsageError: another process is at work in it.
        StorageError: it cannot be written to.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _take(path)
        for leftover in folder.glob(f"*{UNFINISHED}"):
            leftover.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            "folder-not-writable",
            f"Expected to write into {folder}, the system said: {error.strerror}.",
            "Check the path, its permissions and the space on the disk.",
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()


def _take(path: Path) -> None:
    """Make the lock; one whose process has ended is taken over."""
    for _ in range(2):
        try:
            with path.open("x", encoding="ascii") as lock:
                lock.write(str(os.getpid()))
        except FileExistsError:
            owner = path.read_text(encoding="ascii").strip()
            if owner.isdigit() and int(owner) != os.getpid() and _is_running(int(owner)):
                raise UsageError(
                    "folder-in-use",
                    f"Expected a folder that nobody is writing to, found process {owner} at work "
                    f"in {path.parent}.",
                    f"Wait for it, or delete {path.name} if it is no such process.",
                ) from None
            path.unlink(missing_ok=True)
        else:
            return


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
