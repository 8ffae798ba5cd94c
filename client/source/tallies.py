"""How a study's contingency tables are queried: straight from the files where that is exact.

A record counts in every table or in none. Where the site attests one row per unit, the files are
scanned once per clique, in the hope that every record has all its codes; the query itself tells.
Otherwise the records that count are set aside once, as codes, in a temporary table: only then
does a query need all variables to know whether a record counts.

Columns with few different values are grouped as they are and encoded afterwards, once per group:
half the CPU time of encoding every record. Which columns those are is guessed from the first
records; the guess changes how long a query takes, never what it returns.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property

import numpy as np

from client.source.bounding import Rows, bounded, lacks_code, with_unit
from client.source.engine import Engine, Tally
from client.source.row_bound import RowBound
from client.source.study_columns import StudyColumns
from protocol.study.graph import Clique

_TIMES = "times"  # the name of the count beside the codes, "v0", "v1", ...
_SAMPLE = 10_000
_SAMPLED_TOGETHER = 8  # columns in one query: more take more memory, fewer more time
_SPELLINGS_PER_CODE = 2  # up to so many different values per code, a column is grouped as it is


class Tallies:
    """The queries of one engine for the tables of one study.

    Precondition: `columns.check` and `check_unit` refuse nothing.
    """

    def __init__(self, engine: Engine, columns: StudyColumns, bound: RowBound) -> None:
        self._engine = engine
        self._columns = columns
        self._bound = bound

    def of(self, cliques: Sequence[Clique]) -> dict[Clique, Tally]:
        """Return how often each cell of each clique's table, by row-major index, is there."""
        found = None if self._bound.unit_column is not None else self._in_place(cliques)
        return found or {clique: self._cells(self._kept, clique) for clique in cliques}

    @cached_property
    def _kept(self) -> Rows:
        """The codes of the records that count: none lacks one, no unit is above its bound."""
        codes = self._columns.codes(self._columns.study.variables)
        rows = with_unit(self._engine.records, codes, self._bound)
        return self._engine.kept(bounded(rows, self._columns.aliases, self._bound))

    def _in_place(self, cliques: Sequence[Clique]) -> dict[Clique, Tally] | None:
        """Return the tables straight from the files; None if some record must be left out."""
        found: dict[Clique, Tally] = {}
        for clique in cliques:
            found[clique] = self._cells_in_place(clique)
            if found[clique].nulls:
                return None
        covered = {variable for clique in cliques for variable in clique}
        return found if self._all_have_codes(covered) else None

    def _cells_in_place(self, clique: Clique) -> Tally:
        """Return the table of `clique` over all records, whether they count or not."""
        columns, narrow = self._columns, self._narrow
        written = [columns.value(v) if v in narrow else columns.code(v) for v in clique]
        if not written:
            return self._cells(self._engine.records, clique)
        groups = self._grouped(self._engine.records.select(*written), clique)
        codes = [
            columns.encoded(v, groups[columns.alias(v)]) if v in narrow else columns.alias(v)
            for v in clique
        ]
        return self._summed(groups.select(*codes, _TIMES), clique)

    def _cells(self, rows: Rows, clique: Clique) -> Tally:
        """Return the table of `clique` over coded `rows`."""
        if clique:
            return self._summed(self._grouped(rows, clique), clique)
        times = self._engine.one(rows.aggregate(rows=rows.count()))["rows"]
        return Tally(np.zeros(1, np.int64), np.array([times]), nulls=0)

    def _grouped(self, rows: Rows, clique: Clique) -> Rows:
        aliases = [self._columns.alias(variable) for variable in clique]
        return rows.group_by(aliases).agg(rows.count().name(_TIMES))

    def _summed(self, groups: Rows, clique: Clique) -> Tally:
        return self._engine.tally(groups, self._columns.cell(groups, clique), groups[_TIMES])

    @cached_property
    def _narrow(self) -> frozenset[str]:
        """The variables whose columns seem to hold few different values."""
        names = tuple(self._columns.study.variables)
        return frozenset(
            name
            for start in range(0, len(names), _SAMPLED_TOGETHER)
            for name in self._narrow_of(names[start : start + _SAMPLED_TOGETHER])
        )

    def _narrow_of(self, names: Sequence[str]) -> list[str]:
        columns = self._columns
        first = self._engine.records.select(*map(columns.value, names)).limit(_SAMPLE)
        counts = [first[columns.alias(name)].nunique().name(columns.alias(name)) for name in names]
        distinct = self._engine.one(first.aggregate(counts))
        sizes = columns.study.sizes(names)
        return [
            name
            for name, size in zip(names, sizes, strict=True)
            if distinct[columns.alias(name)] <= _SPELLINGS_PER_CODE * size
        ]

    def _all_have_codes(self, checked: AbstractSet[str]) -> bool:
        """Return whether every record has a code in every variable but those `checked`."""
        columns = self._columns
        others = [
            v for v in columns.study.variables if v not in checked and columns.may_lack_code(v)
        ]
        if not others:
            return True
        rows = self._engine.records.select(*columns.codes(others))
        lacks = lacks_code(rows, [columns.alias(variable) for variable in others])
        return self._engine.one(rows.aggregate(lacks=rows.count(where=lacks)))["lacks"] == 0
