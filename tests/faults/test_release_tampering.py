"""Whatever is done to a release after it was signed, verification fails and names the file."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import UsageError
from server.release.checks import Verification
from server.release.folder import ReleaseFile, content_of
from server.release.verify import verify_release
from tests.support.release_folders import LATER, sign_again, write
from tests.support.release_keys import key_of
from tests.support.release_rounds import STUDY, PlayedRound, make_roster, play_round

FLIPS = (0x01, 0x20, 0xFF)


@pytest.fixture(scope="module")
def played() -> PlayedRound:
    return play_round()


@pytest.fixture(scope="module")
def original(played: PlayedRound, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("releases") / "original"
    write(folder, played)
    return folder


@pytest.fixture
def release(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "release"))


def named(verification: Verification) -> set[str]:
    return {check.file for check in verification.failures}


def test_an_untouched_release_passes_every_check(played: PlayedRound, original: Path) -> None:
    verification = verify_release(original, roster=played.roster)
    assert verification.ok
    assert {check.file for check in verification.checks} == set(ReleaseFile)
    assert verification.to_json()["ok"] is True


def test_without_a_pinned_roster_a_note_says_so(original: Path) -> None:
    verification = verify_release(original)
    assert verification.ok
    (trusted,) = [check for check in verification.checks if check.name == "roster is trusted"]
    assert "the release's own" in trusted.detail


@pytest.mark.parametrize("pin", [True, False])
@pytest.mark.parametrize("name", list(ReleaseFile))
def test_one_changed_byte_is_found_and_its_file_is_named(
    played: PlayedRound, release: Path, name: ReleaseFile, pin: bool
) -> None:
    path = release / name
    intact = path.read_bytes()
    for altered in _one_byte_changes(intact):
        path.write_bytes(altered)
        verification = verify_release(release, roster=played.roster if pin else None)
        assert not verification.ok
        assert named(verification) == {name}


@pytest.mark.parametrize("name", list(ReleaseFile))
def test_a_file_cut_short_or_drawn_out_is_named(release: Path, name: ReleaseFile) -> None:
    path = release / name
    intact = path.read_bytes()
    for altered in (b"", intact[:-1], intact[1:], intact + b"\n", b"\xef\xbb\xbf" + intact):
        path.write_bytes(altered)
        assert named(verify_release(release)) == {name}


@pytest.mark.parametrize("name", list(ReleaseFile))
def test_a_missing_file_is_named(release: Path, name: ReleaseFile) -> None:
    (release / name).unlink()
    assert named(verify_release(release)) == {name}


@pytest.mark.parametrize("name", list(ReleaseFile))
def test_a_link_or_folder_in_place_of_a_file_is_named(
    original: Path, release: Path, name: ReleaseFile
) -> None:
    (release / name).unlink()
    (release / name).symlink_to(original / name)
    assert named(verify_release(release)) == {name}
    (release / name).unlink()
    (release / name).mkdir()
    assert named(verify_release(release)) == {name}


@pytest.mark.parametrize("extra", ["notes.txt", ".hidden", "model.json.bak"])
def test_an_extra_file_is_named(release: Path, extra: str) -> None:
    (release / extra).write_text("")
    assert named(verify_release(release)) == {extra}


def test_an_extra_folder_is_named(release: Path) -> None:
    (release / "more").mkdir()
    assert named(verify_release(release)) == {"more"}


@pytest.mark.parametrize("name", content_of(1))
def test_a_file_of_another_release_is_named(release: Path, tmp_path: Path, name: str) -> None:
    other = play_round(
        sites=("north", "east", "south", "west"), counter=2, study_text=_other_study()
    )
    write(tmp_path / "other", other)
    shutil.copy(tmp_path / "other" / name, release / name)
    assert named(verify_release(release)) == {name}


def test_a_manifest_of_another_release_of_the_same_round_is_found(
    played: PlayedRound, release: Path, tmp_path: Path
) -> None:
    write(tmp_path / "other", played, now=LATER)
    shutil.copy(tmp_path / "other" / ReleaseFile.MANIFEST, release)
    assert named(verify_release(release)) == {ReleaseFile.REPORT}  # which prints the time


def test_two_files_that_changed_places_are_both_named(release: Path) -> None:
    model, privacy = release / ReleaseFile.MODEL, release / ReleaseFile.PRIVACY
    first, second = model.read_bytes(), privacy.read_bytes()
    model.write_bytes(second)
    privacy.write_bytes(first)
    assert named(verify_release(release)) == {ReleaseFile.MODEL, ReleaseFile.PRIVACY}


@pytest.mark.parametrize("pin", [True, False])
def test_a_manifest_signed_again_by_another_key_is_named(
    played: PlayedRound, release: Path, pin: bool
) -> None:
    sign_again(release, key_of("mallory"))
    verification = verify_release(release, roster=played.roster if pin else None)
    assert named(verification) == {ReleaseFile.MANIFEST}


def test_a_whole_release_by_another_coordinator_fails_under_the_pinned_roster(
    played: PlayedRound, tmp_path: Path
) -> None:
    forged = play_round(coordinator_name="mallory")
    write(tmp_path / "forged", forged)
    assert verify_release(tmp_path / "forged").ok
    verification = verify_release(tmp_path / "forged", roster=played.roster)
    assert named(verification) == {ReleaseFile.ROSTER}


def test_another_roster_than_that_of_the_round_is_refused(original: Path) -> None:
    grown = make_roster(("north", "east", "south", "west"))
    assert named(verify_release(original, roster=grown)) == {ReleaseFile.ROSTER}


def test_a_folder_that_is_not_there_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        verify_release(tmp_path / "nowhere")
    assert caught.value.code == "no-release"


def _one_byte_changes(intact: bytes) -> Iterator[bytes]:
    positions = {0, 1, len(intact) // 3, len(intact) // 2, len(intact) - 2, len(intact) - 1}
    for position in sorted(positions):
        for flip in FLIPS:
            altered = bytearray(intact)
            altered[position] ^= flip
            yield bytes(altered)


def _other_study() -> str:
    return STUDY.replace("threshold = 2", "threshold = 3").replace("n_min = 2", "n_min = 3")
