"""Whatever is done to the earlier round in a release, verification names the file."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from server.release.checks import Verification
from server.release.folder import FollowedFile, ReleaseFile
from server.release.verify import verify_release
from server.release.write import write_release
from tests.support.release_folders import NOW, sign_again, write
from tests.support.release_keys import key_of
from tests.support.release_rounds import STUDY, PlayedRound, play_round
from tests.support.two_rounds import following

FIRST, SECOND = play_round(), play_round(following(), counter=2)
COORDINATOR = key_of("coordinator")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("releases") / "original"
    write_release(folder, **SECOND.arguments, followed=FIRST.papers, now=NOW)
    return folder


@pytest.fixture
def release(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "release"))


def verified(release: Path) -> Verification:
    return verify_release(release, roster=SECOND.roster)


def named(release: Path) -> set[str]:
    return {check.file for check in verified(release).failures}


def named_once_signed(release: Path, **changes: object) -> set[str]:
    sign_again(release, COORDINATOR, **changes)
    return named(release)


def test_an_untouched_release_passes_every_check(original: Path) -> None:
    verification = verified(original)
    assert verification.ok
    assert {check.file for check in verification.checks} == {*ReleaseFile, *FollowedFile}


@pytest.mark.parametrize("name", list(FollowedFile))
def test_one_changed_byte_is_found_and_its_file_is_named(release: Path, name: FollowedFile) -> None:
    path = release / name
    intact = path.read_bytes()
    for position in (0, len(intact) // 2, len(intact) - 1):
        altered = bytearray(intact)
        altered[position] ^= 0x20
        path.write_bytes(altered)
        assert named(release) == {name}


@pytest.mark.parametrize("name", list(FollowedFile))
def test_a_missing_or_linked_file_is_named(
    original: Path, release: Path, name: FollowedFile
) -> None:
    (release / name).unlink()
    assert named(release) == {name}
    (release / name).symlink_to(original / name)
    assert named(release) == {name}


def test_papers_of_both_rounds_that_changed_places_are_named(release: Path) -> None:
    one, other = ReleaseFile.STUDY, FollowedFile.STUDY
    first, second = (release / one).read_bytes(), (release / other).read_bytes()
    (release / one).write_bytes(second)
    (release / other).write_bytes(first)
    assert named(release) == {one, other}


def test_another_earlier_study_is_named(release: Path) -> None:
    text = STUDY.replace("epsilon = 4", "epsilon = 3")
    (release / FollowedFile.STUDY).write_text(text)
    assert named_once_signed(release) == {FollowedFile.STUDY}


def test_an_earlier_study_that_is_no_text_is_named(release: Path) -> None:
    (release / FollowedFile.STUDY).write_bytes(b"\xff\xfe")
    assert named_once_signed(release) == {FollowedFile.STUDY}


def test_an_earlier_roster_under_another_name_is_named(release: Path) -> None:
    path = release / FollowedFile.ROSTER
    path.write_bytes(path.read_bytes().replace(b"test-consortium", b"best-consortium"))
    assert named_once_signed(release) == {FollowedFile.TRANSCRIPT}


def test_an_earlier_transcript_that_ends_early_is_named(release: Path) -> None:
    path = release / FollowedFile.TRANSCRIPT
    path.write_bytes(path.read_bytes()[:-5])
    assert named_once_signed(release) == {FollowedFile.TRANSCRIPT}


def test_the_transcript_of_a_round_of_another_study_is_named(release: Path) -> None:
    (release / FollowedFile.TRANSCRIPT).write_bytes(SECOND.transcript)
    assert named_once_signed(release) == {FollowedFile.TRANSCRIPT}


def put(release: Path, played: PlayedRound) -> None:
    (release / FollowedFile.TRANSCRIPT).write_bytes(played.transcript)
    (release / FollowedFile.ROSTER).write_bytes(played.roster.canonical)


OTHER_ROUNDS: Mapping[str, PlayedRound] = {
    "another round of the study": play_round(counter=3),
    "other survivors": play_round(counter=4, silent=("east",)),
    "made-up sites": play_round(sites=("north", "east", "mallory"), counter=5),
}


@pytest.mark.parametrize("name", list(OTHER_ROUNDS))
def test_another_round_than_the_one_that_was_combined_is_found(release: Path, name: str) -> None:
    put(release, OTHER_ROUNDS[name])
    assert named_once_signed(release) == {ReleaseFile.PRIVACY}  # which names both sessions


def test_a_model_of_one_sum_where_both_should_be_combined_is_named(
    release: Path, tmp_path: Path
) -> None:
    other = play_round(following(), counter=2, silent=("south",))
    write_release(tmp_path / "other", **other.arguments, followed=FIRST.papers, now=NOW)
    shutil.copy(tmp_path / "other" / ReleaseFile.MODEL, release / ReleaseFile.MODEL)
    assert named_once_signed(release) == {ReleaseFile.MODEL}


def test_a_release_that_hides_its_earlier_round_is_named(release: Path) -> None:
    for name in FollowedFile:
        (release / name).unlink()
    assert named_once_signed(release) == {ReleaseFile.MANIFEST}


def test_a_release_of_one_round_with_papers_of_another_is_named(
    original: Path, tmp_path: Path
) -> None:
    release = tmp_path / "one"
    write(release, FIRST)
    for name in FollowedFile:
        shutil.copy(original / name, release / name)
    assert named(release) == set(FollowedFile)
    assert named_once_signed(release) == {ReleaseFile.MANIFEST}
