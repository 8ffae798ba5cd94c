"""Partitions made on this machine: by this process, or by several workers side by side."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from protocol import errors
from protocol.errors import ConcauseError, StorageError, UsageError
from server.causal.model import Model
from server.causal.production.files import Progress
from server.causal.production.folder import make_partition
from server.causal.production.request import Request

APP_ROOT = Path(__file__).resolve().parents[3]  # where the three packages lie
_PATIENCE_S = 5


def make_locally(
    folder: Path,
    model: Model,
    request: Request,
    missing: Sequence[int],
    *,
    workers: int,
    progress: Progress | None = None,
) -> None:
    """Make partitions that are missing, each whole or not at all.

    Raises:
        UsageError: fewer than one worker, or what drawing refuses.
        StorageError: the disk did not take it, or a worker was killed.
    """
    if workers < 1:
        raise UsageError(
            "workers-out-of-range", f"Expected at least 1 worker, found {workers}.", "Write 1."
        )
    workers = min(workers, len(missing))
    if workers <= 1:
        for index in missing:
            make_partition(folder, model, request, index, progress=progress)
        return
    shares = [list(missing[share::workers]) for share in range(workers)]
    with _running(folder, shares) as processes, ThreadPoolExecutor(workers) as readers:
        jobs = [readers.submit(_followed, process, progress) for process in processes]
        for job in jobs:
            job.result()


@contextmanager
def _running(
    folder: Path, shares: Sequence[Sequence[int]]
) -> "Iterator[list[subprocess.Popen[str]]]":
    """Start a worker per share; end those that are left when one fails or this process stops."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())}
    command = [sys.executable, "-m", "server.causal.production.worker", str(folder)]
    processes = []
    try:
        for share in shares:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            processes.append(process)
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            with suppress(BrokenPipeError), process.stdin as given:  # how it ended is seen later
                json.dump(list(share), given)
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(_PATIENCE_S)
            if process.stdout is not None:
                process.stdout.close()


def _import_path() -> list[str]:
    """Return where a worker finds the packages."""
    given = os.environ.get("PYTHONPATH", "")
    return [str(APP_ROOT), *([given] if given else [])]


def _followed(process: "subprocess.Popen[str]", progress: Progress | None) -> None:
    """Read what a worker says until it ends.

    Raises:
        ConcauseError: what it was refused; or StorageError if it ended in another way.
    """
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    for line in process.stdout:
        said = json.loads(line)
        if "error" in said:
            raise _error(said["error"])
        if progress is not None and "rows" in said:
            progress(said["rows"])
    if process.wait() != 0:
        raise StorageError(
            "worker-ended",
            f"Expected a worker to finish its partitions, it ended with {process.returncode}.",
            "Give the same command again: it makes what is missing. With too little memory, take "
            "fewer --workers.",
        )


def _error(said: Sequence[str]) -> ConcauseError:
    """Return the error that a worker met."""
    name, code, cause, remedy = said
    kind = getattr(errors, name, StorageError)
    return (
        kind(code, cause, remedy)
        if kind in (UsageError, StorageError)
        else StorageError(code, cause, remedy)
    )
