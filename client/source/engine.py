"""One locked-down DuckDB connection over a site's records: ibis writes the SQL, DuckDB runs it.

Only this module runs queries. The engine reads the named files in place, spills into one folder,
and reaches nothing else: no other file, no network, no extension; no statement can undo that.
What comes from a database is handed in as batches.
The engine's own messages may quote data, so they are never passed on: they stay in the chained
exception.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import ibis
import numpy as np
import pyarrow as pa
from ibis.backends.sql.datatypes import DuckDBType
from numpy.typing import NDArray

from client.source.bounding import Rows
from client.source.csv_records import not_readable
from client.source.encoding import Column
from protocol.errors import StorageError, UsageError

_MEMORY = re.compile(r"\d+(\.\d+)?\s?[KMGT]i?B")
_SUMMED_TOGETHER = 512  # sums in one query: more take more memory, fewer more time
_INCOMING = "incoming_batches"


def exact_sum(integers: Column) -> Column:
    """Return the sum of integers in 64 bits; the engine fails where it does not fit."""
    # DuckDB's sum has 128 bits; ibis takes it for 64 and would drop a plain cast.
    return integers.sum().cast("decimal(38, 0)").cast("int64")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a measurement may take of the machine; `memory` in DuckDB's notation, as "1GB".

    Raises:
        UsageError: a limit is not well formed.
    """

    memory: str = "1GB"
    threads: int = 2

    def __post_init__(self) -> None:
        if not _MEMORY.fullmatch(self.memory) or self.threads < 1:
            raise UsageError(
                "engine-limits",
                'Expected a memory limit such as "1GB" and at least one thread, found others.',
                "Correct the limits of the site's query engine.",
            )


@dataclass(frozen=True, slots=True)
class Tally:
    """The distinct values of an expression, how often each is there, and how often NULL."""

    values: NDArray[np.int64]
    times: NDArray[np.int64]
    nulls: int


@dataclass(frozen=True, slots=True)
class Sums:
    """The distinct values of an expression, rising, shape (groups,); sums, (groups, sums)."""

    values: NDArray[np.int64]
    sums: NDArray[np.int64]


