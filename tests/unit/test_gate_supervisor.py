"""The SuperNode's supervisor: starts it again, waits longer each time, and ends it when told."""

import json
import sys
import threading
from pathlib import Path

import pytest

from client.gate.site_log import SiteLog
from client.gate.supervisor import Patience, Supervisor

SOON = Patience(first_s=0.01, longest_s=0.02, grace_s=5.0)


def supervised(tmp_path: Path, code: str) -> tuple[Supervisor, SiteLog]:
    log = SiteLog(tmp_path / "log.jsonl")
    argv = [sys.executable, "-S", "-c", code]
    return Supervisor(argv, {"MARK": "here"}, tmp_path / "output", log), log


def wait_until(path: Path, lines: int) -> None:
    for _ in range(1000):
        if path.exists() and len(path.read_text().splitlines()) >= lines:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{path} stayed shorter than {lines} lines")


def run(supervisor: Supervisor, log: SiteLog, output: Path, lines: int) -> None:
    """Run a supervisor until its child has written so many lines; then stop it."""
    stop = threading.Event()
    thread = threading.Thread(target=supervisor.run, args=[stop, SOON])
    thread.start()
    wait_until(output, lines)
    stop.set()
    thread.join(20)
    log.close()
    assert not thread.is_alive()


def test_supernode_that_found_no_way_in_is_waited_for_and_that_is_said(tmp_path: Path) -> None:
    code = "import sys; print('Exit Code: 305', flush=True); sys.exit(1)"
    run(*supervised(tmp_path, code), tmp_path / "output", 2)
    noted = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert "frees it after about 50 s" in noted[0]["remedy"]


def test_child_that_ends_is_started_again_and_its_end_is_noted(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['MARK'], flush=True); sys.exit(3)"
    run(*supervised(tmp_path, code), tmp_path / "output", 2)
    assert set((tmp_path / "output").read_text().split()) == {"here"}
    noted = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {(line["event"], line["exit_code"]) for line in noted} == {("supernode-ended", 3)}
    assert [line["attempt"] for line in noted] == list(range(1, len(noted) + 1))


def test_child_that_runs_is_ended_when_told(tmp_path: Path) -> None:
    code = "import time; print('up', flush=True); time.sleep(600)"
    run(*supervised(tmp_path, code), tmp_path / "output", 1)
    assert (tmp_path / "log.jsonl").read_text() == ""


def test_child_that_does_not_listen_is_made_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "SOON", Patience(grace_s=0.05))
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('up', flush=True); time.sleep(600)"
    )
    run(*supervised(tmp_path, code), tmp_path / "output", 1)


def test_command_that_is_not_there_is_tried_again_and_noted(tmp_path: Path) -> None:
    log = SiteLog(tmp_path / "log.jsonl")
    supervisor = Supervisor([str(tmp_path / "none")], {}, tmp_path / "output", log)
    run(supervisor, log, tmp_path / "log.jsonl", 4)
    assert "supernode-not-started" in (tmp_path / "log.jsonl").read_text()


def test_waits_double_up_to_the_longest() -> None:
    waits = [Patience().after(failures) for failures in (1, 2, 3, 7, 8, 10_000)]
    assert waits == [1.0, 2.0, 4.0, 60.0, 60.0, 60.0]
