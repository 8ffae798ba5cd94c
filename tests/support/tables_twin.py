"""The brute-force CountSource: one record at a time, in plain Python and fractions.

Written from the rules alone, to share no mistake with the queries. Slow on purpose.
"""

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import TypeVar

import numpy as np

from client.source.count_source import Counts
from client.source.site_table import Mapping as SiteMapping
from protocol.privacy.moments import STEPS, TRANSITION_STEPS, elements, scaled
from protocol.study.expression_arrays import Column, Levels, evaluate
from protocol.study.families import Family, Population
from protocol.study.graph import Clique
from protocol.study.quantities import MISSING
from protocol.study.study import Study
from protocol.study.time import BEFORE, FIRST, NOW, base_name, transition_unit
from protocol.study.variables import (
    Boolean,
    Count,
    Missingness,
    Numeric,
    Survival,
    Variable,
)
from tests.support.tables_records import Cell, Records

V = TypeVar("V")
WORDS = {"true": 1.0, "false": 0.0}
EVENTS = [("event", 1), ("censored", 0), ("1", 1), ("0", 0)] + [
    (word, code)
    for code, those in ((1, "true True TRUE"), (0, "false False FALSE"))
    for word in those.split()
]


@dataclass
class Row:
    """What is measured of a record; what has no number is not in `numbers`."""

    unit: str
    visit: int
    codes: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, Fraction] = field(default_factory=dict)


@dataclass(frozen=True)
class Counted:
    """A row of a population, by columns, and its weight."""

    codes: Mapping[str, int]
    numbers: Mapping[str, Fraction]
    weight: int


class TwinSource:
    def __init__(
        self,
        records: Records,
        mapping: SiteMapping,
        study: Study,
        *,
        unit_column: str | None,
        bound_key: bytes,
        visit_column: str | None = None,
    ) -> None:
        self._study = study
        rows = []
        for record in records.rows:
            unit = "" if unit_column is None else unit_of(record[unit_column])
            visit = 0 if study.time is None else _visit(record[str(visit_column)], study)
            row = _row(record, mapping, study)
            if row is not None and unit is not None and visit is not None:
                rows.append(Row(unit, visit, row.codes, row.numbers))
        self._rows = rows if unit_column is None else list(_bounded(rows, study, bound_key))

    def counts(
        self, cliques: Sequence[Clique], population: Population = "units"
    ) -> dict[Clique, Counts]:
        return {clique: self._table(clique, population) for clique in cliques}

    def histograms(self, columns: Sequence[str]) -> dict[str, Counts]:
        found = {}
        for column in columns:
            edges = _parts_of(self._study.variable(column))
            found[column] = np.zeros(len(edges) - 1, np.int64)
            for row in self._population("units"):
                if column in row.numbers:
                    found[column][_place(row.numbers[column], edges)] += row.weight
        return found

    def moments(self, family: Family) -> Counts:
        names = (*family.regressors, family.node)
        steps = STEPS if family.population == "units" else TRANSITION_STEPS
        shape = (*self._study.sizes(family.rows), elements(len(family.regressors)))
        found = np.zeros(shape, np.int64)
        for row in self._population(family.population):
            if all(name in row.numbers for name in names):
                steps_of = (_steps(row.numbers[n], self._study.variable(n), steps) for n in names)
                z = np.array([steps, *steps_of])
                codes = tuple(row.codes[name] for name in family.rows)
                found[codes] += row.weight * np.outer(z, z)[np.triu_indices(len(z))]
        return found

    def _table(self, clique: Clique, population: Population) -> Counts:
        table = np.zeros(self._study.sizes(clique), np.int64)
        for row in self._population(population):
            table[tuple(row.codes[name] for name in clique)] += row.weight
        return table

    def _population(self, population: Population) -> Iterator[Counted]:
        time = self._study.time
        if time is None:
            yield from (Counted(row.codes, row.numbers, 1) for row in self._rows)
            return
        by_place = {(row.unit, row.visit): row for row in self._rows}
        if population == "units":
            for row in self._rows:
                if row.visit == 0:
                    yield Counted(self._named(row.codes, FIRST), self._named(row.numbers, FIRST), 1)
            return
        for row in self._rows:
            before = by_place.get((row.unit, row.visit - 1))
            if before is not None:
                of_unit = [place for place in by_place if place[0] == row.unit]
                pairs = sum((unit, visit - 1) in by_place for unit, visit in of_unit)
                yield Counted(
                    self._named(before.codes, BEFORE) | self._named(row.codes, NOW),
                    self._named(before.numbers, BEFORE) | self._named(row.numbers, NOW),
                    transition_unit(time) // pairs,
                )

    def _named(self, values: Mapping[str, V], index: str) -> dict[str, V]:
        static = self._study.time.static if self._study.time else ()
        return {name if name in static else name + index: value for name, value in values.items()}