class Engine:
    """A locked connection that sees what it was given and nothing else, until `close`."""

    def __init__(self, spill: Path, limits: Limits, files: Sequence[Path] = ()) -> None:
        """Lock a new connection, which may read `files` and write to `spill`.

        Raises:
            StorageError: the engine does not start.
        """
        self._promised: dict[str, Callable[[], None]] = {}
        with engine_errors():
            self._connection = duckdb.connect(":memory:")
        try:
            self._lock_down(files, spill, limits)
        except BaseException:
            self.close()
            raise

    def one(self, aggregates: Rows) -> dict[str, int]:
        """Return the one row of a table of counts."""
        with engine_errors():
            (row,) = self._execute(_sql(aggregates)).fetchall()
        return {name: int(count) for name, count in zip(aggregates.columns, row, strict=True)}

    def texts(self, column: Column) -> tuple[str, ...]:
        """Return the values of a short text column."""
        return self.strings(_sql(column))

    def tally(self, rows: Rows, index: Column, times: Column) -> Tally:
        """Return how often each `index` is in `rows`, where each row stands for `times` records."""
        selected = rows.select(index=index, times=times)
        total = exact_sum(selected["times"])
        with engine_errors():
            query = _sql(selected.group_by("index").agg(times=total))
            found = self._execute(query).fetchnumpy()
        values, all_times = np.ma.asarray(found["index"]), np.ma.getdata(found["times"])
        null = np.ma.getmaskarray(values)
        present = values.data[~null].astype(np.int64)
        return Tally(present, all_times[~null], int(all_times[null].sum()))

    def sums(self, rows: Rows, index: Column, summed: Sequence[Column]) -> Sums:
        """Return, per `index` in `rows`, the sum of each of the integers `summed`, exactly.

        Raises:
            StorageError: a sum leaves 64 bits.
        """
        starts = range(0, len(summed), _SUMMED_TOGETHER)
        found = [
            self._sums(rows, index, summed[start : start + _SUMMED_TOGETHER]) for start in starts
        ]
        return Sums(found[0].values, np.concatenate([some.sums for some in found], axis=1))

    def _sums(self, rows: Rows, index: Column, summed: Sequence[Column]) -> Sums:
        names = [f"s{place}" for place in range(len(summed))]
        selected = rows.select(index=index, **dict(zip(names, summed, strict=True)))
        totals = {name: exact_sum(selected[name]) for name in names}
        with engine_errors():
            query = _sql(selected.group_by("index").agg(**totals))
            found = self._execute(query).fetchnumpy()
        values = np.ma.getdata(found["index"]).astype(np.int64)
        columns = [np.ma.getdata(found[name]).astype(np.int64) for name in names]
        order = np.argsort(values)
        return Sums(values[order], np.stack(columns, axis=1)[order])

    def viewed(self, rows: Rows, name: str) -> Rows:
        """Return `rows` as a temporary view, in place of an earlier one of that name.

        So that a column computed in `rows` stays one in a query over them, which ibis would else
        write out wherever it is named.
        """
        self.run(f"CREATE OR REPLACE TEMPORARY VIEW {name} AS {_sql(rows)}")
        return ibis.table(rows.schema(), name=name)

    def kept(self, rows: Rows, name: str) -> Rows:
        """Return `rows` as a temporary table of this connection, computed now."""
        self.run(f"CREATE TEMPORARY TABLE {name} AS {_sql(rows)}")
        return ibis.table(rows.schema(), name=name)

    def run(self, statement: str) -> None:
        """Run one SQL statement, under the lock like everything else."""
        with engine_errors():
            self._execute(statement)

    def strings(self, query: str) -> tuple[str, ...]:
        """Return the texts in the one column of a query."""
        with engine_errors():
            return tuple(str(value) for (value,) in self._execute(query).fetchall())

    def types_of(self, scan: str) -> list[tuple[str, str]]:
        """Return name and type, in DuckDB's words, of each column of a table function."""
        with engine_errors():
            query = f"DESCRIBE SELECT * FROM {scan}"  # noqa: S608 -- by our own modules
            found = self._execute(query).fetchall()
        return [(str(name), str(type_)) for name, type_, *_ in found]

    def types_over(self, rows: Rows, query: str) -> list[tuple[str, str]]:
        """Return the columns of a query over the relation `rows`, which need not be there yet.

        Raises:
            UsageError: the query does not fit the types of the columns.
        """
        columns = ", ".join(
            f'NULL::{DuckDBType.to_string(type_)} AS "{name.replace(chr(34), chr(34) * 2)}"'
            for name, type_ in rows.schema().items()
        )
        pretended = f"DESCRIBE WITH {rows.get_name()} AS (SELECT {columns}) {query}"
        try:
            found = self._connection.execute(pretended).fetchall()
        except duckdb.BinderException as error:
            raise UsageError(
                "columns-do-not-fit",
                "Expected an expression that fits the types of its columns, found another.",
                "Convert the columns that it names: CAST(column AS DOUBLE).",
            ) from error
        except duckdb.Error as error:
            raise _failed() from error
        return [(str(name), str(type_)) for name, type_, *_ in found]

    def take(self, batches: pa.RecordBatchReader, name: str) -> None:
        """Store batches as a temporary table of this connection."""
        with engine_errors():
            self._connection.register(_INCOMING, batches)
            try:
                self._execute(f"CREATE TEMPORARY TABLE {name} AS SELECT * FROM {_INCOMING}")  # noqa: S608
            finally:
                self._connection.unregister(_INCOMING)

    def promise(self, name: str, make: Callable[[], None]) -> None:
        """Have `make` called before the first statement that names the relation `name`."""
        self._promised[name] = make

    def is_promised(self, name: str) -> bool:
        """Return whether a relation is still to be made."""
        return name in self._promised

    def close(self) -> None:
        """Close the connection; its temporary tables go with it."""
        self._connection.close()

    def _lock_down(self, files: Sequence[Path], spill: Path, limits: Limits) -> None:
        """Set the limits, then the paths, then close the outside, then the lock itself."""
        settings = {
            "threads": str(limits.threads),
            "memory_limit": quoted(limits.memory),
            "temp_directory": quoted(spill),
            "TimeZone": "'UTC'",  # a count must not depend on where the machine stands
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "allow_persistent_secrets": "false",
            "preserve_insertion_order": "false",  # order counts for nothing, and costs memory
            "enable_external_file_cache": "false",  # the records of a closed file stay nowhere
            "disabled_optimizers": "'statistics_propagation'",  # never trust a file's own summary
            "allowed_paths": f"[{', '.join(map(quoted, files))}]",
            "allowed_directories": f"[{quoted(spill)}]",
            "enable_external_access": "false",
            "lock_configuration": "true",
        }
        for name, value in settings.items():
            self.run(f"SET {name} = {value}")

    def _execute(self, statement: str) -> duckdb.DuckDBPyConnection:
        for name in [name for name in self._promised if name in statement]:
            self._promised.pop(name)()
        return self._connection.execute(statement)


def ibis_type(type_: str) -> object:
    """Return ibis's name for a type; a column of nothing but NULL is a text column to us."""
    try:
        found: object = "string" if type_ == '"NULL"' else DuckDBType.from_string(type_)
    except Exception:  # noqa: BLE001 - whatever ibis makes of a type that it does not know
        return "json"  # which no variable is read from
    return found


def _sql(expression: Rows) -> str:
    return str(ibis.to_sql(expression, dialect="duckdb"))


def quoted(value: str | Path) -> str:
    """Return a literal of DuckDB's."""
    text = str(value).replace("'", "''")
    return f"'{text}'"


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn the engine's errors into ours; its own words stay in the chained exception.

    Raises:
        UsageError: a file is not what its format says.
        StorageError: anything else.
    """
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise StorageError(
            "engine-memory",
            "The query engine ran out of the memory, or of the disk, that it may use.",
            "Raise the memory limit, or free disk space in the site's folder.",
        ) from error
    except duckdb.InvalidInputException as error:
        raise not_readable() from error
    except duckdb.Error as error:
        raise _failed() from error


def _failed() -> StorageError:
    return StorageError(
        "engine-failed",
        "The query engine could not read the data or finish a query.",
        "Set CONCAUSE_TRACEBACK=1 and run `concause site check` at the site: it then shows the "
        "engine's own words, which may quote records.",
    )
