"""The supervision of the demonstration's processes, with small processes in their place."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.demo import processes
from deploy.demo.processes import Child, Processes, free_ports
from protocol.errors import StorageError

pytestmark = pytest.mark.e2e
LISTENS = """
import socket, sys, time
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    print("listening", flush=True)
    time.sleep(600)
"""
HAS_A_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""


def child(name: str, code: str, *arguments: object, port: int | None = None) -> Child:
    argv = [sys.executable, "-c", code, *map(str, arguments)]
    return Child(name, argv, os.environ, port)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Processes]:
    started = Processes(tmp_path / "logs")
    yield started
    started.stop()


def said(running: Processes, name: str) -> str:
    """Wait until a child has said something, and return it."""
    while not (text := running.log(name).read_text()):
        running.check()
    return text.strip()


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and was not fetched does not."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_child_is_ready_once_its_port_is_open(running: Processes) -> None:
    (port,) = free_ports(1)
    listens = child("server", LISTENS, port, port=port)
    running.start(listens)
    running.wait_ready(listens)
    running.check()
    assert said(running, "server") == "listening"


def test_a_child_that_ends_early_is_named_with_its_last_words(running: Processes) -> None:
    (port,) = free_ports(1)
    fails = child("server", "import sys; sys.exit('no port for me')", port=port)
    running.start(fails)
    with pytest.raises(StorageError) as caught:
        running.wait_ready(fails)
    assert "'server' ended with status 1" in caught.value.cause
    assert "no port for me" in caught.value.cause


def test_a_child_whose_port_stays_closed_is_named(
    running: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_START_S", 0.0)
    (port,) = free_ports(1)
    silent = child("server", "import time; time.sleep(600)", port=port)
    running.start(silent)
    with pytest.raises(StorageError) as caught:
        running.wait_ready(silent)
    assert f"did not open port {port}" in caught.value.cause


def test_killing_takes_what_a_child_started_with_it(running: Processes) -> None:
    running.start(child("parent", HAS_A_CHILD))
    grandchild = int(said(running, "parent"))
    assert is_alive(grandchild)
    running.kill("parent")
    while is_alive(grandchild):
        pass
    running.check()  # one that was killed on purpose is not missed


def test_stopping_ends_also_the_deaf(running: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_GRACE_S", 0.5)
    running.start(child("deaf", DEAF))
    running.start(child("parent", HAS_A_CHILD))
    said(running, "deaf")
    pids = [process.pid for process in running._running.values()]
    running.stop()
    assert not any(is_alive(pid) for pid in pids)


SUPERVISES = """
import os, sys
from pathlib import Path
from deploy.demo import processes
from deploy.demo.processes import Child, Processes, _terminated_like_interrupted

started = Processes(Path(sys.argv[1]))
with _terminated_like_interrupted():
    try:
        started.start(Child("sleeper", ["sleep", "600"], os.environ))
        print(started._running["sleeper"].pid, flush=True)
        started._running["sleeper"].wait()
    finally:
        started.stop()
"""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)]
)
def test_a_signal_to_the_demonstration_stops_its_children(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    argv = [sys.executable, "-c", textwrap.dedent(SUPERVISES), str(tmp_path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        argv, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as demonstration:
        assert demonstration.stdout is not None
        sleeper = int(demonstration.stdout.readline())
        demonstration.send_signal(number)
        assert demonstration.wait(60) == status
    assert not is_alive(sleeper)


def test_free_ports_are_all_different() -> None:
    assert len(set(free_ports(20))) == 20
