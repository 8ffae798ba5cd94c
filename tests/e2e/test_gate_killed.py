"""`kill -9` of a gate's process at every point of a round, and what may be asked of it afterwards.

What the disk holds is what the operating system kept of a process that had no time to end.
"""

import json
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from client.gate.journal import Step
from client.gate.means import Point
from protocol.identifiers import SiteId
from protocol.secagg.messages import Invitation, Survivors, encode_message
from tests.support.gate_process import GateProcess
from tests.support.site_world import NOW, Exchange, World

pytestmark = pytest.mark.e2e
POINTS = list(Point)
NOTHING_YET = {Point.INVITATION_CHECKED, Point.RESERVING}
UNCHARGED = set(POINTS[: POINTS.index(Point.CHARGED)])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path / "world")) as made:
        yield made


@contextmanager
def gate_process(world: World, at: Point | None = None) -> Iterator[GateProcess]:
    process = GateProcess(world, at)
    try:
        yield process
    finally:
        process.end()


def play_until_killed(world: World, at: Point) -> Exchange:
    """Play a round until the process of site 0 is gone; return the round as it stands."""
    gates = {site: world.open(site) for site in range(1, world.sites)}
    exchange = Exchange(world, world.issue())
    with gate_process(world, at) as process:
        while True:
            requests = exchange.requests()
            reply = process.respond(requests[0])
            if reply is None:
                assert process.status == -signal.SIGKILL
                return exchange
            exchange.take(reply["body"])
            for site, gate in gates.items():
                exchange.take(gate.answer(requests[site], now=NOW))
            exchange.close()


def code_of(reply: dict[str, bytes] | None) -> str:
    assert reply is not None
    return str(json.loads(reply["refusal"])["code"])


@pytest.mark.parametrize("at", POINTS)
def test_a_killed_process_loses_the_round_and_at_most_its_budget(world: World, at: Point) -> None:
    exchange = play_until_killed(world, at)
    with gate_process(world) as again:
        first, second = (again.respond(exchange.requests()[0]) for _ in range(2))
        if at in NOTHING_YET:
            assert first is not None
            assert "body" in first  # nothing of the round was on the disk: it may still begin
        else:
            expected = "round-already-run" if at is Point.REVEALED else "round-lost-in-restart"
            assert code_of(first) == code_of(second) == expected
            invitation = encode_message(Invitation(exchange.signed))
            assert code_of(again.respond(invitation)) == expected
            other = Survivors(exchange.signed.descriptor.session, (SiteId(0), SiteId(1)))
            assert code_of(again.respond(encode_message(other))) == expected
    gate = world.open(0)
    balance = gate._memory.ledger.balance(now=NOW)
    assert balance.charged == (0 if at in UNCHARGED else world.plan.rho)
    if at in {Point.AGREED, Point.REVEALING}:
        (record,) = gate._memory.journal.records()
        assert record.step is Step.AGREED
        assert record.survivors is not None
