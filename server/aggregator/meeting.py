"""Opens a sum together with the other aggregators, in a process that cannot outlive its time."""

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import numpy as np
from numpy.typing import NDArray

from protocol.errors import PeerError, StorageError
from server.aggregator.job import AGREED, COMMIT, DISAGREED, RESULT, SHARE, Job

Integers = NDArray[np.int64]
_MODULE = "server.aggregator.party"
_TAIL = 300  # characters of what a failed process said
_ROOT = Path(__file__).resolve().parents[2]


def open_together(job: Job, share: Integers, commit: Callable[[], None], log: Path) -> Integers:
    """Return what all parties' shares of `job.subject` open to.

    `commit` is called when all have agreed what they open, and before anything of it leaves: what
    it writes down must keep this subject from ever being opened again.

    Raises:
        StorageError: the others did not come in time, or one was lost on the way.
        PeerError: the others came with other shares; nothing was opened.
    """
    end = time.monotonic() + job.timeout_s
    with TemporaryDirectory(prefix="opening-", dir=log.parent) as name, log.open("ab") as said:
        folder = Path(name)
        job.write(folder)
        np.save(folder / SHARE, share, allow_pickle=False)
        with _running(folder, said) as party:
            try:
                _await_agreement(party, end)
                commit()
                _tell(party)
                status = party.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired as error:
                raise _lost(log, "did not end in time") from error
            finally:
                party.kill()
        if status:
            raise _lost(log, f"ended with status {status}")
        result: Integers = np.load(folder / RESULT, allow_pickle=False)
        return result


def _running(folder: Path, said: IO[bytes]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", _MODULE, str(folder)],
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
    )


def _await_agreement(party: "subprocess.Popen[bytes]", end: float) -> None:
    if party.stdout is None:
        raise AssertionError("no pipe to the party")
    with selectors.DefaultSelector() as selector:
        selector.register(party.stdout, selectors.EVENT_READ)
        if not selector.select(max(0.0, end - time.monotonic())):
            raise subprocess.TimeoutExpired(party.args, 0.0)
    if party.stdout.readline().strip() != AGREED.encode():
        status = party.wait(max(0.0, end - time.monotonic()))
        if status == DISAGREED:
            raise PeerError(
                "other-shares",
                "The aggregators were given different shares: the coordinator shows them "
                "different rounds. Nothing was opened.",
            )
        raise subprocess.TimeoutExpired(party.args, 0.0)


def _tell(party: "subprocess.Popen[bytes]") -> None:
    if party.stdin is None:
        raise AssertionError("no pipe to the party")
    party.stdin.write(f"{COMMIT}\n".encode())
    party.stdin.close()


def _lost(log: Path, what: str) -> StorageError:
    tail = log.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip()
    return StorageError(
        "opening-lost",
        f"Expected to open the sum with the other aggregators; the opening {what}. {tail}",
        "See that the others run and that the network between you is up; the round is asked for "
        "again until its deadline, unless the opening had begun.",
    )
