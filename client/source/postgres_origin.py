"""PostgreSQL as an origin of records: one read-only transaction, under a role that cannot write.

Everything is read in one REPEATABLE READ transaction, so that what is fingerprinted is what is
counted, whatever others write meanwhile. A role that may write anywhere is refused: the gate needs
SELECT on one table or view and nothing else.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as postgresql
import ibis
import pyarrow as pa
from ibis.backends.sql.datatypes import PostgresType

from client.source.origin import Queries
from protocol.errors import SiteOnlyError, StorageError, UsageError

# One snapshot, and texts of values that do not depend on settings of the role or the server.
_BEGIN = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "SET LOCAL extra_float_digits = 3",
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL DateStyle = 'ISO, YMD'",
    "SET LOCAL IntervalStyle = 'postgres'",
    "SET LOCAL bytea_output = 'hex'",
)
# Each says why a role may write; none returns a row for one that may not. All roles count that this
# one may become (SET ROLE), whether it inherits their rights or not.
_MAY_WRITE = """
WITH me AS (SELECT * FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER'))
SELECT 'is a superuser, or may become one' FROM me WHERE rolsuper
UNION ALL SELECT 'may make roles or databases, replicate, or pass over row security'
  FROM me WHERE rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
UNION ALL SELECT 'belongs to ' || rolname FROM me WHERE rolname IN
  ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program', 'pg_maintain',
   'pg_read_server_files', 'pg_checkpoint', 'pg_signal_backend', 'pg_create_subscription')
UNION ALL SELECT 'may make things in the database'
  FROM me WHERE has_database_privilege(me.oid, current_database(), 'CREATE')
UNION ALL SELECT 'may make things in the schema ' || nspname FROM pg_namespace n, me
  WHERE has_schema_privilege(me.oid, n.oid, 'CREATE') AND nspname !~ '^pg_(toast|temp)'
UNION ALL SELECT 'may run ' || n.nspname || '.' || p.proname || ', which acts as its owner'
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace, me
  WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND has_schema_privilege(me.oid, n.oid, 'USAGE')
  AND has_function_privilege(me.oid, p.oid, 'EXECUTE')
UNION ALL SELECT 'may set ' || n.nspname || '.' || c.relname
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, me
  WHERE c.relkind = 'S' AND has_sequence_privilege(me.oid, c.oid, 'USAGE, UPDATE')
UNION ALL SELECT 'owns ' || n.nspname || '.' || c.relname
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relowner IN (SELECT oid FROM me) AND n.nspname !~ '^pg_'
UNION ALL SELECT 'may write to ' || n.nspname || '.' || c.relname
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, me
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_(toast|temp)'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND (has_table_privilege(me.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
       OR has_any_column_privilege(me.oid, c.oid, 'INSERT, UPDATE'))
LIMIT 1
"""
_COLUMNS = """
WITH RECURSIVE base AS (
  SELECT attnum, attname, atttypid AS type, atttypmod AS modifier FROM pg_attribute
  WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
  UNION ALL SELECT b.attnum, b.attname, t.typbasetype, t.typtypmod
  FROM base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype = 'd')
SELECT b.attname, CASE
    WHEN t.typtype = 'e' OR t.typname = 'bpchar' THEN 'bpchar'
    WHEN t.typname = 'money' OR t.typcategory = 'G' THEN 'json'
    ELSE format_type(b.type, b.modifier) END AS type
FROM base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype <> 'd'
ORDER BY b.attnum
"""

_AS_TEXT = "bpchar"  # padded text, and words of an enumeration: a cast makes either plain


class PostgresOrigin:
    """One table or view, in one transaction, until `close`."""

    def __init__(self, uri: str, table: str) -> None:
        """Connect, check the role, and begin the transaction.

        Raises:
            PolicyError: the role may write.
            UsageError: there is no such table, or the role may not read it.
            StorageError: there is no connection to be had.
        """
        with _errors():
            self._connection = postgresql.connect(uri)
        try:
            with _errors():
                self._begin()
            self._check_role()
            schema = self._read_schema(table)
        except BaseException:
            self.close()
            raise
        self._table = table
        self.queries = Queries("postgres", table, schema)

    def fingerprint(self, columns: Sequence[str]) -> tuple[int, str]:
        """Return the number of rows, and the sum of 60 bits of SHA-256 of each row's values.

        A sum, since rows have no order; 60 bits, since the check is against change, not against
        someone who may choose the records.
        """
        record = ", ".join(_quoted(name) for name in columns)
        text = f"sha256(convert_to((ROW({record}))::text, 'UTF8'))"
        number = f"('x' || substr(encode({text}, 'hex'), 1, 15))::bit(60)::bigint"
        query = (
            f"SELECT count(*), coalesce(sum(({number})::numeric), 0)::text "  # noqa: S608 - quoted
            f"FROM {_quoted_table(self._table)}"
        )
        rows, total = self.fetch(query).read_all().to_pylist()[0].values()
        return int(rows), str(total)

    def close(self) -> None:
        """End the transaction and the connection."""
        with suppress(adbc_driver_manager.Error):
            self._connection.rollback()
        with suppress(adbc_driver_manager.Error, RuntimeError):
            self._connection.close()

    def _begin(self) -> None:
        with self._connection.cursor() as cursor:
            for statement in _BEGIN:
                cursor.execute(statement)

    def _check_role(self) -> None:
        found = self.fetch(_MAY_WRITE).read_all()
        if found.num_rows:
            raise SiteOnlyError(
                "database-role-may-write",
                f"Expected a database role that can read and nothing else; this one "
                f"{found.column(0)[0].as_py()}.",
                "Have the database's administrator make a role with SELECT on one view, and put "
                "its name into the connection.",
            )

    def _read_schema(self, table: str) -> ibis.Schema:
        try:
            with _errors(), self._connection.cursor() as cursor:
                cursor.execute(_COLUMNS, (_quoted_table(table),))
                rows = cursor.fetch_arrow_table().to_pylist()
                types = {row["attname"]: _type(row["type"]) for row in rows}
                cursor.execute(f"SELECT 1 FROM {_quoted_table(table)} LIMIT 0")  # noqa: S608
        except StorageError as error:
            raise UsageError(
                "table-not-readable",
                "Expected to read the table that [data] names, but there is none, or the role may "
                "not.",
                'Write table = "schema.name" in [data], and have SELECT granted on it.',
            ) from error
        return ibis.schema(types)

    def fetch(self, statement: str) -> pa.RecordBatchReader:
        """Return what a statement finds, a batch at a time."""
        with _errors():
            cursor = self._connection.cursor()
            cursor.execute(statement)
            reader = cursor.fetch_record_batch()
            return pa.RecordBatchReader.from_batches(reader.schema, _batches(cursor, reader))


def _batches(cursor: postgresql.Cursor, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    with _errors(), cursor:
        yield from reader


def _type(text: str) -> ibis.DataType:
    """Return ibis's name for a type of PostgreSQL's; one that nothing can read if it has none."""
    if text == _AS_TEXT:
        return ibis.dtype("uuid")  # of which the cast to text is not left out
    try:
        return PostgresType.from_string(text)
    except Exception:  # noqa: BLE001 - whatever sqlglot makes of an unknown type
        return ibis.dtype("json")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted_table(table: str) -> str:
    return ".".join(map(_quoted, table.split(".")))


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except adbc_driver_manager.Error as error:
        raise StorageError(
            "database-failed",
            "The database could not be reached, or did not finish a query.",
            "Check the connection and the role; the cause is in the gate's log under this id.",
        ) from error
