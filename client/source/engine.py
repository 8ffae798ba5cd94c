"""One locked-down DuckDB connection over a site's files, through ibis.

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
from numpy.typing import NDArray

from client.source.bounding import Rows
from client.source.encoding import Column
from client.source.site_table import Format
from protocol.errors import StorageError, UsageError

_MEMORY = re.compile(r"\d+(\.\d+)?\s?[KMGT]i?B")
_READING: dict[Format, dict[str, bool]] = {
    "parquet": {"hive_partitioning": False},  # the folder's name is no column
    "csv": {"header": True, "all_varchar": True},  # a guessed type would turn "01" into 1
}


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


class Engine:
    """A connection that sees the records of some files and nothing else, until `close`."""

    def __init__(self, files: Sequence[Path], format_: Format, spill: Path, limits: Limits) -> None:
        """Lock a new connection, then open the files.

        Raises:
            UsageError: a file is not what its format says, or the files' columns differ.
            StorageError: the engine does not start.
        """
        with _engine_errors():
            self._backend = ibis.duckdb.connect()
        try:
            self._lock_down(files, spill, limits)
            self.records: Rows = self._opened([str(file) for file in files], format_)
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
            (row,) = self._run(aggregates).fetchall()
        return {name: int(count) for name, count in zip(aggregates.columns, row, strict=True)}

    def texts(self, column: Column) -> tuple[str, ...]:
        """Return the values of a short text column."""
        with _engine_errors():
            return tuple(str(value) for (value,) in self._run(column).fetchall())

    def tally(self, rows: Rows, index: Column, times: Column) -> Tally:
        """Return how often each `index` is in `rows`, where each row stands for `times` records."""
        selected = rows.select(index=index, times=times)
        # DuckDB's sum has 128 bits; ibis takes it for 64 and would drop a plain cast.
        total = selected["times"].sum().cast("decimal(38, 0)").cast("int64")
        with _engine_errors():
            found = self._run(selected.group_by("index").agg(times=total)).fetchnumpy()
        null = np.ma.getmaskarray(found["index"])
        index_, times_ = np.ma.getdata(found["index"]), np.ma.getdata(found["times"])
        return Tally(index_[~null].astype(np.int64), times_[~null], int(times_[null].sum()))

    def kept(self, rows: Rows) -> Rows:
        """Return `rows` as a temporary table of this connection, computed once."""
        with _engine_errors():
            return self._backend.create_table("kept", rows, temp=True)

    def run(self, statement: str) -> None:
        """Run one SQL statement, under the lock like everything else."""
        with _engine_errors():
            self._backend.raw_sql(statement)

    def _run(self, expression: Rows) -> duckdb.DuckDBPyConnection:
        """Run a query as SQL: ibis's own way to fetch loads pandas, 80 MB that nobody uses."""
        found: duckdb.DuckDBPyConnection = self._backend.raw_sql(self._backend.compile(expression))
        return found

    def close(self) -> None:
        """Close the connection; its temporary tables go with it."""
        self._backend.disconnect()

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
            "enable_external_file_cache": "false",  # the records of a closed file stay nowhere
            "allowed_paths": f"[{', '.join(map(_quoted, files))}]",
            "allowed_directories": f"[{_quoted(spill)}]",
            "enable_external_access": "false",
            "lock_configuration": "true",
        }
        for name, value in settings.items():
            self.run(f"SET {name} = {value}")

    def _opened(self, files: Sequence[str], format_: Format) -> Rows:
        with _engine_errors():
            read = self._backend.read_parquet if format_ == "parquet" else self._backend.read_csv
            columns = {tuple(sorted(_typed(read([file], **_READING[format_])))) for file in files}
            if len(columns) != 1:
                raise UsageError(
                    "data-files-differ",
                    "Expected the same columns of the same types in all data files, found others.",
                    "Write all files in one way, or narrow `path` in [data].",
                )
            return read(list(files), table_name="records", **_READING[format_])


def _typed(rows: Rows) -> list[tuple[str, str]]:
    return [(name, str(type_)) for name, type_ in rows.schema().items()]


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
        raise UsageError(
            "data-not-readable",
            "Expected files of the format in [data], found something else inside.",
            "Correct `format`, or write the files again (CSV: UTF-8, a header, equal columns).",
        ) from error
    except duckdb.Error as error:
        raise StorageError(
            "engine-failed",
            "The query engine could not read the data or finish a query.",
            "Run `concause site check` at the site; the cause is in its log under this id.",
        ) from error
