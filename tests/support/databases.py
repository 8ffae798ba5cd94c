"""A PostgreSQL server of a test's own, and records in databases.

The server is PostgreSQL 16 from a wheel, on a free port of loopback, in a folder of its own; it
refuses to run as root, so that root runs it as nobody. It is stopped by its process id.
"""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as postgresql
import pyarrow as pa

from client.source.duckdb_source import DuckDBSource
from client.source.site_table import Mapping, SiteData
from protocol.study.study import Study
from tests.support.tables_records import Records
from tests.support.tables_study import KEY, MAPPING

READER = "reader"
INSTALLED = Path(str(find_spec("pgserver").origin)).parent / "pginstall"  # type: ignore[union-attr]
_START_S = 30.0


@dataclass(frozen=True)
class PostgresServer:
    """A running server; `admin` may do everything, `reader` may read what it is granted."""

    port: int

    @property
    def admin(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def reader(self) -> str:
        return f"postgresql://{READER}@127.0.0.1:{self.port}/postgres"

    def run(self, *statements: str) -> None:
        """Run statements as the administrator."""
        with closing(postgresql.connect(self.admin)) as connection:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
            connection.commit()

    def write(self, table: pa.Table, name: str) -> None:
        """Write a table anew, for the reader to read."""
        with closing(postgresql.connect(self.admin)) as connection:
            with connection.cursor() as cursor:
                cursor.execute(f'DROP TABLE IF EXISTS "{name}"')
                cursor.adbc_ingest(name, table, mode="create")
                cursor.execute(f'GRANT SELECT ON "{name}" TO {READER}')
            connection.commit()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a server with an empty database and a role that can only read."""
    folder = Path(tempfile.mkdtemp(prefix="concause-postgres-"))
    who = {"user": "nobody", "group": "nogroup", "extra_groups": ()} if os.getuid() == 0 else {}
    installed = INSTALLED
    if who:  # the wheel may lie where nobody may not look
        installed = folder / "pgserver" / "pginstall"
        shutil.copytree(INSTALLED, installed)
        libraries = INSTALLED.parent.with_name("pgserver.libs")  # found by where they lie
        shutil.copytree(libraries, folder / libraries.name)
        shutil.chown(folder, "nobody", "nogroup")
    data, port = folder / "data", _free_port()
    init = [installed / "bin" / "initdb", "-D", data, "-U", "postgres", "-A", "trust"]
    init += ["-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
    serve = [installed / "bin" / "postgres", "-D", data, "-p", str(port), "-k", ""]
    serve += ["-h", "127.0.0.1", "-c", "fsync=off"]
    try:
        subprocess.run(init, check=True, capture_output=True, cwd=folder, **who)  # type: ignore[call-overload]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(serve, stdout=log, stderr=log, cwd=folder, **who)  # type: ignore[call-overload]
        try:
            found = PostgresServer(port)
            _await(found)
            found.run(f"CREATE ROLE {READER} LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            yield found
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown
            server.wait(_START_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def shared_postgres() -> PostgresServer:
    """Return this process's own server, started once and stopped when the process ends."""
    running = ExitStack()
    atexit.register(running.close)
    return running.enter_context(running_postgres())


def postgres_source(
    table: Records,
    study: Study,
    unit: str | None,
    folder: Path,
    mapping: Mapping = MAPPING,
    **settings: object,
) -> DuckDBSource:
    """Return the source of records that are in a table of PostgreSQL."""
    shared_postgres().write(table.arrow, "persons")
    return open_postgres(study, unit, folder, mapping=mapping, **settings)


def open_postgres(
    study: Study,
    unit: str | None,
    folder: Path,
    *,
    mapping: Mapping = MAPPING,
    **settings: object,
) -> DuckDBSource:
    """Open the table that is there, as the reader unless `uri` says another."""
    address = folder / "connection"
    address.write_text(str(settings.pop("uri", shared_postgres().reader)))
    address.chmod(0o600)
    given = {"database": "postgres", "connection": address, "table": "public.persons", **settings}
    return _opened(given, study, unit, folder, mapping)


def spark_source(
    table: Records,
    study: Study,
    unit: str | None,
    folder: Path,
    mapping: Mapping = MAPPING,
    **settings: object,
) -> DuckDBSource:
    """Return the source of records that Spark reads from Parquet."""
    table.write_parquet(folder / "lake.parquet")
    return open_spark(study, unit, folder, mapping, **settings)


def open_spark(
    study: Study, unit: str | None, folder: Path, mapping: Mapping, **settings: object
) -> DuckDBSource:
    """Have Spark read what is in `folder` already."""
    given = {"database": "spark", "path": str(folder / "lake.parquet"), **settings}
    return _opened(given, study, unit, folder, mapping)


def _opened(
    given: dict[str, object], study: Study, unit: str | None, folder: Path, mapping: Mapping
) -> DuckDBSource:
    units = {"unit_column": unit, "one_row_per_unit": unit is None}
    every_column = bool(given.pop("every_column", False))
    data = SiteData.model_validate({**units, **given})
    return DuckDBSource(
        data,
        mapping,
        study,
        bound_key=KEY,
        folder=folder / "spill",
        every_column=every_column,
    )


def _await(server: PostgresServer) -> None:
    end = time.monotonic() + _START_S
    while True:
        try:
            server.run("SELECT 1")
        except adbc_driver_manager.Error:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
