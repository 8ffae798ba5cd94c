"""The coordinator's Flower processes kept running, with small processes in their place."""

import socket
import sys
from pathlib import Path
from threading import Event

import pytest

from protocol.errors import StorageError
from server.rounds import serving
from server.rounds.coordinator_config import CoordinatorConfig, load_coordinator_config
from server.rounds.signing_key import create_executor_secret, create_signing_key

LISTENS = """
import socket, sys, time
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    time.sleep(600)
"""
WAITS = "import time; time.sleep(600)"
ENDS = "raise SystemExit(3)"


@pytest.fixture
def config(tmp_path: Path) -> CoordinatorConfig:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    create_signing_key(tmp_path / "signing.key")
    create_executor_secret(tmp_path / "executor.secret")
    path = tmp_path / "coordinator.toml"
    path.write_text(
        '[coordinator]\nname = "demo"\nsigning_key = "signing.key"\nroster = "roster.json"\n'
        f'folder = "."\n[flower]\nsuperlink = "127.0.0.1:{port}"\ninsecure = true\n'
        'executor_secret = "executor.secret"\n'
    )
    return load_coordinator_config(path)


def stand_in(monkeypatch: pytest.MonkeyPatch, config: CoordinatorConfig, executor: str) -> None:
    commands = {
        "superlink": [sys.executable, "-c", LISTENS, str(config.flower.port)],
        "superexec": [sys.executable, "-c", executor],
    }
    monkeypatch.setattr(serving, "_commands", lambda _: commands)


def test_both_run_until_told_to_stop_and_none_is_left(
    monkeypatch: pytest.MonkeyPatch, config: CoordinatorConfig
) -> None:
    stand_in(monkeypatch, config, WAITS)
    stop, logs = Event(), []

    def ready(folder: Path) -> None:
        serving.check_reachable(config.flower)
        logs.append(folder)
        stop.set()

    serving.serve(config, stop, ready)
    assert [sorted(path.name for path in folder.iterdir()) for folder in logs] == [
        ["superexec.log", "superlink.log"]
    ]
    assert not serving.is_listening(config.flower)


def test_one_that_ends_is_named_and_the_other_is_stopped(
    monkeypatch: pytest.MonkeyPatch, config: CoordinatorConfig
) -> None:
    stand_in(monkeypatch, config, ENDS)
    with pytest.raises(StorageError, match=r"superexec.*status 3") as refused:
        serving.serve(config, Event(), lambda _: None)
    assert refused.value.code == "flower-ended"
    assert not serving.is_listening(config.flower)


def test_nothing_listening_is_said(config: CoordinatorConfig) -> None:
    with pytest.raises(StorageError) as refused:
        serving.check_reachable(config.flower)
    assert refused.value.code == "no-superlink"
