"""The records that a study sees: a site's own columns, those it derives, within its dates.

Files or a database lie below; a view adds what `[derived]` says and leaves out what is outside the
dates of `[data]`. A derived value that cannot be computed is missing.
"""

from collections import abc
from pathlib import Path
from typing import Protocol

import ibis

from client.source.bounding import Rows
from client.source.database_records import DatabaseRecords
from client.source.derived import all_derived, columns_of
from client.source.engine import Engine, ibis_type
from client.source.file_records import FileRecords, check_columns
from client.source.fingerprint import Fingerprint
from client.source.origin import Origin
from client.source.site_table import Mapping, SiteData, data_format
from protocol.errors import UsageError

RECORDS = "site_records"
_SAMPLE = 10_000


class Held(Protocol):
    """Where the records come from."""

    rows: Rows

    @property
    def names(self) -> tuple[str, ...]:
        """Return all columns that are there, read or not."""
        ...

    def check_unchanged(self) -> None:
        """Check that they are as they were when they were opened."""
        ...

    def fingerprint(self) -> Fingerprint:
        """Return what identifies them."""
        ...

    def close(self) -> None:
        """Let go of them."""
        ...


class SiteRecords:
    """One site's records in one engine.

    Attributes:
        rows: one row per record, derived columns included.
    """

    def __init__(self, engine: Engine, held: Held, data: SiteData, mapping: Mapping) -> None:
        """Put the view on top of what is held.

        Raises:
            UsageError: a derived column or the dates do not fit the columns.
        """
        self._engine = engine
        self._held = held
        own = tuple(held.rows.columns)
        self._derived = all_derived({**data.derived, **mapping.derived}, own)
        self._window = data.window_condition(own)
        if not self._derived and self._window is None:
            self.rows: Rows = held.rows
            return
        for name, sql in self._derived.items():
            self._check_types(name, sql)
        derived = "".join(f", TRY({sql}) AS {_identifier(n)}" for n, sql in self._derived.items())
        where = f" WHERE {self._window}" if self._window else ""
        query = f"SELECT *{derived} FROM {held.rows.get_name()}{where}"  # noqa: S608 -- checked
        self.rows = self._view(query)

    @property
    def names(self) -> tuple[str, ...]:
        """Return all columns that a mapping could name, read by the study or not."""
        return (*self._held.names, *self._derived)

    def sample(self) -> Rows:
        """Return some of the records."""
        held = self._held
        if isinstance(held, DatabaseRecords) and self.rows is held.rows:
            return held.sample()
        return self.rows.limit(_SAMPLE)

    def grouped(self, columns: abc.Mapping[str, str], times: str) -> Rows | None:
        """Return each combination of columns, by alias, as a database groups them.

        None where the engine has to do it: the records are files, or are fetched already.
        """
        held = self._held
        if not isinstance(held, DatabaseRecords) or self.rows is not held.rows or held.is_fetched:
            return None
        return held.grouped(columns, times)

    def check_unchanged(self) -> None:
        """Check that the records are as they were when they were opened.

        Raises:
            StorageError: they are not.
        """
        self._held.check_unchanged()

    def fingerprint(self) -> Fingerprint:
        """Return what identifies the records.

        Raises:
            UsageError, StorageError: as the files or the database below.
        """
        return self._held.fingerprint()

    def close(self) -> None:
        """Let go of files and database."""
        self._held.close()

    def _check_types(self, name: str, sql: str) -> None:
        """Check that an expression fits the types of its columns.

        Raises:
            UsageError: it does not; in CSV and NDJSON, every column is text.
        """
        query = f"SELECT {sql} AS derived FROM {self._held.rows.get_name()}"  # noqa: S608 -- checked
        try:
            self._engine.types_over(self._held.rows, query)
        except UsageError as error:
            raise UsageError(
                "derived-type",
                f"Expected [data.derived] {name} to fit the types of its columns, which it does "
                "not. A column of a CSV or NDJSON file is text.",
                "Convert it where it is named: CAST(column AS DOUBLE).",
            ) from error

    def _view(self, query: str) -> Rows:
        """Return a view of a query whose types the engine tells without the rows."""
        types = self._engine.types_over(self._held.rows, query)
        schema = {name: ibis_type(type_) for name, type_ in types}
        made = f"CREATE TEMPORARY VIEW {RECORDS} AS {query}"
        self._engine.promise(RECORDS, lambda: self._engine.run(made))
        return ibis.table(schema, name=RECORDS)


def open_files(
    engine: Engine,
    data: SiteData,
    mapping: Mapping,
    files: tuple[Path, ...],
    wanted: frozenset[str] | None,
) -> FileRecords:
    """Return the records in files; `wanted` are the columns that a study reads, if not all.

    Raises:
        UsageError, StorageError: they cannot be read, or are not what they are said to be.
    """
    format_ = data_format(data, files)
    derived = {**data.derived, **mapping.derived}
    fields = None if wanted is None else _needed(wanted, data, mapping, None) - set(derived)
    return FileRecords(
        engine,
        files,
        format_,
        data.delimiter,
        may_be_equal=not data.one_row_per_unit,
        fields=fields,
    )


def _needed(
    wanted: frozenset[str], data: SiteData, mapping: Mapping, own: abc.Sequence[str] | None
) -> frozenset[str]:
    """Return the columns of the site's own that a study reads, by way of others too."""
    needed = set(wanted) | set(data.window_columns)
    for name, text in {**data.derived, **mapping.derived}.items():
        needed |= columns_of(name, text, own)
    return frozenset(needed)


def open_database(
    engine: Engine, origin: Origin, data: SiteData, mapping: Mapping, wanted: frozenset[str]
) -> DatabaseRecords:
    """Return the records in a database; `wanted` are the columns that a study reads.

    Raises:
        UsageError: a derived column does not fit the table.
    """
    own = tuple(origin.queries.schema.names)
    needed = _needed(wanted, data, mapping, own)
    columns = [name for name in own if name in needed]
    check_columns(columns)
    if not columns:
        raise UsageError(
            "column-missing",
            "Expected the study's columns in the table that [data] names, found none of them.",
            "Name the columns in [mapping].",
        )
    return DatabaseRecords(engine, origin, columns)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
