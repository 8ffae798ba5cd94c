"""The lock on the connection, and the words of the engine that never get out."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import ibis
import pytest

from client.source.engine import Engine, Limits, ibis_type
from client.source.file_records import SOURCE, FileRecords
from protocol.errors import StorageError, UsageError
from tests.support.tables_records import records

CANARY = "canary-value-of-a-patient"


def opened(file: Path, limits: Limits) -> Engine:
    """Return an engine over one Parquet file, with a spill folder beside it."""
    engine = Engine(file.parent / "spill", limits, [file])
    FileRecords(engine, [file], "parquet", ",", may_be_equal=True)
    return engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    (tmp_path / "spill").mkdir()
    table = records(x=("string", [CANARY, "a"]))
    file = table.write_parquet(tmp_path / "own 'quoted'.parquet")
    table.write_parquet(tmp_path / "other.parquet")
    found = opened(file, Limits())
    yield found
    found.close()


def test_the_sites_own_file_is_read(engine: Engine) -> None:
    rows = ibis.table({"x": "string"}, name=SOURCE)
    assert engine.one(rows.aggregate(n=rows.count())) == {"n": 2}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM '{folder}/other.parquet'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "COPY site_files TO '{folder}/own.parquet'",
        "ATTACH '{folder}/new.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM 'https://localhost/x.parquet'",
        "SET threads = 8",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "RESET allowed_paths",
        "PRAGMA enable_profiling",
    ],
)
def test_the_lock_holds_against(engine: Engine, statement: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((StorageError, UsageError)) as refused:
        engine.run(statement.format(folder=tmp_path))
    assert str(tmp_path) not in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_limits_are_set(engine: Engine) -> None:
    settings = engine._connection.execute(
        "SELECT name, value FROM duckdb_settings() WHERE name IN ('threads', 'memory_limit')"
    ).fetchall()
    assert dict(settings) == {"threads": "2", "memory_limit": "953.6 MiB"}


@pytest.mark.parametrize("limits", [("lots", 2), ("1GB", 0), ("1 GB; DROP", 1)])
def test_limits_that_are_none_are_refused(limits: tuple[str, int]) -> None:
    with pytest.raises(UsageError) as refused:
        Limits(*limits)
    assert refused.value.code == "engine-limits"


def test_the_engines_own_words_stay_in_the_chained_exception(engine: Engine) -> None:
    with pytest.raises(StorageError) as refused:
        engine.run("SELECT CAST(x AS INTEGER) FROM site_files")
    assert CANARY not in str(refused.value)
    assert CANARY not in repr(refused.value.args)
    assert CANARY in str(refused.value.__cause__)


def test_running_out_of_memory_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "spill").mkdir()
    file = records(x=("int64", list(range(1000)))).write_parquet(tmp_path / "x.parquet")
    engine = opened(file, Limits(memory="1MB"))
    with pytest.raises(StorageError) as refused:
        engine.run("SELECT list(a.x) FROM site_files a, site_files b, site_files c")
    assert refused.value.code == "engine-memory"
    engine.close()


def test_a_query_too_large_for_memory_spills_into_the_folder(tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    spill.mkdir()
    file = records(x=("int64", list(range(1000)))).write_parquet(tmp_path / "x.parquet")
    engine = opened(file, Limits(memory="40MB"))
    engine.run(
        "CREATE TEMPORARY TABLE t AS SELECT a.x * 7919 + b.x AS p, sha256(b.x::TEXT) AS h "
        "FROM site_files a, site_files b"
    )
    assert any(spill.iterdir())
    engine.close()


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Kiritimati"])
def test_where_the_machine_stands_changes_no_time(
    zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        with closing(Engine(tmp_path, Limits())) as engine:
            query = "SELECT (TIMESTAMPTZ '2020-12-31 23:30:00+00')::DATE::VARCHAR"
            assert engine.strings(query) == ("2020-12-31",)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_type_that_nobody_knows_is_one_that_nothing_is_read_from() -> None:
    assert ibis_type("GEOMETRY('OGC:CRS84')") == "json"
    assert str(ibis_type("INTEGER")) == "int32"
