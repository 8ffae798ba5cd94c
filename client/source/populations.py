"""The rows that a study counts: a unit's rows, and its transitions from one visit to the next.

A record counts in every table or in none. Where the site attests one row per unit and every
record has all its codes, these are the files themselves; otherwise the records that count are set
aside once, as integers, in a temporary table: only then does a query need all variables to know
whether a record counts.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property

import ibis

from client.source.bounding import UNIT, VISIT, Rows, bounded, complete, lacks_code, with_unit
from client.source.encoding import Column
from client.source.engine import Engine
from client.source.row_bound import RowBound
from client.source.study_columns import EARLIER, StudyColumns
from protocol.study.families import Population
from protocol.study.sections import Time
from protocol.study.time import transition_unit

WEIGHT = "weight"  # of a transition, beside its columns


@dataclass(frozen=True, slots=True)
class PopulationSizes:
    """How many rows count in all, as units, and as transitions (None without visits)."""

    rows: int
    units: int
    transitions: int | None


class Populations:
    """The rows of one engine that count in one study.

    Preconditions: `columns.check` and `check_unit` refuse nothing.
    """

    def __init__(self, engine: Engine, columns: StudyColumns, bound: RowBound) -> None:
        self._engine = engine
        self._columns = columns
        self._bound = bound
        # Whether all records count; None while it is not known.
        self.whole = None if bound.unit_column is None else False

    @property
    def may_be_whole(self) -> bool:
        """Return whether all records may count; none is known to lack a code."""
        return self.whole is not False

    def is_whole(self, checked: AbstractSet[str] = frozenset()) -> bool:
        """Return whether all records count; `checked` variables are known to have codes."""
        if self.whole is None:
            self.whole = self._all_have_codes(checked)
        return self.whole

    def _all_have_codes(self, checked: AbstractSet[str]) -> bool:
        columns = self._columns
        names = [name for name in columns.study.variables if name not in checked]
        names = [name for name in names if columns.may_lack_code(name)]
        if not names:
            return True
        rows = self._columns.records.select(*columns.codes(names))
        lacks = lacks_code(rows, [columns.alias(name) for name in names])
        return self._engine.one(rows.aggregate(lacks=rows.count(where=lacks)))["lacks"] == 0

    def sizes(self) -> PopulationSizes:
        """Return how many rows count."""
        if self._bound.visit_column is None:
            rows = self._columns.records if self.is_whole() else self._kept
            counted = self._engine.one(rows.aggregate(rows=rows.count()))["rows"]
            return PopulationSizes(counted, counted, None)
        kept, pairs = self._kept, self._transitions
        found = self._engine.one(
            kept.aggregate(rows=kept.count(), first=kept.count(where=kept[VISIT] == 0))
        )
        transitions = self._engine.one(pairs.aggregate(rows=pairs.count()))["rows"]
        return PopulationSizes(found["rows"], found["first"], transitions)

    def different_units(self) -> int:
        """Return how many units have a row that counts."""
        if self._bound.unit_column is None:
            return self.sizes().rows
        columns = self._columns
        rows = with_unit(columns.records, columns.codes(columns.study.variables), self._bound)
        named = complete(rows, columns.aliases, self._bound)
        return self._engine.one(named.aggregate(units=named[UNIT].nunique()))["units"]

    def rows(self, population: Population, needed: Callable[[], Sequence[Column]]) -> Rows:
        """Return the rows of a population, with the integers `needed` under their aliases.

        Transitions have a column `WEIGHT`: those of a unit together weigh `transition_unit`.
        """
        if self.is_whole():
            return self._engine.viewed(self._columns.records.select(*needed()), "needed")
        return self._units if population == "units" else self._transitions

    @cached_property
    def _kept(self) -> Rows:
        """Codes and finer integers of the records that count, with unit and visit if needed."""
        columns = self._columns
        wanted = [*columns.codes(columns.study.variables), *columns.finer()]
        rows = with_unit(self._columns.records, wanted, self._bound)
        return self._engine.kept(bounded(rows, columns.aliases, self._bound), "kept")

    @property
    def _units(self) -> Rows:
        kept = self._kept
        return kept if self._bound.visit_column is None else kept.filter(kept[VISIT] == 0)

    @cached_property
    def _transitions(self) -> Rows:
        time = self._columns.study.time
        if time is None:
            raise AssertionError("transitions of a study without visits")
        return self._engine.kept(paired(self._kept, time), "transitions")


def paired(rows: Rows, time: Time) -> Rows:
    """Return each row with that of the same unit one visit before, and its weight.

    What is of the visit before has the name of its column after `EARLIER`. Precondition: a unit
    has at most one row per visit.
    """
    of_unit = ibis.window(group_by=UNIT, order_by=VISIT)
    names = [name for name in rows.columns if name not in (UNIT, VISIT)]
    earlier = {f"{EARLIER}{name}": rows[name].lag().over(of_unit) for name in (*names, VISIT)}
    beside = rows.mutate(**earlier)
    pairs = beside.filter(beside[f"{EARLIER}{VISIT}"] == beside[VISIT] - 1)
    counted = pairs.mutate(pairs=pairs.count().over(group_by=UNIT))
    return counted.select(
        *names, *(f"{EARLIER}{name}" for name in names), weight=_weight(counted["pairs"], time)
    )


def _weight(pairs: Column, time: Time) -> Column:
    """Return the share of `transition_unit` of one of a unit's `pairs`, without rounding."""
    unit = transition_unit(time)
    shares = (
        (pairs == count, ibis.literal(unit // count, "int32")) for count in range(1, time.visits)
    )
    return ibis.cases(*shares, else_=ibis.null("int32"))
