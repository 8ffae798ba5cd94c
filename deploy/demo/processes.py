"""Real processes for a demonstration: started on loopback, watched, and always stopped again.

Each child leads a process group of its own, so that what it starts goes with it and Ctrl-C
at the terminal reaches only the demonstration, which then stops them in order.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from protocol.errors import StorageError
from server.rounds.coordinator_config import CoordinatorConfig
from server.rounds.flower import environment, prepare_homes, superexec_argv, superlink_argv

LOOPBACK = "127.0.0.1"
_START_S = 60.0
_GRACE_S = 10.0  # between being asked to end and being made to
_TAIL_LINES = 15
_TERMINATED = 128 + signal.SIGTERM


@dataclass(frozen=True, slots=True)
class Child:
    """A process to start; it is ready when its port, if it has one, is open."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    port: int | None = None


@dataclass(frozen=True, slots=True)
class SiteChild:
    """A site's gate, which starts its SuperNode itself; `port` is the SuperNode's own."""

    name: str
    config: Path
    port: int


@dataclass(frozen=True, slots=True)
class AggregatorChild:
    """One operator that adds up shares."""

    name: str
    config: Path


class Processes:
    """The children of a demonstration, by name, with a log file each."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, child: Child) -> None:
        """Start a child; does not wait for it."""
        self._logs.mkdir(parents=True, exist_ok=True)
        with self.log(child.name).open("ab") as log:
            self._running[child.name] = subprocess.Popen(
                child.argv,
                env=dict(child.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        """Return the file that holds what a child printed."""
        return self._logs / f"{name}.log"

    def wait_ready(self, child: Child) -> None:
        """Return once a child's port is open.

        Raises:
            StorageError: it has ended, or its port stays closed.
        """
        end = time.monotonic() + _START_S
        while child.port is not None and not _is_open(child.port):
            self.check()
            if time.monotonic() > end:
                raise self._trouble(child.name, f"did not open port {child.port}")
            time.sleep(0.1)

    def check(self) -> None:
        """Check that every child still runs.

        Raises:
            StorageError: one has ended; says which, and how its log ends.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                raise self._trouble(name, f"ended with status {process.returncode}")

    def pids(self) -> Mapping[str, int]:
        """Return the process id of each child, by name."""
        return {name: process.pid for name, process in self._running.items()}

    def kill(self, name: str) -> None:
        """End a child and all that it started at once, as a power cut would."""
        process = self._running.pop(name)
        _signal(process, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End all children: asked in the reverse order of their start, made to after 10 s."""
        running = list(reversed(self._running.values()))
        self._running.clear()
        try:
            for process in running:
                _signal(process, signal.SIGTERM)
            end = time.monotonic() + _GRACE_S
            for process in running:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, end - time.monotonic()))
        finally:  # a second Ctrl-C comes here at once
            for process in running:
                _signal(process, signal.SIGKILL)
                process.wait()

    def _trouble(self, name: str, what: str) -> StorageError:
        lines = self.log(name).read_text(encoding="utf-8", errors="replace").splitlines()
        tail = "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:])
        return StorageError(
            "process-ended",
            f"The process {name!r} {what}. The end of its log:\n{tail}\n",
            f"See all of it in {self.log(name)}.",
        )


@contextmanager
def running_consortium(
    config: CoordinatorConfig,
    sites: Sequence[SiteChild],
    logs: Path,
    progress: Callable[[str], None] = lambda _: None,
    aggregation: Sequence[Child] = (),
    start: Callable[[SiteChild], Child] | None = None,
) -> Iterator[Processes]:
    """Run a SuperLink, an executor and the sites; all are stopped when the block is left.

    `aggregation` are the relay and the aggregators, where there are any; `start` says how a
    site's process is started, if not by `site_child`.

    `progress` gets a line for each process that is up.

    Raises:
        StorageError: a process does not start; what runs by then is stopped.
    """
    prepare_homes(config)
    processes = Processes(logs)
    with _terminated_like_interrupted():
        try:
            children = [(start or site_child)(site) for site in sites]
            for group in (coordinator_children(config), aggregation, children):
                for child in group:
                    processes.start(child)
                for child in group:
                    processes.wait_ready(child)
                    progress(child.name)
            yield processes
        finally:
            processes.stop()


def coordinator_children(config: CoordinatorConfig) -> list[Child]:
    """Return the coordinator's processes: the SuperLink, and the executor of its ServerApps."""
    return [
        Child(
            "superlink",
            superlink_argv(config),
            environment(config, "superlink"),
            config.flower.port,
        ),
        Child("superexec", superexec_argv(config), environment(config, "superexec")),
    ]


def aggregation_children(
    coordinator: Path, config: CoordinatorConfig, aggregators: Sequence[AggregatorChild]
) -> list[Child]:
    """Return the coordinator's relay and the aggregators; none where there are none."""
    if config.relay is None:
        return []
    command = [sys.executable, "-m", "concause"]
    port = int(config.relay.listen.rpartition(":")[2])
    relay = [*command, "coordinator", "relay", "--config", str(coordinator)]
    children = [Child("relay", relay, os.environ, port)]
    for one in aggregators:
        argv = [*command, "aggregator", "run", "--config", str(one.config)]
        children.append(Child(one.name, argv, os.environ))
    return children


def site_child(site: SiteChild) -> Child:
    """Return a site's one process, which is what an administrator there would start."""
    argv = [sys.executable, "-m", "concause", "site", "start", "--with-supernode"]
    argv += ["--config", str(site.config)]
    return Child(site.name, argv, os.environ, site.port)


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody uses now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _is_open(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # nobody is left in the group
        os.killpg(process.pid, number)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Have SIGTERM unwind the block, as Ctrl-C does, instead of ending the process."""

    def leave(_number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
