"""What privacy rests on: how far the statistics move when one unit comes or goes."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from client.measure.statistics import Integers, measure
from protocol.privacy.plan import compile_plan
from tests.support.tables_records import Records
from tests.support.tables_source import open_records
from tests.support.tables_study import UNIT, random_records, ward_study
from tests.support.tables_twin import unit_of

STUDIES = {rows: ward_study(rows) for rows in (1, 2, 3)}
PLANS = {rows: compile_plan(study) for rows, study in STUDIES.items()}


def statistics(table: Records, rows: int) -> Integers:
    with (
        TemporaryDirectory() as folder,
        open_records(table, Path(folder), study=STUDIES[rows]) as source,
    ):
        return measure(PLANS[rows], STUDIES[rows], source)


def units_of(table: Records) -> list[str | None]:
    return [unit_of(cell) for cell in table.columns[UNIT].values]


def without(table: Records, unit: str | None) -> Records:
    return table.reordered([at for at, other in enumerate(units_of(table)) if other != unit])


@settings(derandomize=True, deadline=None, max_examples=30)
@given(table=random_records(), rows=st.integers(1, 3), data=st.data())
def test_one_unit_moves_no_block_further_than_its_sensitivity(
    table: Records, rows: int, data: st.DataObject
) -> None:
    units = [unit for unit in units_of(table) if unit is not None]
    unit = data.draw(st.sampled_from(units)) if units else None
    moved = statistics(table, rows) - statistics(without(table, unit), rows)
    for block in PLANS[rows].blocks:
        change = moved[block.span].tolist()
        assert sum(step**2 for step in change) <= block.squared_sensitivity
    assert 0 <= moved[0] <= rows


@settings(derandomize=True, deadline=None, max_examples=15)
@given(table=random_records(), rows=st.integers(1, 3))
def test_the_statistics_are_the_sum_over_units(table: Records, rows: int) -> None:
    units = units_of(table)
    alone = [
        statistics(table.reordered([at for at, other in enumerate(units) if other == unit]), rows)
        for unit in set(units) - {None}
    ]
    total = sum(alone, start=np.zeros(PLANS[rows].length, np.int64))
    assert np.array_equal(statistics(table, rows), total)
