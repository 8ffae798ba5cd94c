"""The fingerprint of a snapshot: the same for the same records, another for any others."""

import os
from pathlib import Path

import pytest

from client.source.fingerprint import file_state, fingerprint
from protocol.errors import StorageError, UsageError
from protocol.identifiers import Digest
from tests.support.tables_records import Records
from tests.support.tables_source import GOOD, open_file, open_records


def digest(table: Records, folder: Path) -> Digest:
    folder.mkdir(exist_ok=True)
    with open_records(table, folder) as source:
        return source.snapshot()


def test_the_same_file_in_another_folder_is_the_same_snapshot(tmp_path: Path) -> None:
    assert digest(GOOD, tmp_path / "a") == digest(GOOD, tmp_path / "b")


def test_one_row_less_is_another_snapshot(tmp_path: Path) -> None:
    assert digest(GOOD, tmp_path / "a") != digest(GOOD.reordered([0, 1, 2]), tmp_path / "b")


def test_it_holds_schema_rows_and_the_hash_of_every_file(tmp_path: Path) -> None:
    GOOD.write_csv(tmp_path / "a.csv")
    GOOD.reordered([0]).write_csv(tmp_path / "b.csv")
    with open_file(tmp_path / "*.csv", folder=tmp_path / "spill") as source:
        found = source.fingerprint()
    assert found.columns == tuple((name, "string") for name in GOOD.columns)
    assert found.rows == 5
    assert len(set(found.files)) == 2
    assert found.digest == Digest(found.digest)
    assert found.to_json() == {
        "columns": [[name, "string"] for name in GOOD.columns],
        "rows": 5,
        "files": [file.hex() for file in found.files],
    }


def test_a_copy_of_a_file_is_refused_where_no_unit_column_bounds_its_rows(tmp_path: Path) -> None:
    for name in "ab":
        GOOD.write_parquet(tmp_path / f"{name}.parquet")
    with open_file(tmp_path / "*.parquet", folder=tmp_path / "spill") as source:
        assert source.snapshot()
    with open_file(tmp_path / "*.parquet", unit=None, folder=tmp_path / "spill") as source:
        with pytest.raises(UsageError) as refused:
            source.snapshot()
        assert refused.value.code == "data-file-twice"


def test_a_file_that_changes_while_it_is_open_is_refused_everywhere(tmp_path: Path) -> None:
    with open_records(GOOD, tmp_path) as source:
        source.counts([()])
        GOOD.reordered([0, 1]).write_parquet(tmp_path / "records.parquet")
        for ask in (source.snapshot, source.readiness, lambda: source.counts([()])):
            with pytest.raises(StorageError):
                ask()


def test_a_file_touched_while_it_is_open_is_refused_by_its_own_code(tmp_path: Path) -> None:
    with open_records(GOOD, tmp_path) as source:
        os.utime(tmp_path / "records.parquet", ns=(1, 1))
        with pytest.raises(StorageError) as refused:
            source.counts([()])
        assert refused.value.code == "data-changed"


def test_a_file_that_is_gone_cannot_be_fingerprinted(tmp_path: Path) -> None:
    for read in (file_state, lambda file: fingerprint({}, 0, [file])):
        with pytest.raises(StorageError) as refused:
            read(tmp_path / "gone.parquet")
        assert refused.value.code == "data-file-unreadable"
        assert "gone" not in refused.value.cause.replace("is gone", "")
