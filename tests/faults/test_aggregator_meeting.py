"""Openings by real processes: the exact sum, and every way in which the others can fail."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from deploy.demo.processes import free_ports
from protocol.errors import ConcauseError, PeerError, StorageError
from server.aggregator.job import SHARE, Job
from server.aggregator.meeting import Integers, open_together

ROOT = Path(__file__).parents[2]
VALUES = np.array([16777217, 2**62, -5, 0, 2**31 + 1, -(2**63)], np.int64)
SUBJECT, OTHER = "ab" * 32, "cd" * 32


def shares_of(values: Integers, parties: int) -> list[Integers]:
    source = np.random.default_rng(parties)
    others = [source.integers(-(2**63), 2**63, values.size, np.int64) for _ in range(parties - 1)]
    with np.errstate(over="ignore"):
        return [values - sum(others, start=np.zeros_like(values)), *others]


def job(place: int, parties: int, port: int, **changes: object) -> Job:
    fields: dict[str, object] = {
        "place": place,
        "parties": parties,
        "subject": SUBJECT,
        "keys": {},
        "host": "127.0.0.1",
        "port": port,
        "interface": "lo",
        "timeout_s": 30,
    }
    return Job.model_validate(fields | changes)


def nothing() -> None:
    pass


def wait(event: threading.Event) -> None:
    event.wait(60)


class Meeting:
    """Parties in threads, each with its process; what came of each, by place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results: dict[int, Integers] = {}
        self.errors: dict[int, ConcauseError] = {}
        self._threads: list[threading.Thread] = []

    def send(self, it: Job, share: Integers, commit: Callable[[], None] = nothing) -> None:
        thread = threading.Thread(target=self._open, args=(it, share, commit))
        self._threads.append(thread)
        thread.start()

    def _open(self, it: Job, share: Integers, commit: Callable[[], None]) -> None:
        try:
            log = self.folder / f"{it.place}.log"
            self.results[it.place] = open_together(it, share, commit, log)
        except ConcauseError as error:
            self.errors[it.place] = error

    def end(self) -> None:
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("parties", [2, 3])
def test_all_parties_open_the_exact_sum(parties: int, tmp_path: Path) -> None:
    meeting, (port,) = Meeting(tmp_path), free_ports(1)
    for place, share in enumerate(shares_of(VALUES, parties)):
        meeting.send(job(place, parties, port), share)
    meeting.end()
    assert not meeting.errors
    assert all(meeting.results[place].tolist() == VALUES.tolist() for place in range(parties))


def test_parties_that_were_given_different_cohorts_open_nothing(tmp_path: Path) -> None:
    meeting, (port,), committed = Meeting(tmp_path), free_ports(1), []
    for place, subject in enumerate((SUBJECT, OTHER)):
        meeting.send(job(place, 2, port, subject=subject), VALUES, lambda: committed.append(1))
    meeting.end()
    assert {place: error.code for place, error in meeting.errors.items()} == dict.fromkeys(
        (0, 1), "other-shares"
    )
    assert all(isinstance(error, PeerError) for error in meeting.errors.values())
    assert not committed


def test_parties_with_vectors_of_different_lengths_open_nothing(tmp_path: Path) -> None:
    meeting, (port,) = Meeting(tmp_path), free_ports(1)
    for place, share in enumerate((VALUES, VALUES[:-1])):
        meeting.send(job(place, 2, port), share)
    meeting.end()
    assert {error.code for error in meeting.errors.values()} == {"other-shares"}


def test_a_party_that_never_comes_ends_the_meeting_at_its_deadline(tmp_path: Path) -> None:
    meeting, (port,) = Meeting(tmp_path), free_ports(1)
    began = time.monotonic()
    meeting.send(job(0, 2, port, timeout_s=4), VALUES)
    meeting.end()
    assert isinstance(meeting.errors[0], StorageError)
    assert meeting.errors[0].code == "opening-lost"
    assert time.monotonic() - began < 12


def test_a_party_that_hangs_ends_the_meeting_at_its_deadline(tmp_path: Path) -> None:
    meeting, (port,) = Meeting(tmp_path), free_ports(1)
    hung = threading.Event()
    meeting.send(job(1, 2, port, timeout_s=60), VALUES, lambda: wait(hung))
    began = time.monotonic()
    meeting.send(job(0, 2, port, timeout_s=10), VALUES)
    while 0 not in meeting.errors:
        assert time.monotonic() - began < 25
        time.sleep(0.1)
    hung.set()
    meeting.end()
    assert meeting.errors[0].code == "opening-lost"
    assert not meeting.results


def parties() -> list[psutil.Process]:
    """Return the parties' processes that are children of this one, whatever else is."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # which a zombie counts as
            if "server.aggregator.party" in child.cmdline():
                found.append(child)
    return found


def test_a_party_that_dies_ends_the_meeting_within_seconds(tmp_path: Path) -> None:
    """Long before the deadline: the operating system closes its connections."""
    meeting, (port,) = Meeting(tmp_path), free_ports(1)
    died: list[float] = []

    def die() -> None:
        for child in parties():
            folder = Path(child.cmdline()[-1])
            if Job.read(folder).place == 1:
                child.kill()
                died.append(time.monotonic())

    meeting.send(job(1, 2, port, timeout_s=120), VALUES, die)
    meeting.send(job(0, 2, port, timeout_s=120), VALUES)
    meeting.end()
    assert len(died) == 1
    assert time.monotonic() - died[0] < 20
    assert {place: error.code for place, error in meeting.errors.items()} == dict.fromkeys(
        (0, 1), "opening-lost"
    )


def test_an_opening_that_was_begun_before_is_not_begun_again(tmp_path: Path) -> None:
    meeting, (port,) = Meeting(tmp_path), free_ports(1)

    def refuse() -> None:
        raise StorageError("already-opened", "It was.", "No.")

    meeting.send(job(0, 2, port), VALUES, refuse)
    meeting.send(job(1, 2, port), VALUES)
    meeting.end()
    assert meeting.errors[0].code == "already-opened"
    assert meeting.errors[1].code == "opening-lost"


def test_the_parties_listen_on_the_given_interface_alone(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    heard: list[set[str]] = []
    meeting = Meeting(tmp_path)

    def listen() -> None:
        for child in parties():
            found = child.net_connections("inet")
            heard.append({each.laddr.ip for each in found if each.status == "LISTEN"})

    meeting.send(job(0, 2, port), VALUES, listen)
    meeting.send(job(1, 2, port), VALUES)
    meeting.end()
    assert not meeting.errors
    assert len(heard) == 2
    assert set().union(*heard) == {"127.0.0.1"}


def test_an_interface_that_is_not_there_is_not_replaced_by_another(tmp_path: Path) -> None:
    meeting, (port,) = Meeting(tmp_path), free_ports(1)
    for place in range(2):
        meeting.send(job(place, 2, port, interface="nope0", timeout_s=15), VALUES)
    meeting.end()
    assert {error.code for error in meeting.errors.values()} == {"opening-lost"}
    assert "nope0" in (tmp_path / "0.log").read_text()


def test_a_share_that_is_no_array_of_integers_is_not_opened(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    job(0, 2, port).write(tmp_path)
    np.save(tmp_path / SHARE, VALUES.astype(object), allow_pickle=True)
    done = subprocess.run(
        [sys.executable, "-m", "server.aggregator.party", str(tmp_path)],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "pickle" in done.stderr
