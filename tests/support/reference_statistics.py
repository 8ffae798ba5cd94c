"""The statistics of a plan computed from the words of SPEC 9, one row and one cell at a time.

The oracle for everything faster. Records are a sequence of dicts, one per row:

    {"unit": 7, "visit": 0, "values": {"sex": "male", "age": 40.5, "quit": 1, "stay": (3.5, True)}}

`unit` is any hashable; `visit` is read in a longitudinal study only. `values` has one entry for
every name in `study.measured_variables`, as the site's mapping leaves it: a label (categorical,
ordinal), 0 or 1 (boolean), a number (numeric, count; finite int, float, Decimal or Fraction), a
pair of time and whether there was an event (survival), or None where it is missing.

Preconditions: at most `max_rows_per_unit` rows of a unit; in a longitudinal study at most one per
visit, at visits 0 .. visits - 1.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import product
from math import floor, isfinite, prod
from typing import NotRequired, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from protocol.privacy.moments import STEPS, TRANSITION_STEPS
from protocol.privacy.plan import Block, StatisticsPlan
from protocol.study.expression_arrays import Column, Levels, evaluate
from protocol.study.families import Family
from protocol.study.quantities import MISSING
from protocol.study.study import Study
from protocol.study.time import base_name, transition_unit
from protocol.study.variables import (
    Boolean,
    Categorical,
    Count,
    Missingness,
    Numeric,
    Ordinal,
    Survival,
    Variable,
)

Number: TypeAlias = int | float | Decimal | Fraction
Recorded: TypeAlias = str | Number | tuple[Number | None, bool | None] | None


class Record(TypedDict):
    """One row of a site's data."""

    unit: Hashable
    visit: NotRequired[int]
    values: Mapping[str, Recorded]


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of one row: its code, and as a number in its bounds if it has one."""

    code: int
    number: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """A row of a population: a cell per column, and its weight."""

    cells: Mapping[str, Cell]
    weight: int


def reference_statistics(
    plan: StatisticsPlan, study: Study, records: Sequence[Record]
) -> NDArray[np.int64]:
    """Return the plan's statistics of the records without noise, shape (plan.length,)."""
    rows = {"units": _units(study, records), "transitions": _transitions(study, records)}
    vector = np.zeros(plan.length, np.int64)
    for block in plan.blocks:
        counted = rows[block.population]
        match block.kind:
            case "residual":
                values = _residual(block, counted)
            case "histogram":
                values = _histogram(study, block, counted)
            case "moments":
                values = _moments(study, plan, block, counted)
        vector[block.span] = values
    return vector


def _residual(block: Block, rows: Sequence[Counted]) -> list[int]:
    """Return (kron_i (m_i I - 1 1')) counts: a row adds prod_i (m_i [same code] - 1) to a cell."""
    return [
        sum(
            row.weight
            * prod(
                size * (row.cells[column].code == code) - 1
                for column, size, code in zip(block.clique, block.shape, codes, strict=True)
            )
            for row in rows
        )
        for codes in product(*map(range, block.shape))
    ]


def _histogram(study: Study, block: Block, rows: Sequence[Counted]) -> list[int]:
    """Return how many values lie in each part of a bin; the last part holds its end."""
    [column] = block.clique
    variable = study.variable(column)
    assert isinstance(variable, Numeric)
    numbers = [row.cells[column].number for row in rows]
    starts = [Fraction(edge) for edge in variable.part_edges[:-1]]
    parts = [
        sum(number >= start for start in starts) - 1 for number in numbers if number is not None
    ]
    return [parts.count(part) for part in range(len(starts))]


def _moments(
    study: Study, plan: StatisticsPlan, block: Block, rows: Sequence[Counted]
) -> list[int]:
    """Return the upper triangle of sum z z', per combination of the codes of the row parents."""
    family = _family_of(plan, block)
    steps = STEPS if block.population == "units" else TRANSITION_STEPS
    sums = {
        codes: [0] * block.shape[-1]
        for codes in product(*(range(study.variable(name).size) for name in family.rows))
    }
    for row in rows:
        z = [steps]
        for name in (*family.regressors, family.node):
            number = row.cells[name].number
            if number is not None:
                low, high = _bounds(study.variable(name))
                z.append(_half_away(steps * (2 * (number - low) / (high - low) - 1)))
        if len(z) < len(family.regressors) + 2:
            continue
        codes = tuple(row.cells[name].code for name in family.rows)
        triangle = [z[i] * z[j] for i in range(len(z)) for j in range(i, len(z))]
        sums[codes] = [a + row.weight * b for a, b in zip(sums[codes], triangle, strict=True)]
    return [value for values in sums.values() for value in values]


def _family_of(plan: StatisticsPlan, block: Block) -> Family:
    [family] = [
        family
        for family in plan.families
        if family.population == block.population and family.node == block.clique[-1]
    ]
    return family


def _bounds(variable: Variable) -> tuple[Fraction, Fraction]:
    if isinstance(variable, Numeric | Count):
        return variable.bounds
    assert isinstance(variable, Boolean)
    return Fraction(0), Fraction(1)


