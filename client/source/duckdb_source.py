"""A site's records in Parquet or CSV files, counted by DuckDB: the CountSource of a site.

What is asked of the engine is in `tallies.py` and `inspection.py`; here is what holds around it:
settings checked, files pinned, spill wiped.
"""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from client.source.bounding import check_unit
from client.source.count_source import Counts
from client.source.engine import Engine, Limits, Tally
from client.source.fingerprint import Fingerprint, file_state, fingerprint
from client.source.inspection import inspect
from client.source.populations import Populations
from client.source.products import Products
from client.source.readiness import Readiness
from client.source.row_bound import row_bound
from client.source.site_table import Mapping, SiteData, check_mapping, data_files, data_format
from client.source.spill import SpillFolder
from client.source.study_columns import StudyColumns
from client.source.tallies import Tallies
from protocol.errors import StorageError, UsageError
from protocol.identifiers import Digest
from protocol.privacy.moments import elements
from protocol.study.families import Family, Population
from protocol.study.graph import Clique
from protocol.study.study import Study
from protocol.study.variables import Numeric

MAX_TABLE_CELLS = 2**24


class DuckDBSource:
    """The CountSource of a site with files; a context manager that closes itself."""

    def __init__(  # noqa: PLR0913 -- settings, study, secret and limits come from four owners
        self,
        data: SiteData,
        mapping: Mapping,
        study: Study,
        *,
        bound_key: bytes,
        folder: Path,
        memory_limit: str = "1GB",
        threads: int = 2,
    ) -> None:
        """Open the files of `data`; nothing is counted yet.

        `bound_key` is the site's secret, of at least 16 bytes. The engine spills into a folder
        of its own in `folder`, wiped by `close`.

        Raises:
            UsageError: settings, files and study do not fit one another.
            StorageError: a file cannot be read, or the engine does not start.
        """
        check_mapping(mapping, study)
        self._bound = row_bound(data, study, bound_key)
        self._files = data_files(data)
        self._states = [file_state(file) for file in self._files]
        limits, format_ = Limits(memory_limit, threads), data_format(data, self._files)
        self._spill = SpillFolder(folder)
        try:
            self._engine = Engine(
                self._files, format_, self._spill.path, limits, delimiter=data.delimiter
            )
        except BaseException:
            self._spill.wipe()
            raise
        self._columns = StudyColumns(self._engine.records, mapping, study)
        self._populations = Populations(self._engine, self._columns, self._bound)
        self._tallies = Tallies(self._engine, self._columns, self._populations)
        self._products = Products(self._engine, self._columns, self._populations)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the engine and wipe what it spilled."""
        self._engine.close()
        self._spill.wipe()

    def counts(
        self, cliques: Sequence[Clique], population: Population = "units"
    ) -> dict[Clique, Counts]:
        """Return the table of each clique; see `CountSource.counts`.

        Raises:
            UsageError: a variable or the unit has no fitting column, or a table is too large.
            StorageError: the files changed since this source was opened, or the engine failed.
        """
        shapes = {clique: self._columns.study.sizes(clique) for clique in cliques}
        for shape in shapes.values():
            _check_cells(shape)
        self._check_columns()
        found = self._tallies.of(cliques, population)
        self._check_unchanged()
        return {clique: _dense(found[clique], shapes[clique]) for clique in cliques}

    def histograms(self, columns: Sequence[str]) -> dict[str, Counts]:
        """Return the histogram of each column; see `CountSource.histograms`.

        Raises:
            UsageError: a variable or the unit has no fitting column, or a histogram is too large.
            StorageError: the files changed since this source was opened, or the engine failed.
        """
        shapes = {column: (self._parts(column),) for column in columns}
        for shape in shapes.values():
            _check_cells(shape)
        self._check_columns()
        found = self._tallies.parts(columns)
        self._check_unchanged()
        return {column: _dense(found[column], shapes[column]) for column in columns}

    def moments(self, family: Family) -> Counts:
        """Return the moments of a family; see `CountSource.moments`.

        Raises:
            UsageError: a variable or the unit has no fitting column, or there are too many cells.
            StorageError: the files changed since this source was opened, or the engine failed.
        """
        shape = (*self._columns.study.sizes(family.rows), elements(len(family.regressors)))
        _check_cells(shape)
        self._check_columns()
        found = self._products.of(family)
        self._check_unchanged()
        dense = np.zeros((prod(shape[:-1]), shape[-1]), np.int64)
        dense[found.values] = found.sums
        return dense.reshape(shape)

    def snapshot(self) -> Digest:
        """Return the digest of `fingerprint`."""
        return self.fingerprint().digest

    def fingerprint(self) -> Fingerprint:
        """Return what identifies the records as they are now; reads all files.

        Raises:
            UsageError: two files are equal, while the site attests one row per unit.
            StorageError: the files changed since this source was opened, or cannot be read.
        """
        records = self._engine.records
        rows = self._engine.one(records.aggregate(rows=records.count()))["rows"]
        found = fingerprint(self._engine.schema, rows, self._files)
        self._check_unchanged()
        if self._bound.unit_column is None:
            _check_different(found)
        return found

    def readiness(self) -> Readiness:
        """Return what a measurement would find; for the eyes of the site alone.

        Raises:
            StorageError: the files changed since this source was opened, or the engine failed.
        """
        try:
            self._check_columns()
        except UsageError:  # the findings say which column, and what to do
            counted = None
        else:
            counted = self._populations.sizes()
        self._check_unchanged()
        return inspect(self._engine, self._columns, self._bound, counted)

    def _parts(self, column: str) -> int:
        variable = self._columns.study.variable(column)
        if not isinstance(variable, Numeric):
            raise TypeError("a histogram of what is no number")
        return variable.parts

    def _check_columns(self) -> None:
        self._columns.check()
        check_unit(self._engine.records, self._bound)

    def _check_unchanged(self) -> None:
        """Check that no file was written to since this source was opened.

        Raises:
            StorageError: one was; then what was counted is no one's snapshot.
        """
        if self._states != [file_state(file) for file in self._files]:
            raise StorageError(
                "data-changed",
                "Expected data files that stay as they are while they are read, but one changed.",
                "Approve the new snapshot, and replace files while no round is running.",
            )


def _check_cells(shape: tuple[int, ...]) -> None:
    if prod(shape) > MAX_TABLE_CELLS:
        raise UsageError(
            "table-too-large",
            f"Expected tables of at most {MAX_TABLE_CELLS} cells, found a larger clique.",
            "Ask for the families of the study's graph.",
        )


def _check_different(found: Fingerprint) -> None:
    """Check that no file is a copy of another, which would give each unit two rows."""
    if len(set(found.files)) != len(found.files):
        raise UsageError(
            "data-file-twice",
            "Expected different files under one_row_per_unit = true, found two of equal content.",
            "Remove the copy, or narrow `path` in [data].",
        )


def _dense(tally: Tally, shape: tuple[int, ...]) -> Counts:
    """Return a table with axes `shape` of the cells that are there; what has none is left out."""
    table = np.zeros(prod(shape), np.int64)
    table[tally.values] = tally.times
    return table.reshape(shape)