def _row(record: dict[str, Cell], mapping: SiteMapping, study: Study) -> Row | None:
    """Return what is measured of a record, None if some variable has no code."""
    row = Row("", 0)
    for name in study.measured_variables:
        variable: Variable = study.variables[name]
        code: int | None
        if isinstance(variable, Survival):
            time, event = (record[column] for column in mapping.exit_columns_of(name))
            code = _exit(time, event, variable, mapping.values_of(name))
        else:
            code, number = _read(record[mapping.column_of(name)], variable, mapping.values_of(name))
            if number is not None:
                row.numbers[name] = number
        if code is None:
            return None
        row.codes[name] = code
    for name, variable in study.variables.items():
        if isinstance(variable, Missingness):
            missing = study.variables[variable.of].missing_code
            row.codes[name] = int(row.codes[variable.of] == missing)
    return row if all(_compute(row, name, study) for name in study.rules) else None


def _compute(row: Row, name: str, study: Study) -> bool:
    """Add what a rule computes to the row; return whether it has a code."""
    rule, variable = study.mechanism(name).expression, study.variables[name]
    assert rule is not None
    result = evaluate(rule, {column: _operand(row, column, study) for column in rule.names}, rows=1)
    if isinstance(result, Levels):
        place = int(result.codes[0])
        code = variable.labels.index(result.labels[place]) if place >= 0 else variable.missing_code
    elif not math.isfinite(result[0]):
        code = variable.missing_code
    elif isinstance(variable, Numeric | Count):
        row.numbers[name] = _inside(float(result[0]), variable)
        code = _place(row.numbers[name], variable.edges)
    else:
        row.numbers[name], code = Fraction(float(result[0])), int(result[0])
    if code is not None:
        row.codes[name] = code
    return code is not None


def _operand(row: Row, column: str, study: Study) -> Column:
    name, variable = base_name(column), study.variable(column)
    if variable.kind in ("categorical", "ordinal"):
        missing = row.codes[name] == variable.missing_code
        labels = tuple(label for label in variable.labels if label != MISSING)
        return Levels(np.array([-1 if missing else row.codes[name]]), labels)
    if isinstance(variable, Missingness):
        return np.array([float(row.codes[name])])
    return np.array([float(row.numbers[name]) if name in row.numbers else math.nan])


def _bounded(rows: Sequence[Row], study: Study, key: bytes) -> Iterator[Row]:
    by_unit: dict[tuple[str, int], list[tuple[str, Row]]] = defaultdict(list)
    for row in rows:
        integers = [row.codes[name] for name in study.variables]
        content = ",".join(map(str, [*integers, *_finer(row, study)]))
        order = hashlib.sha256(f"{key.hex()}:{content}:{row.unit}".encode()).hexdigest()
        by_unit[row.unit, row.visit].append((order, row))
    most = 1 if study.time is not None else study.unit.max_rows_per_unit
    for found in by_unit.values():
        yield from (row for _, row in sorted(found, key=lambda pair: pair[0])[:most])


def _finer(row: Row, study: Study) -> Iterator[int | str]:
    """Yield the numbers of moments in steps, then the parts of bins; "" for a missing one."""
    wanted = {
        (base_name(name), STEPS if family.population == "units" else TRANSITION_STEPS)
        for family in study.families
        if family.mechanism.uses == "moments"
        for name in (*family.regressors, family.node)
    }
    for name, steps in sorted(wanted):  # variables are in the order of their names
        number = row.numbers.get(name)
        yield "" if number is None else _steps(number, study.variables[name], steps)
    for name in study.measured_variables:
        variable = study.variables[name]
        if isinstance(variable, Numeric) and variable.detail > 1:
            number = row.numbers.get(name)
            yield "" if number is None else _place(number, _parts_of(variable))


