"""Which release a new round may follow: all that can be checked before budget is spent."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import PeerError, UsageError
from protocol.secagg.roster import Roster
from protocol.study.document import parse_study
from server.release.folder import ReleaseFile
from server.release.following import read_followed
from server.release.write import write_release
from tests.support.release_folders import NOW, write
from tests.support.release_rounds import STUDY, make_roster, play_round
from tests.support.two_rounds import following

FIRST = play_round(silent=("south",))
SECOND = parse_study(following())


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first") / "release"
    write(folder, FIRST)
    return folder


def test_the_round_of_a_release_is_read_with_the_sites_of_its_sum(release: Path) -> None:
    followed = read_followed(release, SECOND, FIRST.roster)
    assert followed.papers == FIRST.papers
    assert followed.sites == ("north", "east")


def test_a_roster_that_has_grown_or_lost_others_will_do(release: Path) -> None:
    for names in (("north", "east"), ("west", "east", "north", "south")):
        assert read_followed(release, SECOND, make_roster(names)).sites == ("north", "east")


def rekeyed(roster: Roster) -> Roster:
    key = make_roster(("mallory",)).sites[0].key
    return replace(roster, sites=(replace(roster.sites[0], key=key), *roster.sites[1:]))


@pytest.mark.parametrize(
    "roster", [make_roster(("north", "south")), rekeyed(FIRST.roster)], ids=["gone", "other key"]
)
def test_a_roster_without_a_site_of_the_earlier_sum_is_refused(
    release: Path, roster: Roster
) -> None:
    with pytest.raises(UsageError) as caught:
        read_followed(release, SECOND, roster)
    assert caught.value.code == "other-sites"


def test_a_study_that_needs_more_sites_than_the_earlier_sum_holds_is_refused(
    release: Path,
) -> None:
    cohort = "cohort = { n_min = 3, tolerated_colluders = 0, threshold = 2 }"
    needy = parse_study(following(cohort=cohort))
    with pytest.raises(UsageError) as caught:
        read_followed(release, needy, FIRST.roster)
    assert caught.value.code == "earlier-too-few-sites"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (STUDY, "follows-none"),
        (following(STUDY.replace("rows = 500", "rows = 400")), "does-not-follow"),
        (following().replace("[3, 5, 7, 9]", "[3, 5, 8, 9]"), "other-measures"),
    ],
)
def test_a_study_that_does_not_follow_the_release_is_refused(
    release: Path, text: str, code: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read_followed(release, parse_study(text), FIRST.roster)
    assert caught.value.code == code


def test_a_release_that_does_not_verify_is_refused(release: Path, tmp_path: Path) -> None:
    altered = Path(shutil.copytree(release, tmp_path / "altered"))
    (altered / ReleaseFile.MODEL).write_text("{}")
    with pytest.raises(PeerError, match=r"model\.json") as caught:
        read_followed(altered, SECOND, FIRST.roster)
    assert caught.value.code == "earlier-not-verified"


def test_a_folder_that_is_no_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_followed(tmp_path, SECOND, FIRST.roster)
    assert caught.value.code == "no-release"


def test_a_release_that_follows_another_is_not_followed(tmp_path: Path) -> None:
    later = play_round(following(), counter=2)
    write_release(tmp_path / "later", **later.arguments, followed=FIRST.papers, now=NOW)
    third = parse_study(following(following()))
    with pytest.raises(UsageError) as caught:
        read_followed(tmp_path / "later", third, FIRST.roster)
    assert caught.value.code == "third-round"
