"""Records in databases: roles that may write, snapshots, types, and the statements themselves."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import adbc_driver_postgresql.dbapi as postgresql
import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from client.source.mssql_origin import fingerprint_query
from client.source.opening import open_origin
from client.source.origin import Queries
from client.source.postgres_origin import PostgresOrigin
from client.source.site_table import Mapping, SiteData
from client.source.spark_origin import SparkOrigin
from protocol.errors import PolicyError, StorageError, UsageError
from tests.support.databases import (
    READER,
    PostgresServer,
    open_postgres,
    open_spark,
    shared_postgres,
    spark_source,
)
from tests.support.tables_source import GOOD, single_study
from tests.support.tables_study import UNIT, all_cliques, ward_study


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """Return a server with the good records, whose reader may do no more than it should."""
    server = shared_postgres()
    server.write(GOOD.arrow, "persons")
    server.run(
        "CREATE SEQUENCE IF NOT EXISTS numbers",
        "CREATE OR REPLACE FUNCTION wipe() RETURNS void LANGUAGE sql SECURITY DEFINER"
        " AS 'DELETE FROM persons'",
        "REVOKE EXECUTE ON FUNCTION wipe FROM PUBLIC",
    )
    yield server
    server.run(
        "DROP SEQUENCE numbers",
        "DROP FUNCTION wipe",
        f"ALTER ROLE {READER} RESET ALL",
        "DROP SCHEMA IF EXISTS other CASCADE",
        f"ALTER ROLE {READER} NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS",
        f"REVOKE pg_write_all_data, pg_read_server_files FROM {READER}",
        f"REVOKE CREATE ON SCHEMA public FROM {READER}",
        f"REVOKE CREATE ON DATABASE postgres FROM {READER}",
        "ALTER TABLE persons OWNER TO postgres",
    )


def snapshot(folder: Path) -> bytes:
    with open_postgres(ward_study(), UNIT, folder) as source:
        return source.snapshot()


def _levels(one: str) -> str:
    return f'kind = "categorical"\nlevels = ["{one}", "x"]'


WRITING = {
    "is a superuser": f"ALTER ROLE {READER} SUPERUSER",
    "may make roles": f"ALTER ROLE {READER} CREATEROLE",
    "or databases": f"ALTER ROLE {READER} CREATEDB",
    "replicate": f"ALTER ROLE {READER} REPLICATION",
    "pass over row security": f"ALTER ROLE {READER} BYPASSRLS",
    "belongs to pg_write_all_data": f"GRANT pg_write_all_data TO {READER}",
    "belongs to pg_read_server_files": f"GRANT pg_read_server_files TO {READER}",
    "in the schema public": f"GRANT CREATE ON SCHEMA public TO {READER}",
    "in the database": f"GRANT CREATE ON DATABASE postgres TO {READER}",
    "owns public.persons": f"ALTER TABLE persons OWNER TO {READER}",
    "write to public.persons": f"GRANT UPDATE ON persons TO {READER}",
    "may write to public.persons": f"GRANT DELETE ON persons TO {READER}",
    "to public.persons": f"GRANT INSERT (age) ON persons TO {READER}",
    "may set public.numbers": f"GRANT UPDATE ON SEQUENCE numbers TO {READER}",
    "may run public.wipe": f"GRANT EXECUTE ON FUNCTION wipe TO {READER}",
}


@pytest.mark.parametrize("words", WRITING)
def test_role_that_may_write_is_refused(server: PostgresServer, words: str, tmp_path: Path) -> None:
    server.run(WRITING[words])
    with pytest.raises(PolicyError) as refused:
        open_postgres(ward_study(), UNIT, tmp_path)
    assert refused.value.code == "database-role-may-write"
    assert words in refused.value.cause or words in ("or databases", "replicate")


def test_role_that_may_write_to_another_table_is_refused(
    server: PostgresServer, tmp_path: Path
) -> None:
    server.run("CREATE SCHEMA other", "CREATE TABLE other.t (x int)")
    snapshot(tmp_path)
    server.run(f"GRANT TRUNCATE ON other.t TO {READER}")
    with pytest.raises(PolicyError) as refused:
        snapshot(tmp_path)
    assert "other.t" in refused.value.cause


def test_role_that_may_become_one_that_writes_is_refused(
    server: PostgresServer, tmp_path: Path
) -> None:
    server.run(
        "CREATE ROLE writers",
        "GRANT UPDATE ON persons TO writers",
        f"GRANT writers TO {READER} WITH INHERIT FALSE",
    )
    try:
        with pytest.raises(PolicyError) as refused:
            snapshot(tmp_path)
        assert "may write to public.persons" in refused.value.cause
    finally:
        server.run("DROP OWNED BY writers", "DROP ROLE writers")


@pytest.mark.usefixtures("server")
def test_even_a_role_that_would_be_let_through_cannot_write() -> None:
    with closing(PostgresOrigin(shared_postgres().reader, "public.persons")) as origin:
        cursor = origin._connection.cursor()
        with pytest.raises(postgresql.Error, match="read-only transaction"):
            cursor.execute("CREATE TABLE made (x int)")
        cursor.close()


def test_all_is_read_in_one_snapshot(server: PostgresServer, tmp_path: Path) -> None:
    with open_postgres(ward_study(), UNIT, tmp_path) as source:
        before = source.snapshot()
        server.run("INSERT INTO persons SELECT * FROM persons")
        assert source.snapshot() == before
        assert source.counts([()])[()].tolist() == 3
    assert snapshot(tmp_path) != before


@pytest.mark.parametrize(
    ("statement", "same"),
    [
        ("UPDATE persons SET age = 40.25 WHERE patient = 2", False),
        ("UPDATE persons SET ward_name = NULL WHERE patient = 2", False),
        ("DELETE FROM persons WHERE patient = 1", False),
        ("UPDATE persons SET smoker = smoker", True),
        ("ALTER TABLE persons ADD COLUMN unread text DEFAULT 'x'", True),
        ("ALTER TABLE persons ALTER COLUMN grade TYPE smallint", False),
    ],
)
def test_snapshot_is_of_the_columns_that_are_read(
    server: PostgresServer, statement: str, tmp_path: Path, *, same: bool
) -> None:
    before = snapshot(tmp_path)
    server.run(statement)
    assert (snapshot(tmp_path) == before) is same


def test_snapshot_and_counts_do_not_depend_on_settings_of_the_role(
    server: PostgresServer, tmp_path: Path
) -> None:
    server.run("UPDATE persons SET age = 0.3 WHERE patient = 2")
    before = snapshot(tmp_path)
    for setting in (
        "extra_float_digits = 0",
        "TimeZone = 'Asia/Tokyo'",
        "DateStyle = 'SQL, DMY'",
        "bytea_output = 'escape'",
    ):
        server.run(f"ALTER ROLE {READER} SET {setting}")
    assert snapshot(tmp_path) == before
    server.run("UPDATE persons SET age = 0.29999999999999993 WHERE patient = 2")
    assert snapshot(tmp_path) != before


def test_columns_that_differ_in_case_alone_are_refused(
    server: PostgresServer, tmp_path: Path
) -> None:
    server.run('ALTER TABLE persons ADD COLUMN "AGE" double precision')
    mapping = Mapping.model_validate({"x": {"column": "old"}})
    study = single_study('kind = "boolean"')
    snapshot(tmp_path)  # a study that reads one of them may
    with pytest.raises(UsageError) as refused:
        open_postgres(
            study, UNIT, tmp_path, mapping=mapping, derived={"old": 'age > 40 AND "AGE" > 40'}
        )
    assert refused.value.code == "columns-alike"


def test_numbers_that_are_equal_are_one_unit(server: PostgresServer, tmp_path: Path) -> None:
    server.run(
        "ALTER TABLE persons ALTER COLUMN patient TYPE numeric",
        "UPDATE persons SET patient = 1.5 WHERE patient = 1",
        "UPDATE persons SET patient = 1.50 WHERE patient = 2",
    )
    mapping = Mapping.model_validate({"x": {"column": "smoker"}})
    study = single_study('kind = "boolean"\nmissing = true')
    with open_postgres(study, UNIT, tmp_path, mapping=mapping) as source:
        assert source.counts([()])[()].tolist() == 2  # of three


def test_infinite_dates_are_missing(server: PostgresServer, tmp_path: Path) -> None:
    server.run(
        "ALTER TABLE persons ADD COLUMN seen date DEFAULT '2020-05-05'",
        "UPDATE persons SET seen = 'infinity' WHERE patient = 1",
        "UPDATE persons SET seen = '-infinity' WHERE patient = 2",
    )
    mapping = Mapping.model_validate({"x": {"column": "smoker"}})
    study = single_study('kind = "boolean"\nmissing = true')
    window = {"date_column": "seen", "from_date": "1900-01-01"}
    with open_postgres(study, UNIT, tmp_path, mapping=mapping, **window) as source:
        assert source.counts([()])[()].tolist() == 1  # of three


def test_a_suggestion_passes_over_columns_that_nothing_can_read(
    server: PostgresServer, tmp_path: Path
) -> None:
    server.run("ALTER TABLE persons ADD COLUMN home point DEFAULT '(1,2)'")
    with open_postgres(ward_study(), UNIT, tmp_path, every_column=True) as source:
        assert source.suggestion().open is not None


UNREADABLE = ["DROP TABLE persons", f"REVOKE SELECT ON persons FROM {READER}"]  # noqa: S608


@pytest.mark.parametrize("statement", UNREADABLE)
def test_table_that_cannot_be_read_is_refused(
    server: PostgresServer, statement: str, tmp_path: Path
) -> None:
    server.run(statement)
    with pytest.raises(UsageError) as refused:
        snapshot(tmp_path)
    assert refused.value.code == "table-not-readable"
    server.write(GOOD.arrow, "persons")


def test_database_that_is_away_is_a_storage_error(tmp_path: Path) -> None:
    uri = "postgresql://reader@127.0.0.1:1/postgres?connect_timeout=1"
    with pytest.raises(StorageError) as refused:
        open_postgres(ward_study(), UNIT, tmp_path, uri=uri)
    assert refused.value.code == "database-failed"
    assert "127.0.0.1" not in str(refused.value)


def test_connection_is_kept_from_others(server: PostgresServer, tmp_path: Path) -> None:
    address = tmp_path / "connection"
    data = SiteData(
        database="postgres", connection=address, table="public.persons", unit_column=UNIT
    )
    with pytest.raises(UsageError) as missing:
        open_origin(data)
    assert missing.value.code == "connection-missing"
    address.write_text(server.reader)
    address.chmod(0o640)
    with pytest.raises(PolicyError) as refused:
        open_origin(data)
    assert refused.value.code == "connection-readable-by-others"


MISSING = "missing = true"
UUID = "c0ffee00-0000-0000-0000-000000000000"
TYPES: list[tuple[str, str, str, list[int]]] = [
    ("numeric(4,1)", "1.0, 2.5, NULL", 'kind = "categorical"\nlevels = ["1", "2.5"]', [1, 1, 1]),
    ("numeric", "1.0, 2.50, NULL", 'kind = "numeric"\nedges = [0, 2, 10]', [1, 1, 1]),
    ("boolean", "true, false, NULL", 'kind = "boolean"', [1, 1, 1]),
    ("date", "'2020-01-02', NULL, NULL", _levels("2020-01-02"), [1, 0, 2]),
    ("real", "0.1, 0.2, 'NaN'", 'kind = "numeric"\nedges = [0, 0.15, 1]', [1, 1, 1]),
    ("char(3)", "'a', NULL, NULL", _levels("a"), [1, 0, 2]),
    ("mood", "'sad', 'ok', NULL", 'kind = "categorical"\nlevels = ["ok", "sad"]', [1, 1, 1]),
    ("uuid", f"'{UUID}', NULL, NULL", _levels(UUID), [1, 0, 2]),
    ("whole", "1, 2, NULL", 'kind = "ordinal"\nlevels = ["1", "2"]', [1, 1, 1]),
    ("padded", "'a', NULL, NULL", _levels("a"), [1, 0, 2]),
    ("feeling", "'sad', 'ok', NULL", 'kind = "categorical"\nlevels = ["ok", "sad"]', [1, 1, 1]),
]


@pytest.mark.parametrize(("type_", "values", "variable", "expected"), TYPES)
def test_types_of_postgres_mean_what_they_say(
    type_: str, values: str, variable: str, expected: list[int], tmp_path: Path
) -> None:
    server = shared_postgres()
    rows = ", ".join(f"({value})" for value in values.split(", "))
    server.run(
        "DROP TABLE IF EXISTS persons",
        "DROP TYPE IF EXISTS mood CASCADE",
        "DROP DOMAIN IF EXISTS whole, padded, feeling, felt CASCADE",
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE DOMAIN whole AS integer",
        "CREATE DOMAIN padded AS char(5)",
        "CREATE DOMAIN felt AS mood",
        "CREATE DOMAIN feeling AS felt",
        f"CREATE TABLE persons (x {type_})",
        f"INSERT INTO persons VALUES {rows}",  # noqa: S608 - values from above
        f"GRANT SELECT ON persons TO {READER}",
    )
    try:
        for read in (None, "x"):  # grouped in the database, and fetched
            derived = {"y": "x"} if read else {}
            mapping = Mapping.model_validate({"x": {"column": "y"}} if read else {})
            study = single_study(f"{variable}\n{MISSING}")
            with open_postgres(study, None, tmp_path, mapping=mapping, derived=derived) as source:
                assert source.counts([("x",)])[("x",)].tolist() == expected
                assert source._records._held.is_fetched is (read is not None)  # type: ignore[attr-defined]
    finally:
        server.run("DROP TABLE persons", "DROP DOMAIN whole, padded", "DROP TYPE mood CASCADE")


@pytest.mark.parametrize("type_", ["jsonb", "integer[]", "money", "timestamp"])
def test_type_that_no_variable_can_have_is_refused(type_: str, tmp_path: Path) -> None:
    server = shared_postgres()
    server.run(
        "DROP TABLE IF EXISTS persons",
        f"CREATE TABLE persons (x {type_})",
        f"GRANT SELECT ON persons TO {READER}",
    )
    study = single_study('kind = "boolean"')
    with open_postgres(study, None, tmp_path, mapping=Mapping()) as source:
        with pytest.raises(UsageError) as refused:
            source.counts([("x",)])
        assert refused.value.code == "column-type"


def test_only_the_columns_of_the_study_leave_the_database(
    server: PostgresServer, tmp_path: Path
) -> None:
    study = single_study('kind = "boolean"')
    mapping = Mapping.model_validate({"x": {"column": "smoker"}})
    server.run("UPDATE persons SET smoker = true WHERE smoker IS NULL")
    with open_postgres(study, UNIT, tmp_path, mapping=mapping) as source:
        assert set(source._records.rows.columns) == {"smoker", "patient"}
        assert source.counts([("x",)])[("x",)].tolist() == [1, 2]


def test_missing_column_is_named_and_nothing_is_fetched(
    server: PostgresServer, tmp_path: Path
) -> None:
    server.run("ALTER TABLE persons DROP COLUMN age")
    with open_postgres(ward_study(), UNIT, tmp_path) as source:
        with pytest.raises(UsageError, match="found none for age"):
            source.counts([()])
        assert source._engine.is_promised("site_rows")
        readiness = source.readiness()
    assert not readiness.ready


def test_driver_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("client.source.opening.find_spec", lambda _: None)
    with pytest.raises(UsageError) as refused:
        open_postgres(ward_study(), UNIT, tmp_path)
    assert refused.value.code == "driver-missing"
    assert "concause[postgres]" in refused.value.remedy


@pytest.mark.parametrize("unit", [UNIT, None])
def test_spark_tells_another_snapshot(unit: str | None, tmp_path: Path) -> None:
    with spark_source(GOOD, ward_study(), unit, tmp_path) as source:
        before = source.snapshot()
    for order, same in (((3, 2, 1, 0), True), ((0, 1, 2, 2), False)):
        with spark_source(GOOD.reordered(order), ward_study(), unit, tmp_path) as source:
            assert (source.snapshot() == before) is same


def test_spark_reads_times_with_a_zone_and_tells_microseconds_apart(tmp_path: Path) -> None:
    study = single_study('kind = "boolean"\nmissing = true')
    mapping = Mapping.model_validate({"x": {"column": "late"}})
    derived = {"late": "seen > TIMESTAMPTZ '2020-01-01 00:00:00.0005+00'"}
    found = []
    for micros in (400, 600):
        seen = datetime(2020, 1, 1, 0, 0, 0, micros, UTC)
        times = pa.array([seen], pa.timestamp("us", "UTC"))
        pq.write_table(pa.table({UNIT: [1], "seen": times}), tmp_path / "lake.parquet")
        with open_spark(study, UNIT, tmp_path, mapping, derived=derived) as source:
            found.append((source.counts([("x",)])[("x",)].tolist(), source.snapshot()))
    assert [counts for counts, _ in found] == [[1, 0, 0], [0, 1, 0]]
    assert found[0][1] != found[1][1]


def test_spark_without_its_table_is_refused(tmp_path: Path) -> None:
    for table, path in (("nowhere", None), (None, str(tmp_path / "none.parquet"))):
        with pytest.raises(UsageError) as refused:
            SparkOrigin("local[2]", table, path)
        assert refused.value.code == "table-not-readable"


SCHEMA = ibis.schema({"sex": "string", "age": "int32", "weight": "decimal(5, 1)"})
GOLDEN = {
    ("mssql", "rows"): "SELECT [t0].[sex], CAST([t0].[weight] AS VARCHAR(max)) AS [weight] "
    "FROM [research].[persons] AS [t0]",
    ("mssql", "sample"): "SELECT TOP 10000 [t0].[sex], CAST([t0].[weight] AS VARCHAR(max)) AS "
    "[weight] FROM [research].[persons] AS [t0]",
    ("mssql", "groups"): "SELECT [t1].[sex], [t1].[weight], COUNT_BIG(*) AS [times of a group] "
    "FROM ( SELECT [t0].[sex], CAST([t0].[weight] AS VARCHAR(max)) AS [weight] FROM "
    "[research].[persons] AS [t0] ) AS [t1] GROUP BY [t1].[sex], [t1].[weight]",
    ("postgres", "rows"): 'SELECT "t0"."sex", CAST(TRIM_SCALE("t0"."weight") AS VARCHAR) AS '
    '"weight" FROM '
    '"research"."persons" AS "t0"',
    ("pyspark", "rows"): "SELECT `t0`.`sex`, CAST(`t0`.`weight` AS STRING) AS `weight` FROM "
    "`research`.`persons` AS `t0`",
}


@pytest.mark.parametrize(("dialect", "kind"), GOLDEN)
def test_statement_is_as_it_was_looked_at(dialect: str, kind: str) -> None:
    made = getattr(Queries(dialect, "research.persons", SCHEMA), kind)(["sex", "weight"])
    assert " ".join(made.split()) == GOLDEN[dialect, kind]


def test_fingerprint_of_sql_server_is_as_it_was_looked_at() -> None:
    assert fingerprint_query("research.persons", ["sex", "we]ight"]) == (
        "SELECT COUNT_BIG(*), COALESCE(SUM(CONVERT(decimal(38, 0), CONVERT(bigint, SUBSTRING("
        "HASHBYTES('SHA2_256', (SELECT [t].[sex], [t].[we]]ight] FOR JSON PATH, "
        "WITHOUT_ARRAY_WRAPPER, INCLUDE_NULL_VALUES)), 1, 7)))), 0) FROM [research].[persons] "
        "AS [t]"
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "give path"),
        ({"path": "x.csv", "table": "t"}, "give path"),
        ({"database": "postgres", "table": "t"}, "give connection and table"),
        ({"database": "postgres", "connection": "c", "table": "t", "path": "x"}, "no path"),
        ({"database": "spark", "table": "t", "path": "x"}, "path or table"),
        ({"database": "oracle", "table": "t"}, "postgres"),
        ({"path": "x.csv", "from_date": "2020-01-01"}, "need date_column"),
        ({"database": "postgres", "connection": "c", "table": "a b; drop"}, "table"),
    ],
)
def test_settings_name_one_place(given: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SiteData.model_validate(given)


def test_all_tables_agree_whether_grouped_or_fetched(
    server: PostgresServer, tmp_path: Path
) -> None:
    server.write(GOOD.reordered([0, 1, 2, 3] * 5).arrow, "persons")
    study = ward_study()
    with open_postgres(study, None, tmp_path) as grouped:
        first = grouped.counts(all_cliques(study))
    with open_postgres(study, None, tmp_path, derived={"z": "age"}) as fetched:
        second = fetched.counts(all_cliques(study))
    assert len(first) > 4
    assert all(np.array_equal(first[clique], second[clique]) for clique in first)


def test_a_hint_points_to_a_column_that_the_study_does_not_read(
    server: PostgresServer, tmp_path: Path
) -> None:
    server.run('ALTER TABLE persons RENAME COLUMN ward_name TO "ward_names"')
    with open_postgres(ward_study(), UNIT, tmp_path) as source:
        hints = source.readiness().hints
    assert any("'ward_names'" in hint for hint in hints)
