"""One locked-down DuckDB connection over a site's files: ibis writes the SQL, DuckDB runs it.

Only this module runs queries. The engine reads the named files in place, spills into one folder,
and reaches nothing else: no other file, no network, no extension; no statement can undo that.
The engine's own messages may quote data, so they are never passed on: they stay in the chained
exception.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import ibis
import numpy as np
from ibis.backends.sql.datatypes import DuckDBType
from numpy.typing import NDArray

from client.source.bounding import Rows
from client.source.csv_records import header, not_readable, record_count
from client.source.encoding import Column
from client.source.site_table import Format
from protocol.errors import StorageError, UsageError

_MEMORY = re.compile(r"\d+(\.\d+)?\s?[KMGT]i?B")
_SUMMED_TOGETHER = 512  # sums in one query: more take more memory, fewer more time
# A folder's name is no column. A file's minima and maxima say nothing of NaN, yet DuckDB would
# conclude from them that there is none (duckdb issue 25521).
_PARQUET = "hive_partitioning = false, can_have_nan = true"
# The whole dialect, so that no record can change it. All is text: a guess would turn "01" into 1.
# In parallel, DuckDB would guess from the records where its parts of a file begin.
_CSV = (
    "auto_detect = false, header = true, skip = 0, quote = '\"', escape = '\"', comment = '', "
    "encoding = 'utf-8', compression = 'none', strict_mode = true, null_padding = false, "
    "ignore_errors = false, parallel = false, hive_partitioning = false"
)


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
    """A connection that sees the records of some files and nothing else, until `close`."""

    def __init__(
        self,
        files: Sequence[Path],
        format_: Format,
        spill: Path,
        limits: Limits,
        *,
        delimiter: str = ",",
    ) -> None:
        """Lock a new connection, then open the files; CSV files are checked to their end.

        Raises:
            UsageError: a file is not what its format says, or the files' columns differ.
            StorageError: the engine does not start, or a file cannot be read.
        """
        with _engine_errors():
            self._connection = duckdb.connect(":memory:")
        try:
            self._lock_down(files, spill, limits)
            if format_ == "csv":
                self.records: Rows = self._opened_csv(files, delimiter)
            else:
                self.records = self._opened_parquet(files)
        except BaseException:
            self.close()
            raise

    @property
    def schema(self) -> Mapping[str, str]:
        """Return the type of each column, by name, in the order of the files."""
        return {name: str(type_) for name, type_ in self.records.schema().items()}

    def one(self, aggregates: Rows) -> dict[str, int]:
        """Return the one row of a table of counts."""
        with _engine_errors():
            (row,) = self._connection.execute(_sql(aggregates)).fetchall()
        return {name: int(count) for name, count in zip(aggregates.columns, row, strict=True)}

    def texts(self, column: Column) -> tuple[str, ...]:
        """Return the values of a short text column."""
        with _engine_errors():
            return tuple(
                str(value) for (value,) in self._connection.execute(_sql(column)).fetchall()
            )

    def tally(self, rows: Rows, index: Column, times: Column) -> Tally:
        """Return how often each `index` is in `rows`, where each row stands for `times` records."""
        selected = rows.select(index=index, times=times)
        total = exact_sum(selected["times"])
        with _engine_errors():
            query = _sql(selected.group_by("index").agg(times=total))
            found = self._connection.execute(query).fetchnumpy()
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
        with _engine_errors():
            query = _sql(selected.group_by("index").agg(**totals))
            found = self._connection.execute(query).fetchnumpy()
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
        with _engine_errors():
            self._connection.execute(statement)

    def close(self) -> None:
        """Close the connection; its temporary tables go with it."""
        self._connection.close()

    def _lock_down(self, files: Sequence[Path], spill: Path, limits: Limits) -> None:
        """Set the limits, then the paths, then close the outside, then the lock itself."""
        settings = {
            "threads": str(limits.threads),
            "memory_limit": _quoted(limits.memory),
            "temp_directory": _quoted(spill),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "allow_persistent_secrets": "false",
            "preserve_insertion_order": "false",  # order counts for nothing, and costs memory
            "enable_external_file_cache": "false",  # the records of a closed file stay nowhere
            "disabled_optimizers": "'statistics_propagation'",  # never trust a file's own summary
            "allowed_paths": f"[{', '.join(map(_quoted, files))}]",
            "allowed_directories": f"[{_quoted(spill)}]",
            "enable_external_access": "false",
            "lock_configuration": "true",
        }
        for name, value in settings.items():
            self.run(f"SET {name} = {value}")

    def _opened_parquet(self, files: Sequence[Path]) -> Rows:
        columns = [self._columns_of(_parquet([file])) for file in files]
        return self._view(columns, f"SELECT * FROM {_parquet(files)}")  # noqa: S608 -- quoted

    def _opened_csv(self, files: Sequence[Path], delimiter: str) -> Rows:
        headers = [header(file, delimiter) for file in files]
        scans = [_csv(file, names, delimiter) for file, names in zip(files, headers, strict=True)]
        records = self._view(
            [[(name, "VARCHAR") for name in names] for names in headers],
            " UNION ALL BY NAME ".join(f"SELECT * FROM {scan}" for scan in scans),  # noqa: S608
        )
        blank_too = len(headers[0]) == 1
        expected = sum(record_count(file, delimiter, blank_too=blank_too) for file in files)
        if self.one(records.aggregate(rows=records.count()))["rows"] != expected:
            raise not_readable()  # the engine left some out, or took one for two
        return records

    def _view(self, columns: Sequence[Sequence[tuple[str, str]]], query: str) -> Rows:
        """Return the rows of `query` as the view of this connection; `columns` are of each file."""
        if any(sorted(other) != sorted(columns[0]) for other in columns):
            raise UsageError(
                "data-files-differ",
                "Expected the same columns of the same types in all data files, found others.",
                "Write all files in one way, or narrow `path` in [data].",
            )
        self.run(f"CREATE TEMPORARY VIEW records AS {query}")
        return ibis.table({name: _ibis_type(type_) for name, type_ in columns[0]}, name="records")

    def _columns_of(self, scan: str) -> list[tuple[str, str]]:
        with _engine_errors():
            query = f"DESCRIBE SELECT * FROM {scan}"  # noqa: S608 -- quoted
            found = self._connection.execute(query).fetchall()
        return [(str(name), str(type_)) for name, type_, *_ in found]


def _parquet(files: Sequence[Path]) -> str:
    return f"read_parquet([{', '.join(map(_quoted, files))}], {_PARQUET})"


def _csv(file: Path, names: Sequence[str], delimiter: str) -> str:
    columns = ", ".join(f"{_quoted(name)}: 'VARCHAR'" for name in names)
    return (
        f"read_csv({_quoted(file)}, columns = {{{columns}}}, delim = {_quoted(delimiter)}, {_CSV})"
    )


def _ibis_type(type_: str) -> object:
    """Return ibis's name for a type; a column of nothing but NULL is a text column to us."""
    found: object = "string" if type_ == '"NULL"' else DuckDBType.from_string(type_)
    return found


def _sql(expression: Rows) -> str:
    return str(ibis.to_sql(expression, dialect="duckdb"))


def _quoted(value: str | Path) -> str:
    text = str(value).replace("'", "''")
    return f"'{text}'"


@contextmanager
def _engine_errors() -> Iterator[None]:
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
        raise StorageError(
            "engine-failed",
            "The query engine could not read the data or finish a query.",
            "Run `concause site check` at the site; the cause is in its log under this id.",
        ) from error
