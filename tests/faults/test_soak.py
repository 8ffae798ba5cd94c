"""Two hundred rounds with random faults: the sum exact, the budget right, and nothing left over."""

import gc
import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest

from client.app import client_app
from client.gate.gate import Gate
from client.gate.journal import Step
from client.gate.ledger import Kind
from protocol.errors import CohortError
from protocol.secagg.ring import from_ring
from protocol.secagg.transcript import Header, verify_transcript
from server.rounds.driver import drive
from server.rounds.folder import RoundFolder, create_round_folder
from server.rounds.transport import FlowerTransport
from tests.support.driver_kills import TORN, DriverKilledError, kill_at
from tests.support.flower_grid import Crash, Fault, InProcessGrid, LostReply, NodeError, Silent
from tests.support.rounds_world import FIRST_ADDRESS, TIMINGS, FakeClock
from tests.support.site_world import DEADLINE, NOW, World, entries, statistics

ROUNDS = 200
SETTLED = 60  # rounds after which nothing may grow any more
SITES = 5  # of which the study wants three
MOST_GROWTH_MB = 12
CHARGED = {Step.CHARGED, Step.MASKED, Step.AGREED, Step.REVEALED}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Five sites whose budget lasts for all rounds."""
    made = World(tmp_path / "sites", SITES)
    for site in range(SITES):
        made.set_policy(site, "rho = 0.1", "rho = 100")
        made.approve(site, rho_cap=Fraction(100))
    yield made
    made.close()


def faults(chance: random.Random) -> list[Fault]:
    """Return none to three faults; with three, a round may end in no sum."""
    found: list[Fault] = []
    for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
        kind = chance.choice((Silent, LostReply, NodeError, Crash))
        found.append(kind(chance.randrange(5), chance.randrange(SITES)))
    return found


class Soak:
    """Gates that live on from round to round, and what came of each round."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = random.Random(20261129)  # noqa: S311 - faults, not secrets
        self.gates: dict[int, Gate] = {site: world.open(site) for site in range(SITES)}
        self.opened = self.refused = self.restarts = self.kills = 0

    def play(self, number: int) -> None:
        """Play one round; now and then restart a gate before it, or kill its driver."""
        if self.chance.random() < 0.2:
            site = self.chance.randrange(SITES)
            self.gates[site] = self.world.open(site)
            self.restarts += 1
        apps = {
            FIRST_ADDRESS + site: client_app(gate, lambda: NOW) for site, gate in self.gates.items()
        }
        grid = InProcessGrid(apps, faults(self.chance))
        header = Header(self.world.roster, self.world.issue(counter=number))
        folder = create_round_folder(self.world.folder.parent / f"r{number}", header, "")
        try:
            self._drive(folder, grid)
        except CohortError:
            self.refused += 1

    def _drive(self, folder: RoundFolder, grid: InProcessGrid) -> None:
        if self.chance.random() < 0.2:
            self.kills += 1
            with pytest.MonkeyPatch.context() as patch:
                kill_at(patch, self.chance.randrange(20), TORN["inside the event"])
                try:
                    drive(folder, FlowerTransport(grid), FakeClock(), TIMINGS)
                except DriverKilledError:
                    pass
                else:
                    self.opened += 1
                    return
        complete = drive(folder, FlowerTransport(grid), FakeClock(), TIMINGS)
        expected = sum(statistics(self.world.plan, site) for site in complete.cohort)
        np.testing.assert_array_equal(from_ring(complete.sum), expected)
        verify_transcript(folder.transcript.read_bytes(), self.world.roster)
        self.opened += 1


def test_two_hundred_rounds_with_random_faults_leave_nothing_behind(world: World) -> None:
    soak, process = Soak(world), psutil.Process()
    handles = memory = 0
    for number in range(1, ROUNDS + 1):
        soak.play(number)
        if number == SETTLED:
            gc.collect()
            handles, memory = process.num_fds(), process.memory_info().rss
    gc.collect()
    assert process.num_fds() <= handles
    assert process.memory_info().rss - memory < MOST_GROWTH_MB * 2**20
    assert soak.opened > ROUNDS / 2
    assert min(soak.refused, soak.restarts, soak.kills) > 10  # or the faults were none
    for gate in soak.gates.values():
        check_budget(world, gate)


def check_budget(world: World, gate: Gate) -> None:
    """Every round that came as far as its charge is charged once, and no other; nothing is held."""
    gate.forget_lost_rounds(now=NOW)
    records = gate._memory.journal.records()
    charged = [record.session for record in records if record.step in CHARGED]
    assert sorted(entry.session or b"" for entry in entries(gate, Kind.CHARGE)) == sorted(charged)
    balance = gate._memory.ledger.balance(now=DEADLINE + 1)
    assert balance.charged == len(charged) * world.plan.rho
    assert balance.reserved == 0
    assert len(gate._live) <= 1
