"""How fast a site in PostgreSQL is measured: all of ALARM's families over 1 million rows.

The peer is one GROUP BY per family in the same database, over the same driver; the limit is the
one sequential scan that copies the columns out. Wall time, since most of it is the server's. The
server is PostgreSQL 16 on this machine, with its defaults.
"""

import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import adbc_driver_postgresql.dbapi as postgresql
import pyarrow.parquet as pq

from bench.alarm import alarm_study, write_records
from bench.harness import Measurement, interleaved
from client.measure.statistics import measure
from client.source.duckdb_source import DuckDBSource
from client.source.site_table import Mapping, SiteData
from protocol.privacy.plan import compile_plan
from protocol.study.study import Study
from tests.support.databases import PostgresServer, running_postgres

ROWS = 1_000_000
REPEATS = 5
TABLE = "persons"
TARGET = 1.8


def run() -> list[Measurement]:
    """Measure seconds against one query per family, and against one scan."""
    study = alarm_study()
    with TemporaryDirectory() as name, running_postgres() as server:
        folder = Path(name)
        _load(server, folder)
        ours, peer, scan = interleaved(
            lambda: _measure(study, folder),
            lambda: _query_per_family(server, study),
            lambda: _scan(server),
            repeats=REPEATS,
            clock=time.perf_counter,
        )
    return [
        Measurement(
            name="PostgreSQL: 37 families, 1 M rows; seconds per query per family to ours",
            value=peer,
            unit="s (one query per family)",
            peer="ours",
            peer_value=ours,
            limit="one scan of all columns",
            limit_value=scan,
            target=TARGET,
        )
    ]


def _load(server: PostgresServer, folder: Path) -> None:
    path = folder / "alarm.parquet"
    write_records(path, ROWS)
    server.write(pq.read_table(path), TABLE)
    server.run(f"ANALYZE {TABLE}")  # as autovacuum would have
    address = folder / "connection"
    address.write_text(server.reader)
    address.chmod(0o600)


def _measure(study: Study, folder: Path) -> None:
    data = SiteData(
        database="postgres",
        connection=folder / "connection",
        table=f"public.{TABLE}",
        one_row_per_unit=True,
    )
    with DuckDBSource(
        data, Mapping(), study, bound_key=bytes(32), folder=folder / "spill"
    ) as source:
        measure(compile_plan(study), study, source)


def _query_per_family(server: PostgresServer, study: Study) -> None:
    with closing(postgresql.connect(server.reader)) as connection, connection.cursor() as cursor:
        for family in study.causal_graph.families():
            names = ", ".join(f'"{name}"' for name in family)
            cursor.execute(f"SELECT {names}, count(*) FROM {TABLE} GROUP BY {names}")  # noqa: S608
            cursor.fetch_arrow_table()


def _scan(server: PostgresServer) -> None:
    with closing(postgresql.connect(server.reader)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {TABLE}")  # noqa: S608
        for _ in cursor.fetch_record_batch():
            pass
