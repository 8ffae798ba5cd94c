"""The spill folder: private, wiped, and never wiped from under its owner."""

from pathlib import Path

import pytest

from client.source.spill import SpillFolder
from protocol.errors import UsageError
from tests.support.tables_source import GOOD, open_file, open_records


def test_the_folder_is_private_and_wiped_with_all_that_is_in_it(tmp_path: Path) -> None:
    spill = SpillFolder(tmp_path / "site" / "spill")
    (spill.path / "pages").mkdir()
    (spill.path / "pages" / "a").write_text("rows")
    assert spill.path.stat().st_mode & 0o777 == 0o700
    assert spill.path.parent.stat().st_mode & 0o777 == 0o700
    spill.wipe()
    spill.wipe()
    assert list(spill.path.parent.iterdir()) == []


def test_what_a_crash_left_is_wiped_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / "spill-left"
    left.mkdir()
    (left / "page").write_text("rows")
    spill = SpillFolder(tmp_path)
    assert list(tmp_path.iterdir()) == [spill.path]
    spill.wipe()


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    first, second = SpillFolder(tmp_path), SpillFolder(tmp_path)
    assert first.path.is_dir()
    assert second.path.is_dir()
    first.wipe()
    second.wipe()
    assert list(tmp_path.iterdir()) == []


def test_nothing_else_in_the_parent_is_touched(tmp_path: Path) -> None:
    (tmp_path / "signing.key").write_text("secret")
    (tmp_path / "spill-notes.txt").write_text("a file, not a folder")
    SpillFolder(tmp_path).wipe()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["signing.key", "spill-notes.txt"]


def test_a_source_wipes_its_folder_when_it_closes(tmp_path: Path) -> None:
    with open_records(GOOD, tmp_path) as source:
        source.counts([()])
        assert len(list((tmp_path / "spill").iterdir())) == 1
    assert list((tmp_path / "spill").iterdir()) == []


def test_a_source_that_fails_to_open_wipes_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "records.parquet"
    file.write_text("not a table")
    with pytest.raises(UsageError):
        open_file(file)
    assert list((tmp_path / "spill").iterdir()) == []
