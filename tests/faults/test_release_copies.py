"""A release with several synthetic data sets: whole, and each of them checked by itself."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

import concause
from server.release.checks import Verification
from server.release.folder import ReleaseFile, content_of
from server.release.self_contained import breaches
from server.release.verify import verify_release
from tests.support.release_folders import alter_row, sign_again, write
from tests.support.release_rounds import STUDY, PlayedRound, play_round

NAMES = ("synthetic-001.parquet", "synthetic-002.parquet", "synthetic-003.parquet")


@pytest.fixture(scope="module")
def played() -> PlayedRound:
    return play_round(STUDY.replace("rows = 500,", "copies = 3, rows = 500,"))


@pytest.fixture(scope="module")
def original(played: PlayedRound, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("releases") / "original"
    document = write(folder, played).to_json()
    assert document["synthetic"] == str(folder / "synthetic-*.parquet")
    assert document["copies"] == 3
    return folder


@pytest.fixture
def release(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "release"))


def named(verification: Verification) -> set[str]:
    return {check.file for check in verification.failures}


def test_every_data_set_is_listed_and_drawn_again(played: PlayedRound, original: Path) -> None:
    assert {path.name for path in original.iterdir()} == {*content_of(3), ReleaseFile.MANIFEST}
    verification = verify_release(original, roster=played.roster)
    assert verification.ok
    drawn = [check.file for check in verification.checks if check.name.startswith("rows follow")]
    assert drawn == list(NAMES)


def test_a_researcher_combines_what_the_data_sets_say(original: Path) -> None:
    frames = [pd.read_parquet(path) for path in sorted(original.glob("synthetic-*.parquet"))]
    means = [frame["sleep"].mean() for frame in frames]
    found = concause.combine(means, [frame["sleep"].var() / len(frame) for frame in frames])
    assert isinstance(found.estimate, float)
    assert found.estimate == pytest.approx(sum(means) / 3)


def test_the_report_says_how_to_combine(original: Path) -> None:
    page = (original / ReleaseFile.REPORT).read_text()
    assert "concause.combine" in page
    assert "synthetic-003.parquet" in page
    assert "3 times 500 synthetic rows" in page
    assert breaches(page) == ()


def test_a_changed_row_is_found_in_its_data_set(played: PlayedRound, release: Path) -> None:
    alter_row(release / NAMES[1], 260)
    assert named(verify_release(release, roster=played.roster)) == {NAMES[1]}
    sign_again(release, played.coordinator_key)
    assert named(verify_release(release, roster=played.roster)) == {NAMES[1]}


def test_data_sets_in_another_order_are_named(played: PlayedRound, release: Path) -> None:
    (release / NAMES[0]).rename(release / "aside")
    (release / NAMES[1]).rename(release / NAMES[0])
    (release / "aside").rename(release / NAMES[1])
    sign_again(release, played.coordinator_key)
    assert named(verify_release(release, roster=played.roster)) == {NAMES[0]}


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_data_set_is_named(played: PlayedRound, release: Path, name: str) -> None:
    (release / name).unlink()
    assert named(verify_release(release, roster=played.roster)) == {name}


def test_a_data_set_that_nobody_signed_is_named(played: PlayedRound, release: Path) -> None:
    shutil.copy(release / NAMES[0], release / "synthetic-004.parquet")
    found = named(verify_release(release, roster=played.roster))
    assert found == {"synthetic-004.parquet"}


def test_fewer_data_sets_than_the_study_asks_for_are_refused(
    played: PlayedRound, release: Path
) -> None:
    (release / NAMES[2]).unlink()
    sign_again(release, played.coordinator_key)
    (failure,) = verify_release(release, roster=played.roster).failures
    assert failure.file == ReleaseFile.MANIFEST
    assert "3 synthetic data sets" in failure.detail


def test_one_data_set_in_place_of_several_is_refused(played: PlayedRound, release: Path) -> None:
    (release / NAMES[0]).rename(release / ReleaseFile.SYNTHETIC)
    for name in NAMES[1:]:
        (release / name).unlink()
    sign_again(release, played.coordinator_key)
    (failure,) = verify_release(release, roster=played.roster).failures
    assert failure.file == ReleaseFile.MANIFEST
