"""How a study's contingency tables are queried: straight from the records where that is exact.

Where the site attests one row per unit, the records are scanned once per clique, in the hope
that every record has all its codes; the query itself tells.

Columns with few different values are grouped as they are and encoded afterwards, once per group:
half the CPU time of encoding every record. Which columns those are is guessed from the first
records; the guess changes how long a query takes, never what it returns.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from client.source.bounding import Rows
from client.source.encoding import Column
from client.source.engine import Engine, Tally, exact_sum
from client.source.populations import WEIGHT, Populations
from client.source.records import SiteRecords
from client.source.study_columns import StudyColumns
from protocol.study.families import Population
from protocol.study.graph import Clique

_TIMES = "times"  # the name of the count beside the codes, "v0", "v1", ...
_SAMPLED_TOGETHER = 8  # columns in one query: more take more memory, fewer more time
_SPELLINGS_PER_CODE = 2  # up to so many different values per code, a column is grouped as it is


class Tallies:
    """The queries of one engine for the tables of one study."""

    def __init__(
        self,
        engine: Engine,
        columns: StudyColumns,
        populations: Populations,
        records: SiteRecords,
    ) -> None:
        self._engine = engine
        self._columns = columns
        self._populations = populations
        self._records = records
        self._groupings = 0

    def of(self, cliques: Sequence[Clique], population: Population) -> dict[Clique, Tally]:
        """Return the weight of each cell of each clique's table, by row-major index."""
        found = self._in_place(cliques) if self._populations.may_be_whole else None
        if found is not None:
            return found
        rows = self._populations.rows(population, tuple)  # set aside, with all columns
        return {clique: self._cells(rows, clique) for clique in cliques}

    def parts(self, columns: Sequence[str]) -> dict[str, Tally]:
        """Return how many units' rows have a number in each part of the bins of each column."""
        return {column: self._parts(column) for column in columns}

    def _parts(self, column: str) -> Tally:
        alias = self._columns.part_alias(column)
        rows = self._populations.rows("units", lambda: [self._columns.part(column)])
        groups = rows.group_by(alias).agg(rows.count().name(_TIMES))
        return self._engine.tally(groups, groups[alias], groups[_TIMES])

    def _in_place(self, cliques: Sequence[Clique]) -> dict[Clique, Tally] | None:
        """Return the tables straight from the records; None if some record must be left out."""
        found: dict[Clique, Tally] = {}
        for clique in filter(None, cliques):
            groups = self._groups_in_place(clique)
            found[clique] = self._summed(groups.select(*self._codes(groups, clique)), clique)
            if found[clique].nulls:
                self._populations.whole = False
                return None
        if () in cliques:
            found[()] = self._total(found)
        covered = {variable for clique in cliques for variable in clique}
        return found if self._populations.is_whole(covered) else None

    def _total(self, found: Mapping[Clique, Tally]) -> Tally:
        """Return the number of records, from a table that counts all of them if there is one."""
        if not found:
            return self._cells(self._columns.records, ())
        one = next(iter(found.values()))
        return Tally(np.zeros(1, np.int64), np.array([one.times.sum()]), nulls=0)

    def _groups_in_place(self, clique: Clique) -> Rows:
        """Return each combination of what the site wrote, or of codes, over all records."""
        columns, narrow = self._columns, self._narrow
        if narrow.issuperset(clique):
            raw = {columns.alias(name): columns.source_names(name)[0] for name in clique}
            grouped = self._records.grouped(raw, _TIMES)
            if grouped is not None:
                return grouped
        written = [columns.value(v) if v in narrow else columns.code(v) for v in clique]
        self._groupings += 1
        groups = self._grouped(columns.records.select(*written), clique)
        return self._engine.kept(groups, f"groups_{self._groupings}")

    def _codes(self, groups: Rows, clique: Clique) -> list[Column]:
        columns, narrow = self._columns, self._narrow
        wrote = {name: groups[columns.alias(name)] for name in clique}
        codes = [columns.encoded(v, wrote[v]) if v in narrow else wrote[v] for v in clique]
        return [*codes, groups[_TIMES]]

    def _cells(self, rows: Rows, clique: Clique) -> Tally:
        """Return the table of `clique` over coded `rows`."""
        if clique:
            return self._summed(self._grouped(rows, clique), clique)
        times = self._engine.one(rows.aggregate(rows=_times(rows).fill_null(0)))["rows"]
        return Tally(np.zeros(1, np.int64), np.array([times]), nulls=0)

    def _grouped(self, rows: Rows, clique: Clique) -> Rows:
        aliases = [self._columns.alias(name) for name in clique]
        return rows.group_by(aliases).agg(_times(rows).name(_TIMES))

    def _summed(self, groups: Rows, clique: Clique) -> Tally:
        return self._engine.tally(groups, self._columns.cell(groups, clique), groups[_TIMES])

    @cached_property
    def _narrow(self) -> frozenset[str]:
        """The variables whose columns seem to hold few different values."""
        names = tuple(filter(self._columns.is_written, self._columns.study.variables))
        return frozenset(
            name
            for start in range(0, len(names), _SAMPLED_TOGETHER)
            for name in self._narrow_of(names[start : start + _SAMPLED_TOGETHER])
        )

    def _narrow_of(self, names: Sequence[str]) -> list[str]:
        columns = self._columns
        some = self._records.sample()
        wrote = {columns.alias(name): some[columns.source_names(name)[0]] for name in names}
        first = some.select(**wrote)
        counts = [first[columns.alias(name)].nunique().name(columns.alias(name)) for name in names]
        distinct = self._engine.one(first.aggregate(counts))
        sizes = columns.study.sizes(names)
        return [
            name
            for name, size in zip(names, sizes, strict=True)
            if distinct[columns.alias(name)] <= _SPELLINGS_PER_CODE * size
        ]


def _times(rows: Rows) -> Column:
    """Return how many records there are, or the weight of all transitions."""
    return exact_sum(rows[WEIGHT]) if WEIGHT in rows.columns else rows.count()
