"""A site's records in Parquet, CSV or NDJSON files, read in place.

Files are pinned: one that is written to while it is read is nobody's snapshot.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import ibis

from client.source.bounding import Rows
from client.source.csv_records import alike, header, not_readable, record_count
from client.source.engine import Engine, ibis_type, quoted
from client.source.fingerprint import Fingerprint, check_readable, file_state, fingerprint
from client.source.site_table import Format
from protocol.errors import StorageError, UsageError

SOURCE = "site_files"
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


class FileRecords:
    """Files behind a view of an engine that may read them.

    Attributes:
        rows: one row per record, as the site wrote it.
    """

    def __init__(
        self,
        engine: Engine,
        files: Sequence[Path],
        format_: Format,
        delimiter: str,
        *,
        may_be_equal: bool,
        fields: frozenset[str] | None = None,
    ) -> None:
        """Open the files; CSV files are checked to their end. `may_be_equal`: whether two may.

        `fields` are those that are read of NDJSON; None for all that any object has.

        Raises:
            UsageError: a file is not what its format says, or the files' columns differ.
            StorageError: a file cannot be read.
        """
        self._engine = engine
        self._files = files
        self._may_be_equal = may_be_equal
        self._states = [file_state(file) for file in files]
        for file in files:
            check_readable(file)
        if format_ == "csv":
            self.rows: Rows = self._opened_csv(delimiter)
        elif format_ == "ndjson":
            self.rows = self._opened_ndjson(fields)
        else:
            self.rows = self._opened_parquet()
        self._is_ndjson = format_ == "ndjson"

    @property
    def names(self) -> tuple[str, ...]:
        """Return the columns of the files; of NDJSON, the fields of all objects."""
        return self._fields() if self._is_ndjson else tuple(self.rows.columns)

    def check_unchanged(self) -> None:
        """Check that no file was written to since it was opened.

        Raises:
            StorageError: one was; then what was counted is no one's snapshot.
        """
        if self._states != [file_state(file) for file in self._files]:
            raise StorageError(
                "data-changed",
                "Expected data files that stay as they are while they are read, but one changed.",
                "Approve the new snapshot, and replace files while no round is running.",
            )

    def fingerprint(self) -> Fingerprint:
        """Return what identifies the files as they are now; reads all of them.

        Raises:
            UsageError: two files are equal, while each unit is to have one row.
            StorageError: a file changed, or cannot be read.
        """
        rows = self._engine.one(self.rows.aggregate(rows=self.rows.count()))["rows"]
        found = fingerprint(schema_of(self.rows), rows, self._files)
        self.check_unchanged()
        if not self._may_be_equal and len(set(found.files)) != len(found.files):
            raise UsageError(
                "data-file-twice",
                "Expected different files under one_row_per_unit = true, found two of equal "
                "content.",
                "Remove the copy, or narrow `path` in [data].",
            )
        return found

    def close(self) -> None:
        """Do nothing: files need no goodbye."""

    def _opened_parquet(self) -> Rows:
        columns = [self._engine.types_of(_parquet([file])) for file in self._files]
        return self._view(columns, f"SELECT * FROM {_parquet(self._files)}")  # noqa: S608 -- quoted

    def _opened_csv(self, delimiter: str) -> Rows:
        headers = [header(file, delimiter) for file in self._files]
        scans = [
            _csv(file, names, delimiter) for file, names in zip(self._files, headers, strict=True)
        ]
        records = self._view(
            [[(name, "VARCHAR") for name in names] for names in headers],
            " UNION ALL BY NAME ".join(f"SELECT * FROM {scan}" for scan in scans),  # noqa: S608
        )
        blank_too = len(headers[0]) == 1
        expected = sum(record_count(file, delimiter, blank_too=blank_too) for file in self._files)
        if self._engine.one(records.aggregate(rows=records.count()))["rows"] != expected:
            raise not_readable()  # the engine left some out, or took one for two
        return records

    def _opened_ndjson(self, fields: frozenset[str] | None) -> Rows:
        """Return fields of all objects as text; a field that one lacks is NULL there.

        Which columns there are depends on what is read, never on the records: else one of them
        could change what is read of all others.
        """
        scan = _ndjson(self._files)
        others = f"SELECT 1 FROM {scan} WHERE json_type(json) <> 'OBJECT' LIMIT 1"  # noqa: S608
        if self._engine.strings(others):
            raise not_readable()
        names = self._distinct_fields() if fields is None else tuple(sorted(fields))
        check_columns(names)
        picked = ", ".join(
            f"json_extract_string(json, {quoted(_pointer(name))}) AS {_identifier(name)}"
            for name in names
        )
        query = f"SELECT {picked or 'NULL AS nothing'} FROM {scan}"  # noqa: S608 -- quoted
        return self._view([[(name, "VARCHAR") for name in names]], query)

    def _fields(self) -> tuple[str, ...]:
        keys = f"SELECT DISTINCT unnest(json_keys(json)) AS name FROM {_ndjson(self._files)}"  # noqa: S608
        return tuple(sorted(filter(None, self._engine.strings(keys))))

    def _distinct_fields(self) -> tuple[str, ...]:
        """Return the fields of all objects, of those that differ in case alone the first."""
        first: dict[str, str] = {}
        for name in self._fields():
            first.setdefault(name.casefold(), name)
        return tuple(first.values())

    def _view(self, columns: Sequence[Sequence[tuple[str, str]]], query: str) -> Rows:
        """Return the rows of `query` as the view of this connection; `columns` are of each file."""
        if any(sorted(other) != sorted(columns[0]) for other in columns):
            raise UsageError(
                "data-files-differ",
                "Expected the same columns of the same types in all data files, found others.",
                "Write all files in one way, or narrow `path` in [data].",
            )
        self._engine.run(f"CREATE TEMPORARY VIEW {SOURCE} AS {query}")
        return ibis.table({name: ibis_type(type_) for name, type_ in columns[0]}, name=SOURCE)


def check_columns(names: Sequence[str]) -> None:
    """Check that no two columns are one to the engine, for which case is no difference.

    Raises:
        UsageError: two are.
    """
    if alike(names):
        raise UsageError(
            "columns-alike",
            "Expected columns whose names differ by more than the case of letters, found two.",
            "Rename one of them, in a view of the database or in the file.",
        )


def schema_of(rows: Rows) -> Mapping[str, str]:
    """Return the type of each column, by name, in the order of the source."""
    return {name: str(type_) for name, type_ in rows.schema().items()}


def _parquet(files: Sequence[Path]) -> str:
    return f"read_parquet([{', '.join(map(quoted, files))}], {_PARQUET})"


def _csv(file: Path, names: Sequence[str], delimiter: str) -> str:
    columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in names)
    return f"read_csv({quoted(file)}, columns = {{{columns}}}, delim = {quoted(delimiter)}, {_CSV})"


def _ndjson(files: Sequence[Path]) -> str:
    return f"read_ndjson_objects([{', '.join(map(quoted, files))}])"


def _pointer(name: str) -> str:
    """Return the JSON pointer of a field (RFC 6901), which takes no field for a path."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
