"""SQL Server as an origin of records: one snapshot transaction, under a role that cannot write.

Its statements are compared with golden text in the tests; they have not run against a server here.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import ibis
import pyarrow as pa
from ibis.backends.sql.datatypes import MSSQLType

from client.source.origin import Queries
from protocol.errors import SiteOnlyError, StorageError, UsageError

_BATCH_ROWS = 65_536
_MAY_WRITE = """
SELECT permission_name FROM fn_my_permissions(NULL, 'DATABASE') WHERE permission_name IN
  ('INSERT', 'UPDATE', 'DELETE', 'ALTER', 'CONTROL', 'CREATE TABLE', 'CREATE VIEW', 'EXECUTE')
UNION ALL SELECT permission_name FROM fn_my_permissions(?, 'OBJECT') WHERE permission_name IN
  ('INSERT', 'UPDATE', 'DELETE', 'ALTER', 'CONTROL', 'TAKE OWNERSHIP')
UNION ALL SELECT 'sysadmin' WHERE IS_SRVROLEMEMBER('sysadmin') = 1
"""
_COLUMNS = """
SELECT c.name, CASE WHEN t.name IN ('decimal', 'numeric')
  THEN CONCAT('decimal(', c.precision, ',', c.scale, ')') ELSE t.name END
FROM sys.columns c JOIN sys.types t ON t.user_type_id = c.system_type_id
WHERE c.object_id = OBJECT_ID(?) ORDER BY c.column_id
"""


def fingerprint_query(table: str, columns: Sequence[str]) -> str:
    """Return the statement for the number of rows, and the sum of 56 bits of each row's SHA-256."""
    record = ", ".join(f"[t].{_quoted(name)}" for name in columns)
    row = f"(SELECT {record} FOR JSON PATH, WITHOUT_ARRAY_WRAPPER, INCLUDE_NULL_VALUES)"
    number = f"CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', {row}), 1, 7))"
    total = f"COALESCE(SUM(CONVERT(decimal(38, 0), {number})), 0)"
    return f"SELECT COUNT_BIG(*), {total} FROM {_quoted_table(table)} AS [t]"  # noqa: S608 - quoted


class MssqlOrigin:
    """One table or view, in one transaction, until `close`."""

    def __init__(self, connection: str, table: str) -> None:
        """Connect with an ODBC connection string, check the role, and begin.

        Raises:
            PolicyError: the role may write.
            UsageError: there is no such table, or the role may not read it.
            StorageError: there is no connection to be had.
        """
        import pyodbc  # noqa: PLC0415 - the extra `mssql`, and a driver of the system's

        with _errors():
            self._connection: Any = pyodbc.connect(connection, readonly=True, autocommit=False)
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
        self._table = table
        try:
            self._check_role()
            schema = self._read_schema()
        except BaseException:
            self.close()
            raise
        self.queries = Queries("mssql", table, ibis.schema(schema))

    def fingerprint(self, columns: Sequence[str]) -> tuple[int, str]:
        """Return the number of rows, and a number that changes with any of their values."""
        with _errors():
            query = fingerprint_query(self._table, columns)
            rows, total = self._connection.execute(query).fetchone()
        return int(rows), str(int(total))

    def close(self) -> None:
        """End the transaction and the connection."""
        with suppress(Exception):
            self._connection.rollback()
            self._connection.close()

    def _check_role(self) -> None:
        with _errors():
            found = self._connection.execute(_MAY_WRITE, self._table).fetchone()
        if found is not None:
            raise SiteOnlyError(
                "database-role-may-write",
                "Expected a database role that can read and nothing else; this one has "
                f"{found[0]}.",
                "Have the database's administrator make a role with SELECT on one view.",
            )

    def _read_schema(self) -> dict[str, ibis.DataType]:
        with _errors():
            rows = self._connection.execute(_COLUMNS, self._table).fetchall()
        if not rows:
            raise UsageError(
                "table-not-readable",
                "Expected to read the table that [data] names, but there is none, or the role may "
                "not.",
                'Write table = "schema.name" in [data], and have SELECT granted on it.',
            )
        return {name: MSSQLType.from_string(type_) for name, type_ in rows}

    def fetch(self, statement: str) -> pa.RecordBatchReader:
        """Return what a statement finds, a batch at a time."""
        with _errors():
            cursor = self._connection.execute(statement)
        names = [described[0] for described in cursor.description]
        known = self.queries.schema
        types = {n: known[n].to_pyarrow() if n in known.names else pa.int64() for n in names}
        schema = pa.schema(list(types.items()))
        return pa.RecordBatchReader.from_batches(schema, _batches(cursor, schema))


def _batches(cursor: Any, schema: pa.Schema) -> Iterator[pa.RecordBatch]:  # noqa: ANN401
    with _errors():
        while rows := cursor.fetchmany(_BATCH_ROWS):
            cells = zip(*rows, strict=True)
            columns = [pa.array(c, f.type) for c, f in zip(cells, schema, strict=True)]
            yield pa.record_batch(columns, schema=schema)


def _quoted(name: str) -> str:
    return "[" + name.replace("]", "]]") + "]"


def _quoted_table(table: str) -> str:
    return ".".join(map(_quoted, table.split(".")))


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # pyodbc's, or the network's
        raise StorageError(
            "database-failed",
            "The database could not be reached, or did not finish a query.",
            "Check the connection and the role; the cause is in the gate's log under this id.",
        ) from error
