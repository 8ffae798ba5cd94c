"""Which database a site's settings name, opened; drivers are loaded only where they are needed."""

import os
import stat
from importlib.util import find_spec
from pathlib import Path

from client.source.origin import Origin
from client.source.site_table import SiteData
from protocol.errors import SiteOnlyError, UsageError

_NEEDS = {"postgres": "adbc_driver_postgresql", "mssql": "pyodbc", "spark": "pyspark"}


def open_origin(data: SiteData) -> Origin:
    """Return the database that `[data]` names.

    Raises:
        UsageError: its driver is not installed, or the connection's file is not there.
        PolicyError: the database role may write, or others may read the connection's file.
        StorageError: there is no connection to be had.
    """
    kind = data.database
    if kind is None:
        raise TypeError("an origin of records in files")
    if find_spec(_NEEDS[kind]) is None:
        raise UsageError(
            "driver-missing",
            f"Expected the driver for {kind}, which is not installed.",
            f"Install it: pip install 'concause[{kind}]'.",
        )
    if kind == "postgres":
        from client.source.postgres_origin import PostgresOrigin  # noqa: PLC0415

        return PostgresOrigin(_connection(data), data.table or "")
    if kind == "mssql":
        from client.source.mssql_origin import MssqlOrigin  # noqa: PLC0415

        return MssqlOrigin(_connection(data), data.table or "")
    from client.source.spark_origin import SparkOrigin  # noqa: PLC0415

    return SparkOrigin(data.master, data.table, data.path)


def prepare(data: SiteData) -> None:
    """Begin what takes long to begin, so that no round has to wait for it.

    Raises:
        StorageError: it cannot be begun.
    """
    if data.database == "spark":
        from client.source.spark_origin import session_at  # noqa: PLC0415

        session_at(data.master)


def _connection(data: SiteData) -> str:
    """Return the address in the connection's file, which holds a password."""
    path = data.connection or Path()
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "connection-missing",
            "Expected the file that [data] names as connection, found none that can be read.",
            "Write the database's address there, on one line.",
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SiteOnlyError(
            "connection-readable-by-others",
            "Expected the connection's file to be readable by its owner alone.",
            f"Run chmod 600 {path}, and consider changing the password.",
        )
    return text
