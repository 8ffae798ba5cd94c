"""A site's records, counted by DuckDB: the CountSource of a site.

The records are in files, read in place, or in a database (`records.py`). What is asked of the
engine is in `tallies.py` and `inspection.py`; here is what holds around it: settings checked,
records pinned, spill wiped.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from client.source.bounding import Rows, check_unit
from client.source.count_source import Counts
from client.source.encoding import is_readable
from client.source.engine import Engine, Limits, Tally
from client.source.file_records import schema_of
from client.source.fingerprint import Fingerprint
from client.source.inspection import inspect
from client.source.opening import open_origin
from client.source.populations import Populations
from client.source.products import Products
from client.source.readiness import Readiness
from client.source.records import Held, SiteRecords, open_database, open_files
from client.source.row_bound import row_bound
from client.source.site_table import Mapping, SiteData, check_mapping, data_files
from client.source.spill import SpillFolder
from client.source.study_columns import StudyColumns, columns_read
from client.source.suggestion import Column, Suggestion, suggest
from client.source.tallies import Tallies
from protocol.errors import UsageError
from protocol.identifiers import Digest
from protocol.privacy.moments import elements
from protocol.study.families import Family, Population
from protocol.study.graph import Clique
from protocol.study.study import Study
from protocol.study.variables import Numeric

MAX_TABLE_CELLS = 2**24
SPELLINGS = 100  # of a column, that a first mapping looks at


class DuckDBSource:
    """The CountSource of a site; a context manager that closes itself."""

    def __init__(  # noqa: PLR0913 -- settings, study, secret and limits come from four owners
        self,
        data: SiteData,
        mapping: Mapping,
        study: Study,
        *,
        bound_key: bytes,
        folder: Path,
        memory_limit: str | None = None,
        threads: int | None = None,
        every_column: bool = False,
    ) -> None:
        """Open the records that `data` names; nothing is counted yet.

        `every_column`: whether all columns are of interest, not the study's alone.

        `bound_key` is the site's secret, of at least 16 bytes. The engine spills into a folder
        of its own in `folder`, wiped by `close`.

        Raises:
            UsageError: settings, records and study do not fit one another.
            PolicyError: the database role may write, or others may read the connection's file.
            StorageError: a file or database cannot be read, or the engine does not start.
        """
        check_mapping(mapping, study)
        self._bound = row_bound(data, study, bound_key)
        limits = Limits(memory_limit or data.memory_limit, threads or data.threads)
        files = data_files(data) if data.database is None else ()
        self._spill = SpillFolder(folder)
        with ExitStack() as opened:
            opened.callback(self._spill.wipe)
            self._engine = Engine(self._spill.path, limits, files)
            opened.callback(self._engine.close)
            wanted = columns_read(data, mapping, study)
            if data.database is None:
                read = None if every_column else wanted
                held: Held = open_files(self._engine, data, mapping, files, read)
            else:
                origin = open_origin(data)
                opened.callback(origin.close)
                if every_column:
                    wanted |= frozenset(origin.queries.schema.names)
                held = open_database(self._engine, origin, data, mapping, wanted)
            self._records = SiteRecords(self._engine, held, data, mapping)
            self._opened = opened.pop_all()
        self._columns = StudyColumns(self._records.rows, mapping, study)
        self._populations = Populations(self._engine, self._columns, self._bound)
        self._tallies = Tallies(self._engine, self._columns, self._populations, self._records)
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
        """Close database and engine, and wipe what was spilled."""
        self._opened.close()

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
        """Return what identifies the records as they are now; reads all of them.

        Raises:
            UsageError: two files are equal, while the site attests one row per unit.
            StorageError: the records changed since this source was opened, or cannot be read.
        """
        return self._records.fingerprint()

    def units(self) -> int:
        """Return how many different units have a record that counts.

        Raises:
            UsageError: a variable or the unit has no fitting column.
            StorageError: the files changed since this source was opened, or the engine failed.
        """
        self._check_columns()
        found = self._populations.different_units()
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
            counted = self._populations.sizes()
        self._check_unchanged()
        return inspect(self._engine, self._columns, self._bound, counted, self._records.names)

    def suggestion(self) -> Suggestion:
        """Return a first mapping, from names, types and some records; for the site alone.

        Raises:
            StorageError: the engine failed.
        """
        some = self._records.sample()
        columns = [
            Column(name, type_, self._spellings(some, name))
            for name, type_ in schema_of(self._records.rows).items()
        ]
        taken = [self._bound.unit_column, self._bound.visit_column]
        return suggest(self._columns.study, columns, [name for name in taken if name])

    def _spellings(self, some: Rows, name: str) -> tuple[str, ...]:
        if not is_readable(some[name]):
            return ()
        values = some.select(value=some[name].cast("string"))
        values = values.filter(values["value"].notnull())
        return self._engine.texts(values.distinct().order_by("value").limit(SPELLINGS)["value"])

    def _parts(self, column: str) -> int:
        variable = self._columns.study.variable(column)
        if not isinstance(variable, Numeric):
            raise TypeError("a histogram of what is no number")
        return variable.parts

    def _check_columns(self) -> None:
        self._columns.check()
        check_unit(self._records.rows, self._bound)

    def _check_unchanged(self) -> None:
        self._records.check_unchanged()


def _check_cells(shape: tuple[int, ...]) -> None:
    if prod(shape) > MAX_TABLE_CELLS:
        raise UsageError(
            "table-too-large",
            f"Expected tables of at most {MAX_TABLE_CELLS} cells, found a larger clique.",
            "Ask for the families of the study's graph.",
        )


def _dense(tally: Tally, shape: tuple[int, ...]) -> Counts:
    """Return a table with axes `shape` of the cells that are there; what has none is left out."""
    table = np.zeros(prod(shape), np.int64)
    table[tally.values] = tally.times
    return table.reshape(shape)