def _half_away(value: Fraction) -> int:
    size = floor(abs(value) + Fraction(1, 2))
    return size if value >= 0 else -size


def _units(study: Study, records: Sequence[Record]) -> list[Counted]:
    """Return all rows; in a longitudinal study those of visit 0, columns named x[0]."""
    if study.time is None:
        return [Counted(cells, 1) for record in records for cells in _cells(study, record)]
    return [
        Counted(_named(study, cells, "[0]"), 1)
        for record in records
        if record["visit"] == 0
        for cells in _cells(study, record)
    ]


def _transitions(study: Study, records: Sequence[Record]) -> list[Counted]:
    """Return pairs of rows at visits k - 1 and k, with weight S / T; static as in the later."""
    if study.time is None:
        return []
    visits: dict[Hashable, dict[int, Mapping[str, Cell]]] = defaultdict(dict)
    for record in records:
        for cells in _cells(study, record):
            visits[record["unit"]][record["visit"]] = cells
    counted = []
    for of_unit in visits.values():
        later = [visit for visit in of_unit if visit - 1 in of_unit]
        for visit in later:
            before = _named(study, of_unit[visit - 1], "[t-1]")
            columns = before | _named(study, of_unit[visit], "[t]")
            counted.append(Counted(columns, transition_unit(study.time) // len(later)))
    return counted


def _named(study: Study, cells: Mapping[str, Cell], index: str) -> dict[str, Cell]:
    static = () if study.time is None else study.time.static
    return {name if name in static else name + index: cell for name, cell in cells.items()}


def _cells(study: Study, record: Record) -> Iterator[dict[str, Cell]]:
    """Yield the row in the study's domain; nothing if a value has no code there."""
    found: dict[str, Cell | None] = {
        name: _cell(study.variables[name], record["values"][name])
        for name in study.measured_variables
    }
    for name, variable in study.variables.items():
        if isinstance(variable, Missingness):
            hidden = found[variable.of]
            missing = (
                hidden is not None and hidden.code == study.variables[variable.of].missing_code
            )
            found[name] = Cell(int(missing))
    for name in study.rules:
        if all(cell is not None for cell in found.values()):
            found[name] = _computed(study, name, found)
    cells = {name: cell for name, cell in found.items() if cell is not None}
    if len(cells) == len(found):
        yield cells


def _cell(variable: Variable, value: Recorded) -> Cell | None:
    if isinstance(variable, Survival):
        time, event = value if isinstance(value, tuple) else (None, None)
        return None if time is None or time < 0 or event is None else _exit(variable, time, event)
    if value is None:
        return _coded(variable.missing_code)
    if isinstance(variable, Numeric | Count):
        low, high = variable.bounds
        number = min(max(Fraction(value), low), high)  # type: ignore[arg-type]
        edges = [Fraction(edge) for edge in variable.edges[:-1]]
        return Cell(sum(number >= edge for edge in edges) - 1, number)
    if isinstance(variable, Boolean):
        return Cell(int(value), Fraction(int(value)))  # type: ignore[arg-type]
    assert isinstance(variable, Categorical | Ordinal)
    return (
        Cell(variable.levels.index(value))
        if value in variable.levels
        else _coded(variable.other_code)
    )


def _computed(study: Study, name: str, cells: Mapping[str, Cell | None]) -> Cell | None:
    """Return what a rule computes from the row, taken as if a column of the site held it."""
    rule, variable = study.mechanism(name).expression, study.variables[name]
    assert rule is not None
    columns = {
        column: _column(study.variable(column), cells[base_name(column)]) for column in rule.names
    }
    result = evaluate(rule, columns, rows=1)
    if isinstance(result, Levels):
        label = result.labels[result.codes[0]] if result.codes[0] >= 0 else None
        return _cell(variable, label)
    number = float(result[0])
    return _cell(variable, number if isfinite(number) else None)


def _column(variable: Variable, cell: Cell | None) -> Column:
    """Return a column of one row, as `evaluate` takes it."""
    assert cell is not None
    missing = cell.code == variable.missing_code
    if isinstance(variable, Categorical | Ordinal):
        labels = tuple(label for label in variable.labels if label != MISSING)
        return Levels(np.array([-1 if missing else cell.code]), labels)
    if isinstance(variable, Missingness):
        return np.array([float(cell.code)])
    return np.array([np.nan if cell.number is None else float(cell.number)])


def _coded(code: int | None) -> Cell | None:
    return None if code is None else Cell(code)


def _exit(variable: Survival, time: Number, event: bool) -> Cell:
    """Return an exit at a time from 0 on: after the last edge nothing was seen."""
    edges = [Fraction(edge) for edge in variable.edges]
    interval = sum(Fraction(time) >= edge for edge in edges[:-1]) - 1
    seen = event and Fraction(time) <= edges[-1]
    return Cell(interval if seen else len(edges) - 1 + interval)
