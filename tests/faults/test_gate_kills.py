"""A gate is killed at every point of a round and started again from its disk.

Whatever the point: no budget comes back, no second answer of the round leaves, its counter is
used up, and the next round goes through.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from client.gate.gate import Gate
from client.gate.journal import Step
from client.gate.ledger import Kind
from client.gate.means import Point
from protocol.errors import PolicyError
from protocol.secagg.messages import Invitation, encode_message
from tests.support.site_world import NOW, Exchange, Killed, World, entries

POINTS = list(Point)
NOTHING_YET = {Point.INVITATION_CHECKED, Point.RESERVING}  # not even the counter is used
UNCHARGED = set(POINTS[: POINTS.index(Point.CHARGED)])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path)) as world:
        yield world


def killer(at: Point, memory: Path) -> Callable[[Point], None]:
    """Return a hook that keeps what is on the disk at a point, and then kills."""

    def reached(point: Point) -> None:
        if point is at:
            shutil.copytree(memory, memory.with_name("frozen"))
            raise Killed

    return reached


def run_until_killed(world: World, at: Point) -> tuple[Exchange, Gate]:
    """Play a round until site 0 is killed; return the round, and the gate started again."""
    gates = {site: world.open(site) for site in range(1, world.sites)}
    memory = world.config(0).site.folder
    gates[0] = world.open(0, reached=killer(at, memory))
    exchange = Exchange(world, world.issue())
    with pytest.raises(Killed):
        exchange.play(gates)
    gates[0].close()
    shutil.rmtree(memory)
    memory.with_name("frozen").rename(memory)
    return exchange, world.open(0)


def test_a_whole_round_passes_every_point_in_order(world: World) -> None:
    seen: list[Point] = []
    gates = {site: world.open(site) for site in range(1, world.sites)}
    gates[0] = world.open(0, reached=seen.append)
    Exchange(world, world.issue()).play(gates)
    assert seen == POINTS


@pytest.mark.parametrize("at", POINTS)
def test_budget_is_charged_at_most_once_and_never_given_back(world: World, at: Point) -> None:
    exchange, gate = run_until_killed(world, at)
    for _ in range(2):
        gate.respond(exchange.requests()[0], now=NOW)
    charged = gate._memory.ledger.balance(now=NOW).charged
    assert charged == (0 if at in UNCHARGED else world.plan.rho)
    assert gate._memory.ledger.balance(now=NOW).reserved == (
        world.plan.rho if at in NOTHING_YET else 0
    )


@pytest.mark.parametrize("at", [point for point in POINTS if point not in NOTHING_YET])
def test_killed_round_gets_no_second_answer(world: World, at: Point) -> None:
    exchange, gate = run_until_killed(world, at)
    expected = "round-already-run" if at is Point.REVEALED else "round-lost-in-restart"
    for body in (exchange.requests()[0], encode_message(Invitation(exchange.signed))):
        with pytest.raises(PolicyError) as refused:
            gate.answer(body, now=NOW)
        assert refused.value.code == expected


@pytest.mark.parametrize("at", [point for point in POINTS if point not in NOTHING_YET])
def test_counter_of_a_killed_round_is_used_up(world: World, at: Point) -> None:
    _, gate = run_until_killed(world, at)
    again = world.issue(counter=1, deadline=NOW + 30)
    with pytest.raises(PolicyError) as refused:
        gate.answer(encode_message(Invitation(again)), now=NOW)
    assert refused.value.code == "counter-not-above-journal"


@pytest.mark.parametrize("at", sorted(NOTHING_YET))
def test_gate_killed_before_it_committed_may_still_take_part(world: World, at: Point) -> None:
    exchange, gate = run_until_killed(world, at)
    assert gate._memory.journal.records() == ()
    gate.answer(exchange.requests()[0], now=NOW)


@pytest.mark.parametrize("at", POINTS)
def test_next_round_goes_through_after_a_kill(world: World, at: Point) -> None:
    _, gate = run_until_killed(world, at)
    gates = {0: gate} | {site: world.open(site) for site in range(1, world.sites)}
    Exchange(world, world.issue(counter=2)).play(gates)
    assert gate._memory.journal.records()[-1].step is Step.REVEALED
    assert len(entries(gate, Kind.CHARGE)) == (1 if at in UNCHARGED else 2)


@pytest.mark.parametrize("at", [Point.AGREED, Point.REVEALING])
def test_survivors_that_were_signed_stay_in_the_journal(world: World, at: Point) -> None:
    _, gate = run_until_killed(world, at)
    (record,) = gate._memory.journal.records()
    assert (record.step, record.abandoned) == (Step.AGREED, NOW)
    assert record.survivors is not None
