"""Runs the coordinator's Flower processes, SuperLink and executor, for as long as wanted."""

import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event

from protocol.errors import StorageError
from server.rounds.coordinator_config import CoordinatorConfig, FlowerSection
from server.rounds.flower import (
    Role,
    environment,
    prepare_homes,
    superexec_argv,
    superlink_argv,
)

_LOOK_S = 0.25
_GRACE_S = 10.0  # between being asked to end and being made to


def serve(config: CoordinatorConfig, stop: Event, ready: Callable[[Path], None]) -> None:
    """Run both until `stop` is set; `ready` gets the folder of their logs once they listen.

    Raises:
        StorageError: the port is taken, or one of them ended by itself.
    """
    if is_listening(config.flower):
        raise StorageError(
            "port-in-use",
            f"Expected {config.flower.superlink} to be free, found something listening there.",
            "Stop it, or change superlink in coordinator.toml.",
        )
    prepare_homes(config)
    logs = config.flower_folder / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as stack:
        children = {
            name: stack.enter_context(_running(argv, environment(config, name), logs / name))
            for name, argv in _commands(config).items()
        }
        said = False
        while not stop.wait(_LOOK_S):
            _check_running(children, logs)
            if not said and is_listening(config.flower):
                said = True
                ready(logs)


def check_reachable(flower: FlowerSection) -> None:
    """Check that something listens where the SuperLink should.

    Raises:
        StorageError: nothing does.
    """
    if not is_listening(flower):
        raise StorageError(
            "no-superlink",
            f"Expected a SuperLink at {flower.superlink}, found nothing listening there.",
            "Run `concause coordinator start`, or check superlink in coordinator.toml.",
        )


def is_listening(flower: FlowerSection) -> bool:
    """Return whether the SuperLink's port takes connections."""
    with closing(socket.socket()) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((flower.host, flower.port)) == 0


def _commands(config: CoordinatorConfig) -> Mapping[Role, list[str]]:
    return {"superlink": superlink_argv(config), "superexec": superexec_argv(config)}


@contextmanager
def _running(
    argv: Sequence[str], environment: Mapping[str, str], log_name: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    with (
        log_name.with_suffix(".log").open("ab") as log,
        subprocess.Popen(
            argv, env=dict(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        ) as child,
    ):
        try:
            yield child
        finally:
            _end(child)


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()  # does nothing to one that has ended
    try:
        child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()


def _check_running(children: Mapping[Role, "subprocess.Popen[bytes]"], logs: Path) -> None:
    for name, child in children.items():
        if child.poll() is not None:
            raise StorageError(
                "flower-ended",
                f"Expected {name} to run, found that it ended with status {child.returncode}.",
                f"Its last words stand in {logs / name}.log.",
            )
