"""How a release comes to be in one piece, or not at all."""

from hashlib import sha256
from pathlib import Path

import pytest

from protocol.errors import StorageError, UsageError
from server.release.folder import building, file_digest


def test_what_was_built_appears_whole_under_its_name(tmp_path: Path) -> None:
    with building(tmp_path / "release") as draft:
        (draft / "a").write_text("a")
        assert not (tmp_path / "release").exists()
    assert (tmp_path / "release" / "a").read_text() == "a"
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_folders_above_are_made(tmp_path: Path) -> None:
    with building(tmp_path / "deep" / "er" / "release"):
        pass
    assert (tmp_path / "deep" / "er" / "release").is_dir()


def test_a_failure_half_way_leaves_nothing(tmp_path: Path) -> None:
    def fail_half_way() -> None:
        with building(tmp_path / "release") as draft:
            (draft / "a").write_text("a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_release_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    with pytest.raises(UsageError) as caught, building(tmp_path / "release"):
        pass
    assert caught.value.code == "release-exists"


def test_a_release_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    def build_while_another_does() -> None:
        with building(tmp_path / "release") as draft:
            (draft / "a").write_text("mine")
            (tmp_path / "release").mkdir()
            (tmp_path / "release" / "a").write_text("theirs")

    with pytest.raises(StorageError) as caught:
        build_while_another_does()
    assert caught.value.code == "release-not-written"
    assert (tmp_path / "release" / "a").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_a_disk_that_refuses_is_said_in_our_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError), building(tmp_path / "file" / "release"):
        pass


def test_a_file_digest_is_the_sha256_of_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    assert file_digest(tmp_path / "a") == sha256(b"x" * 3_000_000).digest()
