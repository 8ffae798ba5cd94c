"""How a gate is watched: /healthz, /readyz and /metrics over HTTP, on loopback only.

Health is whether the gate's loop turns; readiness, whether it would answer a round: its SuperNode
speaks to it, the site is not paused, its memory can be read. Metrics are counted from the memory
when they are asked for, so that a restart loses none. Nothing here holds anything of the records.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from client.gate.flower import LOOPBACK
from client.gate.ledger import Kind
from client.gate.memory import Memory
from protocol.errors import ConcauseError, StorageError

STALE_S = 30.0  # a loop that has not turned for so long is stuck


class Pulse:
    """When the gate's loop last turned, and when its SuperNode last answered; monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turned: float | None = None
        self._reached: float | None = None
        self._at_work = False

    def turned(self, *, reached: bool) -> None:
        """Note one turn of the loop; `reached`: whether the SuperNode answered."""
        self._turned = self._clock()
        if reached:
            self._reached = self._turned

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Note that the loop serves a task, which takes as long as a measurement does."""
        self._at_work = True
        try:
            yield
        finally:
            self._at_work = False

    @property
    def is_alive(self) -> bool:
        """Return whether the loop turns."""
        return self._is_fresh(self._turned)

    @property
    def is_reached(self) -> bool:
        """Return whether the SuperNode answers."""
        return self._is_fresh(self._reached)

    def _is_fresh(self, at: float | None) -> bool:
        return self._at_work or (at is not None and self._clock() - at < STALE_S)


class GateCollector(Collector):
    """Counts of a gate's memory, as Prometheus reads them."""

    def __init__(self, memory: Memory, clock: Callable[[], float] = time.time) -> None:
        self._memory = memory
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, read now."""
        entries = self._memory.ledger.entries()
        rounds = CounterMetricFamily(
            "concause_rounds", "Rounds by the step that they came to.", labels=["step"]
        )
        steps = Counter(record.step.value for record in self._memory.journal.records())
        for step, count in sorted(steps.items()):
            rounds.add_metric([step], count)
        refusals = CounterMetricFamily("concause_refusals", "Refusals by code.", labels=["code"])
        codes = Counter(entry.code or "" for entry in entries if entry.kind is Kind.REFUSAL)
        for code, count in sorted(codes.items()):
            refusals.add_metric([code], count)
        balance = self._memory.ledger.balance(now=int(self._clock()))
        yield rounds
        yield refusals
        yield GaugeMetricFamily(
            "concause_rho_charged", "Privacy budget spent, rho of zCDP.", float(balance.charged)
        )
        yield GaugeMetricFamily(
            "concause_rho_reserved", "Privacy budget promised.", float(balance.reserved)
        )
        yield GaugeMetricFamily(
            "concause_paused", "Whether the site is paused.", float(self._memory.standing.paused)
        )


def unready(pulse: Pulse, memory: Memory) -> str:
    """Return why the gate would not answer a round, "" if it would."""
    if not pulse.is_reached:
        return "the SuperNode does not answer"
    try:
        return "the site is paused" if memory.standing.paused else ""
    except ConcauseError as error:
        return error.code


@contextmanager
def watched(port: int, pulse: Pulse, memory: Memory) -> Iterator[None]:
    """Serve the three pages on a port of loopback, as long as the block runs.

    Raises:
        StorageError: the port is taken.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(GateCollector(memory))

    def page(path: str) -> tuple[HTTPStatus, str, bytes]:
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry)
        if path == "/healthz":
            return _plain("" if pulse.is_alive else "the gate's loop is stuck")
        if path == "/readyz":
            return _plain(unready(pulse, memory))
        return HTTPStatus.NOT_FOUND, "text/plain", b"not found\n"

    try:
        server = ThreadingHTTPServer((LOOPBACK, port), _handler(page))
    except OSError as error:
        raise StorageError(
            "port-in-use",
            f"Expected port {port} to be free, found something listening there.",
            "Change health_port in site.toml: each site has its own.",
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="health")
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _plain(problem: str) -> tuple[HTTPStatus, str, bytes]:
    status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
    return status, "text/plain", f"{problem or 'ok'}\n".encode()


def _handler(
    page: Callable[[str], tuple[HTTPStatus, str, bytes]],
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer one request."""
            status, kind, content = page(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing: the gate has a log of its own."""

    return Handler
