"""A site's records in Parquet or CSV files, counted in place by DuckDB.

Where no row has to be left out, the files are scanned once per clique. Otherwise the rows that
count are set aside once, as codes, in a temporary table: only then does a query need all
variables to know whether a row counts.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from client.source.bounding import Rows, bounded, check_unit, lacks_code, with_unit
from client.source.count_source import Counts
from client.source.engine import Engine, Limits, Tally
from client.source.fingerprint import Fingerprint, file_state, fingerprint
from client.source.inspection import inspect
from client.source.readiness import Readiness
from client.source.row_bound import row_bound
from client.source.site_table import Mapping, SiteData, check_mapping, data_files, data_format
from client.source.spill import SpillFolder
from client.source.study_columns import StudyColumns
from protocol.errors import StorageError, UsageError
from protocol.identifiers import Digest
from protocol.study.graph import Clique
from protocol.study.study import Study

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
            self._engine = Engine(self._files, format_, self._spill.path, limits)
        except BaseException:
            self._spill.wipe()
            raise
        self._columns = StudyColumns(self._engine.records, mapping, study)

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

    def counts(self, cliques: Sequence[Clique]) -> dict[Clique, Counts]:
        """Return the table of each clique; see `CountSource.counts`.

        Raises:
            UsageError: a variable or the unit has no fitting column, or a table is too large.
            StorageError: the files changed since this source was opened, or the engine failed.
        """
        sizes = {clique: self._columns.study.sizes(clique) for clique in cliques}
        for shape in sizes.values():
            _check_cells(shape)
        self._check_columns()
        tallies = self._tallies_in_place(cliques)
        if tallies is None:
            tallies = {clique: self._tally(self._kept, clique) for clique in cliques}
        self._check_unchanged()
        return {clique: _dense(tallies[clique], sizes[clique]) for clique in cliques}

    def snapshot(self) -> Digest:
        """Return the digest of `fingerprint`."""
        return self.fingerprint().digest

    def fingerprint(self) -> Fingerprint:
        """Return what identifies the records as they are now; reads all files.

        Raises:
            StorageError: the files changed since this source was opened, or cannot be read.
        """
        records = self._engine.records
        rows = self._engine.one(records.aggregate(rows=records.count()))["rows"]
        found = fingerprint(self._engine.schema, rows, self._files)
        self._check_unchanged()
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
            counted = int(self.counts([()])[()])
        return inspect(self._engine, self._columns, self._bound, counted)

    def _check_columns(self) -> None:
        self._columns.check()
        check_unit(self._engine.records, self._bound)

    @cached_property
    def _kept(self) -> Rows:
        """The codes of the rows that count: none lacks one, no unit is above its bound."""
        codes = self._columns.codes(self._columns.study.variables)
        rows = with_unit(self._engine.records, codes, self._bound)
        return self._engine.kept(bounded(rows, self._columns.aliases, self._bound))

    def _tallies_in_place(self, cliques: Sequence[Clique]) -> dict[Clique, Tally] | None:
        """Return tallies straight from the files; None if some row has to be left out."""
        if self._bound.unit_column is not None:
            return None
        tallies: dict[Clique, Tally] = {}
        for clique in cliques:
            tallies[clique] = self._tally(self._coded(clique), clique)
            if tallies[clique].nulls:
                return None
        covered = {variable for clique in cliques for variable in clique}
        return tallies if self._all_have_codes(covered) else None

    def _all_have_codes(self, checked: AbstractSet[str]) -> bool:
        """Return whether every row has a code in every variable but those `checked` already."""
        others = [
            variable
            for variable in self._columns.study.variables
            if variable not in checked and self._columns.may_lack_code(variable)
        ]
        if not others:
            return True
        rows = self._coded(others)
        lacks = lacks_code(rows, [self._columns.alias(variable) for variable in others])
        return self._engine.one(rows.aggregate(lacks=rows.count(where=lacks)))["lacks"] == 0

    def _coded(self, variables: Sequence[str]) -> Rows:
        records = self._engine.records
        return records.select(*self._columns.codes(variables)) if variables else records

    def _tally(self, rows: Rows, clique: Clique) -> Tally:
        if clique:
            return self._engine.tally(rows, self._columns.cell(rows, clique))
        times = self._engine.one(rows.aggregate(rows=rows.count()))["rows"]
        return Tally(np.zeros(1, np.int64), np.array([times]), nulls=0)

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


def _dense(tally: Tally, shape: tuple[int, ...]) -> Counts:
    table = np.zeros(prod(shape), np.int64)
    table[tally.values] = tally.times
    return table.reshape(shape)
