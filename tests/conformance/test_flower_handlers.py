"""The real ServerApp and ClientApps over a Grid in one process, through Flower's serialisation."""

from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, RecordDict

from protocol.secagg.coordinator_states import Complete
from protocol.secagg.transcript import verify_transcript
from server.app import app
from server.rounds.clock import Timings
from server.rounds.driver import drive
from server.rounds.folder import RoundFolder
from server.rounds.run_settings import RunSettings
from server.rounds.status import RoundStatus
from server.rounds.transport import RECORD, FlowerTransport
from tests.support.flower_grid import (
    STEPS,
    Crash,
    Fault,
    InProcessGrid,
    LostReply,
    NodeError,
    Says,
    Silent,
    double_apps,
)
from tests.support.rounds_world import TIMINGS, FakeClock, doubles, issued, refusal
from tests.support.secagg_network import Consortium, consortium, total

WORLD = consortium(5, threshold=3, n_min=3)
LAST = 4  # the site that suffers
REFUSED = refusal("budget", "budget-exceeded", "The budget does not cover this.")


def driven(world: Consortium, path: Path, *faults: Fault) -> tuple[Complete, RoundStatus]:
    folder = issued(world, path / "round")
    grid = InProcessGrid(double_apps(doubles(world)), faults)
    complete = drive(folder, FlowerTransport(grid), FakeClock(), TIMINGS)
    status = folder.read_status()
    assert status is not None
    np.testing.assert_array_equal(complete.sum, total(world, complete.cohort))
    replayed = verify_transcript(folder.transcript.read_bytes(), world.roster)
    np.testing.assert_array_equal(replayed.sum, complete.sum)
    return complete, status


def context(folder: RoundFolder) -> Context:
    settings = RunSettings(folder.path, Timings(5.0, 5.0, 0.01))
    return Context(1, 1, {}, RecordDict(), settings.as_run_config())


def test_the_server_app_drives_a_round_to_the_exact_sum(tmp_path: Path) -> None:
    folder = issued(WORLD, tmp_path / "round")
    app(InProcessGrid(double_apps(doubles(WORLD))), context(folder))
    complete = verify_transcript(folder.transcript.read_bytes(), WORLD.roster)
    np.testing.assert_array_equal(complete.sum, total(WORLD, range(5)))
    assert complete.cohort == WORLD.roster.ids
    status = folder.read_status()
    assert status is not None
    assert (status.outcome, status.step, status.reason) == ("complete", "complete", "")
    assert {site.state for site in status.sites} == {"answered"}


def test_the_server_app_ends_quietly_when_the_round_is_refused(tmp_path: Path) -> None:
    folder = issued(WORLD, tmp_path / "round")
    faults = [Crash(2, site) for site in (2, 3, 4)]
    app(InProcessGrid(double_apps(doubles(WORLD)), faults), context(folder))
    status = folder.read_status()
    assert status is not None
    assert (status.outcome, status.step) == ("refused", "mask")
    assert status.reason.startswith("The round needs vectors of 3 sites, found 2.")


@pytest.mark.parametrize("step", range(5), ids=STEPS)
@pytest.mark.parametrize("kind", [Silent, LostReply, NodeError, Crash])
def test_a_site_lost_at_any_step_leaves_the_sum_exact(
    tmp_path: Path, step: int, kind: type[Silent | LostReply | NodeError | Crash]
) -> None:
    complete, status = driven(WORLD, tmp_path, kind(step, LAST))
    in_the_sum = step > 2  # its masked vector had come
    assert (LAST in complete.cohort) == in_the_sum
    assert status.sites[LAST].state == "dropped"
    assert status.sites[LAST].reason
    assert {site.state for site in status.sites[:LAST]} == {"answered"}


@pytest.mark.parametrize("step", range(5), ids=STEPS)
def test_a_site_that_refuses_is_out_and_its_words_are_kept(tmp_path: Path, step: int) -> None:
    _, status = driven(WORLD, tmp_path, Says(step, LAST, {RECORD: {"refusal": REFUSED}}))
    said = status.sites[LAST].refusal if step else status.strangers[0].refusal
    assert said is not None
    assert (said.category, said.code) == ("budget", "budget-exceeded")
    assert status.sites[LAST].state == ("refused" if step else "dropped")


@pytest.mark.parametrize("step", range(5), ids=STEPS)
@pytest.mark.parametrize(
    "body", [b"", b"\x00", b"\x10", b"\xff" * 500, b"\x01" + bytes(188), bytes(10_000)]
)
def test_garbage_puts_its_sender_out(tmp_path: Path, step: int, body: bytes) -> None:
    complete, status = driven(WORLD, tmp_path, Says(step, LAST, {RECORD: {"body": body}}))
    assert (LAST in complete.cohort) == (step > 2)
    assert status.sites[LAST].state == "dropped"


@pytest.mark.parametrize(
    "words", [b"", b"no", b"{}", b'{"cause":"x"}', refusal("a", "b", "c" * 1001)]
)
def test_a_malformed_refusal_puts_its_sender_out(tmp_path: Path, words: bytes) -> None:
    _, status = driven(WORLD, tmp_path, Says(1, LAST, {RECORD: {"refusal": words}}))
    assert status.sites[LAST].state == "dropped"
    assert status.sites[LAST].reason.startswith("malformed-refusal")
