"""`concause site start`: the gate at work."""

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from time import time
from typing import Annotated

import typer

from client.commands.output import DEFAULT_CONFIG, ConfigPath, JsonFlag, show
from client.gate.flower import LOOPBACK, supernode_argv, supernode_environment
from client.gate.health import Pulse, watched
from client.gate.memory import open_log, open_memory
from client.gate.site_config import SiteConfig, read_site_config
from client.gate.site_log import SiteLog
from client.gate.supervisor import Supervisor
from protocol.errors import StorageError


def start(
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    with_supernode: Annotated[
        bool, typer.Option("--with-supernode", help="Run and supervise the SuperNode too.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Answer the coordinator's rounds until stopped (Ctrl-C or SIGTERM).

    In production the SuperNode runs as another user, without access to records or keys;
    --with-supernode is for one machine and one user.
    """
    from client.app import client_app  # noqa: PLC0415 - Flower is slow to load
    from client.gate.agent import Agent  # noqa: PLC0415
    from client.gate.opening import open_gate  # noqa: PLC0415
    from client.source.opening import prepare  # noqa: PLC0415

    site = read_site_config(config)
    if with_supernode:
        check_port_is_free(site.flower.runtime_port)
    stop, pulse = _stop_on_signals(), Pulse()
    screen = sys.stderr if sys.stderr.isatty() and not as_json else None
    with (
        closing(open_gate(site, now=int(time()), screen=screen)) as gate,
        closing(open_log(site.site.folder, screen)) as log,
        _supernode(site, log, stop) if with_supernode else nullcontext(),
        _watched(site, pulse),
    ):
        prepare(site.data)
        words = f"The gate of {site.site.name} is at work; its log: {log.path}"
        show({"site": site.site.name, "log": str(log.path)}, words, as_json=as_json)
        Agent(site, client_app(gate), log, pulse=pulse).run(stop)


@contextmanager
def _watched(site: SiteConfig, pulse: Pulse) -> Iterator[None]:
    """Serve health and metrics, if the settings say where; from a memory opened to look at."""
    if site.site.health_port is None:
        yield
        return
    with (
        closing(open_memory(site.site.folder, site.site.audit)) as memory,
        watched(site.site.health_port, pulse, memory),
    ):
        yield


@contextmanager
def _supernode(site: SiteConfig, log: SiteLog, stop: threading.Event) -> Iterator[None]:
    """Keep the SuperNode running in a thread; leaving stops both."""
    output = log.path.with_name("supernode.log")
    supervisor = Supervisor(supernode_argv(site), supernode_environment(site), output, log)
    thread = threading.Thread(target=supervisor.run, args=[stop], name="supernode")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def check_port_is_free(port: int) -> None:
    """Check that the SuperNode will be able to open its local port.

    Raises:
        StorageError: something listens there, often the SuperNode of another site.
    """
    with closing(socket.socket()) as probe:
        probe.settimeout(1.0)
        if probe.connect_ex((LOOPBACK, port)) == 0:
            raise StorageError(
                "port-in-use",
                f"Expected port {port} to be free, found something listening there.",
                "Stop it, or change runtime_port in site.toml: each site has its own.",
            )


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
