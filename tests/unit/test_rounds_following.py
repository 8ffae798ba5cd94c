"""A round that follows another: what its folder holds, and whom its driver leaves out."""

from pathlib import Path

import pytest

from protocol.errors import CohortError, UsageError
from protocol.secagg.transcript import Header
from server.rounds.driver import drive
from server.rounds.folder import RoundFolder, create_round_folder
from server.rounds.issue import prepare_round
from server.rounds.papers import FollowedRound
from tests.support.driver_kills import TORN, DriverKilledError, kill_at
from tests.support.release_rounds import STUDY, play_round
from tests.support.rounds_world import START, TIMINGS, FakeClock, LoopbackTransport, doubles
from tests.support.secagg_network import consortium
from tests.support.two_rounds import following
from tests.unit.test_rounds_issue import config

WORLD = consortium(4, threshold=3, n_min=3)
NAMES = [site.name for site in WORLD.roster.sites]
PAPERS = play_round().papers


def followed(*sites: int) -> FollowedRound:
    return FollowedRound(PAPERS, tuple(NAMES[site] for site in sites))


def issued(path: Path, *sites: int) -> RoundFolder:
    return create_round_folder(path, Header(WORLD.roster, WORLD.signed), "", followed(*sites))


def test_the_folder_holds_the_papers_of_the_followed_round(tmp_path: Path) -> None:
    folder = issued(tmp_path / "round", 0, 1)
    assert folder.followed is not None
    assert folder.followed.read_papers() == PAPERS
    assert folder.read_sites() == frozenset(NAMES[:2])


def test_a_round_that_follows_none_has_no_papers_and_leaves_nobody_out(tmp_path: Path) -> None:
    folder = create_round_folder(tmp_path / "round", Header(WORLD.roster, WORLD.signed), "")
    assert folder.followed is None
    assert folder.read_sites() is None


def test_a_damaged_list_of_sites_is_refused(tmp_path: Path) -> None:
    folder = issued(tmp_path / "round", 0, 1)
    folder.sites.write_text("{}")
    with pytest.raises(UsageError) as caught:
        folder.read_sites()
    assert caught.value.code == "damaged-sites"


def test_sites_that_are_not_in_the_earlier_sum_are_left_out_and_told_apart(tmp_path: Path) -> None:
    folder, clock = issued(tmp_path / "round", 0, 1, 3), FakeClock()
    complete = drive(folder, LoopbackTransport(doubles(WORLD)), clock, TIMINGS)
    assert complete.cohort == (0, 1, 3)
    assert clock.slept_s == 0
    status = folder.read_status()
    assert status is not None
    assert status.sites[2].reason == "is not in the sum that this round follows"
    assert status.strangers == ()


def test_too_few_sites_of_the_earlier_sum_end_the_round(tmp_path: Path) -> None:
    sites = doubles(WORLD)
    del sites[min(sites)]
    folder = issued(tmp_path / "round", 0, 1, 3)
    with pytest.raises(CohortError):
        drive(folder, LoopbackTransport(sites), FakeClock(), TIMINGS)


def test_a_round_that_is_taken_up_again_leaves_the_same_sites_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = issued(tmp_path / "round", 0, 1, 3)
    sites = doubles(WORLD)
    with monkeypatch.context() as patched:
        kill_at(patched, 2, TORN["before the event is written"])
        with pytest.raises(DriverKilledError):
            drive(folder, LoopbackTransport(sites), FakeClock(), TIMINGS)
    assert drive(folder, LoopbackTransport(sites), FakeClock(), TIMINGS).cohort == (0, 1, 3)


@pytest.mark.parametrize(
    ("study", "given", "code"),
    [(following(), None, "earlier-missing"), (STUDY, followed(0, 1), "follows-none")],
)
def test_an_earlier_round_is_given_where_the_study_follows_one_and_only_there(
    tmp_path: Path, study: str, given: FollowedRound | None, code: str
) -> None:
    settings = config(tmp_path)
    with pytest.raises(UsageError) as caught:
        prepare_round(settings, study, now=START, followed=given)
    assert caught.value.code == code
    assert not settings.counter.exists()


def test_a_round_is_prepared_with_the_one_that_it_follows(tmp_path: Path) -> None:
    given = FollowedRound(PAPERS, ("north", "east"))
    folder = prepare_round(config(tmp_path), following(), now=START, followed=given)
    assert folder.followed is not None
    assert folder.followed.read_papers() == PAPERS
    assert folder.read_sites() == frozenset({"north", "east"})


def test_papers_without_a_transcript_are_named(tmp_path: Path) -> None:
    folder = issued(tmp_path / "round", 0, 1)
    assert folder.followed is not None
    folder.followed.transcript.unlink()
    with pytest.raises(UsageError, match=r"transcript\.bin"):
        folder.followed.read_papers()