def unit_of(cell: Cell) -> str | None:
    """Return the text that stands for the unit of a cell, None if it names none."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    text = str(cell).lower() if isinstance(cell, bool) else str(cell).strip()
    whole, point, zeros = text.partition(".")
    is_whole = point and zeros.strip("0") == "" != zeros
    if is_whole and re.fullmatch(r"-?\d+", whole, re.ASCII):
        return whole
    return text or None


def _visit(cell: Cell, study: Study) -> int | None:
    assert study.time is not None
    number = None if cell is None else _number(cell)
    return int(number) if number is not None and number in range(study.time.visits) else None


def _read(
    cell: Cell, variable: Variable, values: Mapping[str, str]
) -> tuple[int | None, Fraction | None]:
    """Return the code of a cell and the number that it is, clamped."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return variable.missing_code, None
    spelled = _spelled(
        cell, [(t, variable.labels.index(x)) for t, x in _spellings(variable, values)]
    )
    if spelled is not None:
        numbered = isinstance(variable, Numeric | Count | Boolean)
        return spelled, variable.scores[spelled] if numbered else None
    if not isinstance(variable, Numeric | Count):
        return variable.other_code, None
    number = None if isinstance(cell, bool) or cell in WORDS else _number(cell)
    if number is None:
        return variable.missing_code, None
    return _place(_inside(number, variable), variable.edges), _inside(number, variable)


def _spelled(cell: Cell, spellings: Sequence[tuple[str, int]]) -> int | None:
    for same in (_same_text, _same_number):
        for spelling, code in spellings:
            if same(cell, spelling):
                return code
    return None


def _spellings(variable: Variable, values: Mapping[str, str]) -> list[tuple[str, str]]:
    own = [(label, label) for label in variable.labels]
    if isinstance(variable, Numeric | Count):
        own = [pair for pair in own if pair[0] == MISSING]
    if isinstance(variable, Boolean):
        words = {"1": ("true", "True", "TRUE"), "0": ("false", "False", "FALSE")}
        own += [(word, label) for label, those in words.items() for word in those]
    return [*values.items(), *own]


def _same_text(cell: Cell, spelling: str) -> bool:
    text = str(cell).lower() if isinstance(cell, bool) else cell
    return text == spelling


def _same_number(cell: Cell, spelling: str) -> bool:
    left, right = _number(cell), _number(spelling)
    return left is not None and left == right


def _exit(time: Cell, event: Cell, variable: Survival, values: Mapping[str, str]) -> int | None:
    own = {"event": 1, "censored": 0}
    spellings = [(text, own[word]) for text, word in values.items()] + EVENTS
    seen = None if event is None else _spelled(event, spellings)
    at = None if isinstance(time, bool) or time in WORDS else _number(time)
    if at is None or math.isnan(at) or at < 0 or seen is None:
        return None
    intervals = len(variable.edges) - 1
    interval = _place(_inside(at, variable), variable.edges)
    return interval if seen and at <= variable.edges[-1] else intervals + interval


def _inside(number: float, variable: Numeric | Count | Survival) -> Fraction:
    return Fraction(min(max(number, float(variable.edges[0])), float(variable.edges[-1])))


def _place(number: Fraction, edges: Sequence[Decimal]) -> int:
    return sum(number >= float(edge) for edge in edges[1:-1])


def _parts_of(variable: Variable) -> Sequence[Decimal]:
    assert isinstance(variable, Numeric)
    return variable.part_edges


def _steps(number: Fraction, variable: Variable, steps: int) -> int:
    unit = (Fraction(0), Fraction(1))  # of a boolean
    bounds = variable.bounds if isinstance(variable, Numeric | Count) else unit
    value = steps * scaled(number, *bounds)
    return floor(abs(value) + Fraction(1, 2)) * (1 if value >= 0 else -1)


def _number(cell: Cell) -> float | None:
    if isinstance(cell, bool):
        return float(cell)
    if not isinstance(cell, str):
        return None if cell is None else float(cell)
    if cell in WORDS:
        return WORDS[cell]
    plain = re.fullmatch(
        r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", cell, re.ASCII | re.IGNORECASE
    )
    return float(cell) if plain else None
