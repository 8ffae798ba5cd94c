"""Flower 1.41 holds the key of a SuperNode that crashed: its supervisor waits, says so, and wins.

A real SuperLink that asks for keys, and a site's real SuperNode under the site's own supervisor.
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
import tomlkit
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from client.gate.flower import supernode_argv, supernode_environment
from client.gate.site_config import SiteConfig, read_site_config
from client.gate.site_log import SiteLog
from client.gate.supervisor import Supervisor
from deploy.demo.consortium import command
from deploy.demo.processes import LOOPBACK, Child, Processes, free_ports
from server.rounds.coordinator_config import CoordinatorConfig, load_coordinator_config
from server.rounds.flower import CONNECTION, environment, prepare_homes, superlink_argv

pytestmark = pytest.mark.e2e
AT_ONCE_S, FREED_S = 60.0, 150.0


@pytest.fixture
def coordinator(tmp_path: Path) -> CoordinatorConfig:
    (port,) = free_ports(1)
    folder = tmp_path / "coordinator"
    command("coordinator", "init", "demo", "--folder", folder, "--superlink", f"{LOOPBACK}:{port}")
    command("coordinator", "authority", "--config", folder / "coordinator.toml")
    config = load_coordinator_config(folder / "coordinator.toml")
    prepare_homes(config)
    return config


@pytest.fixture
def superlink(coordinator: CoordinatorConfig, tmp_path: Path) -> Iterator[Processes]:
    running = Processes(tmp_path / "logs")
    argv = [*superlink_argv(coordinator), "--enable-supernode-auth"]
    child = Child("superlink", argv, environment(coordinator, "superlink"), coordinator.flower.port)
    try:
        running.start(child)
        running.wait_ready(child)
        yield running
    finally:
        running.stop()


@pytest.fixture
def site(coordinator: CoordinatorConfig, superlink: Processes, tmp_path: Path) -> SiteConfig:
    """Return a site whose SuperNode's key is registered."""
    superlink.check()
    (port,) = free_ports(1)
    home, address = tmp_path / "north", coordinator.flower.superlink
    command(
        *("site", "init", "north", "--folder", home, "--superlink", address),
        *("--runtime-port", port, "--unit-column", "patient"),
    )
    public = write_node_key(home / "keys" / "node.key")
    settings = tomlkit.parse((home / "site.toml").read_text())
    settings["flower"].update(
        node_key="keys/node.key", root_certificates=str(coordinator.flower.root_certificates)
    )
    (home / "site.toml").write_text(tomlkit.dumps(settings))
    cli = environment(coordinator, "cli")
    register = ["flwr", "supernode", "register", str(public), CONNECTION]
    done = subprocess.run(register, env=cli, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return read_site_config(home / "site.toml")


def write_node_key(path: Path) -> Path:
    """Write a key as Flower wants it, and return where its public half is."""
    key = ec.generate_private_key(ec.SECP384R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.chmod(0o600)
    public = path.with_suffix(".pub")
    public.write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    return public


@contextmanager
def supervised(site: SiteConfig, log: SiteLog, output: Path) -> Iterator[None]:
    stop = threading.Event()
    supervisor = Supervisor(supernode_argv(site), supernode_environment(site), output, log)
    thread = threading.Thread(target=supervisor.run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def within(seconds: float, happened: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_supernode_that_crashed_is_let_in_again_once_its_key_is_free(
    site: SiteConfig, tmp_path: Path
) -> None:
    output = tmp_path / "supernode.log"

    def lives() -> int:
        return output.read_text().count("SuperNode ID") if output.exists() else 0

    with closing(SiteLog(tmp_path / "site.jsonl")) as log, supervised(site, log, output):
        within(AT_ONCE_S, lambda: lives() == 1)
        (supernode,) = [
            one
            for one in psutil.Process(os.getpid()).children()
            if "flower-supernode" in " ".join(one.cmdline())
        ]
        supernode.kill()
        within(FREED_S, lambda: lives() == 2)
    noted = [json.loads(line) for line in (tmp_path / "site.jsonl").read_text().splitlines()]
    killed, *refused = [line for line in noted if line["event"] == "supernode-ended"]
    assert killed["exit_code"] == -9
    assert "remedy" not in killed or killed["remedy"] is None
    assert refused
    assert all("still holds the key" in line["remedy"] for line in refused)
    delays = [line["delay_s"] for line in (killed, *refused)]
    assert delays == [2.0**attempt for attempt in range(len(delays))]
