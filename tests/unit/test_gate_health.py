"""Health, readiness and metrics of a gate, over HTTP on loopback."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from client.gate.health import STALE_S, Pulse, watched
from client.gate.memory import Memory
from protocol.errors import StorageError
from tests.support.site_supernode import free_port
from tests.support.site_world import NOW, Exchange, World


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path)) as world:
        yield world


def get(port: int, page: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}{page}", timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def watching(world: World, pulse: Pulse) -> Iterator[tuple[int, Memory]]:
    port = free_port()
    with closing(world.memory(0)) as memory, watched(port, pulse, memory):
        yield port, memory


def test_gate_is_healthy_while_its_loop_turns_and_ready_while_its_supernode_answers(
    world: World,
) -> None:
    clock = Clock()
    pulse = Pulse(clock)
    for port, _ in watching(world, pulse):
        assert get(port, "/healthz") == (503, "the gate's loop is stuck\n")
        pulse.turned(reached=False)
        assert get(port, "/healthz") == (200, "ok\n")
        assert get(port, "/readyz") == (503, "the SuperNode does not answer\n")
        pulse.turned(reached=True)
        assert get(port, "/readyz") == (200, "ok\n")
        clock.now += STALE_S
        assert get(port, "/healthz")[0] == get(port, "/readyz")[0] == 503
        assert get(port, "/other")[0] == 404


def test_paused_site_is_healthy_and_not_ready(world: World) -> None:
    pulse = Pulse()
    pulse.turned(reached=True)
    for port, _ in watching(world, pulse):
        with world.decisions(0) as decisions:
            decisions.pause(None, None, now=NOW)
        assert get(port, "/healthz")[0] == 200
        assert get(port, "/readyz") == (503, "the site is paused\n")


def test_metrics_count_rounds_refusals_and_budget(world: World) -> None:
    gates = {site: world.open(site) for site in range(world.sites)}
    Exchange(world, world.issue()).play(gates)
    gates[0].respond(b"\x99", now=NOW)
    for port, _ in watching(world, Pulse()):
        status, text = get(port, "/metrics")
        found = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    assert status == 200
    assert found["concause_rounds_total", "revealed"] == 1
    assert found["concause_refusals_total", "unknown-message"] == 1
    assert found["concause_rho_charged",] == pytest.approx(float(world.plan.rho))
    assert found["concause_paused",] == 0


def test_port_that_is_taken_is_refused(world: World) -> None:
    for port, memory in watching(world, Pulse()):
        with pytest.raises(StorageError) as refused, watched(port, Pulse(), memory):
            pass
        assert refused.value.code == "port-in-use"


def test_gate_that_measures_for_long_is_healthy() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    with pulse.at_work():
        clock.now += 10 * STALE_S
        assert pulse.is_alive
        assert pulse.is_reached
    assert not pulse.is_alive
