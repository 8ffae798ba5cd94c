"""The driver and real gates behind their real ClientApp, over a Grid in one process."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from client.app import client_app
from protocol.errors import CohortError
from protocol.secagg.coordinator_states import Complete, Event
from protocol.secagg.descriptor import SignedDescriptor
from protocol.secagg.ring import from_ring
from protocol.secagg.transcript import Header, verify_transcript
from server.rounds.driver import drive
from server.rounds.folder import RoundFolder, TranscriptFile, create_round_folder
from server.rounds.status import RoundStatus
from server.rounds.transport import FlowerTransport
from tests.support.driver_kills import TORN, DriverKilledError, kill_at
from tests.support.flower_grid import STEPS, Crash, Fault, InProcessGrid, LostReply, Silent
from tests.support.rounds_world import FIRST_ADDRESS, TIMINGS, FakeClock
from tests.support.site_world import NOW, World, statistics

SITES = 4  # of which the study wants three
LAST = SITES - 1


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "sites", SITES)
    yield made
    made.close()


def grid(world: World, *faults: Fault) -> InProcessGrid:
    apps = {
        FIRST_ADDRESS + site: client_app(world.open(site), lambda: NOW) for site in range(SITES)
    }
    return InProcessGrid(apps, faults)


def issued(world: World, signed: SignedDescriptor | None = None, name: str = "r") -> RoundFolder:
    header = Header(world.roster, signed or world.issue())
    return create_round_folder(world.folder.parent / name, header, "")


def driven(folder: RoundFolder, over: InProcessGrid) -> Complete:
    return drive(folder, FlowerTransport(over), FakeClock(), TIMINGS)


def status_of(folder: RoundFolder) -> RoundStatus:
    status = folder.read_status()
    assert status is not None
    return status


def check_sum(world: World, folder: RoundFolder, complete: Complete) -> None:
    expected = sum(statistics(world.plan, site) for site in complete.cohort)
    np.testing.assert_array_equal(from_ring(complete.sum), expected)
    verify_transcript(folder.transcript.read_bytes(), world.roster)


def test_a_round_over_gates_opens_the_exact_sum(world: World) -> None:
    folder = issued(world)
    complete = driven(folder, grid(world))
    assert complete.cohort == world.roster.ids
    check_sum(world, folder, complete)


@pytest.mark.parametrize("kind", [Silent, LostReply, Crash])
@pytest.mark.parametrize("step", range(5), ids=STEPS)
def test_a_gate_lost_at_any_step_leaves_the_sum_exact(
    world: World, step: int, kind: type[Silent | LostReply | Crash]
) -> None:
    folder = issued(world)
    complete = driven(folder, grid(world, kind(step, LAST)))
    assert (LAST in complete.cohort) == (step > 2)
    assert status_of(folder).sites[LAST].state == "dropped"
    check_sum(world, folder, complete)


@pytest.mark.parametrize("count", range(0, 5 * SITES + 5, 2))
def test_gates_let_a_killed_driver_go_on(world: World, count: int) -> None:
    folder, over = issued(world), grid(world)
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, count, TORN["inside the event"])
        with pytest.raises(DriverKilledError):
            driven(folder, over)
    complete = driven(folder, over)
    assert complete.cohort == world.roster.ids
    check_sum(world, folder, complete)


@pytest.mark.parametrize("step", range(1, 5), ids=STEPS[1:])
def test_a_gate_that_was_restarted_refuses_and_the_others_go_on(world: World, step: int) -> None:
    folder, over = issued(world), grid(world)
    append, seen = TranscriptFile.append, itertools.count(1)

    def append_and_restart(self: TranscriptFile, event: Event) -> None:
        append(self, event)
        if next(seen) == step * (SITES + 1):  # the step before has just been closed
            over.install(FIRST_ADDRESS + LAST, client_app(world.open(LAST), lambda: NOW))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TranscriptFile, "append", append_and_restart)
        complete = driven(folder, over)
    site = status_of(folder).sites[LAST]
    assert site.state == "refused"
    assert site.refusal is not None
    assert (LAST in complete.cohort) == (step > 2)
    check_sum(world, folder, complete)


def test_the_same_round_issued_again_is_refused_by_every_gate(world: World) -> None:
    signed, over = world.issue(), grid(world)
    driven(issued(world, signed), over)
    again = issued(world, signed, "again")
    with pytest.raises(CohortError):
        driven(again, over)
    status = status_of(again)
    assert status.outcome == "refused"
    refusals = [stranger.refusal for stranger in status.strangers if stranger.refusal]
    assert len(refusals) == SITES
    assert {refusal.category for refusal in refusals} == {"policy"}
    assert status.reason.endswith(f"Sites refused: {refusals[0].code} ({SITES}).")
    assert {site.state for site in status.sites} == {"dropped"}
