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

STUDIES = {rows: ward_study(rows) for rows in (1, 2, 3)}
PLANS = {rows: compile_plan(study) for rows, study in STUDIES.items()}


def statistics(table: Records, rows: int) -> Integers:
    with (
        TemporaryDirectory() as folder,
        open_records(table, Path(folder), study=STUDIES[rows]) as source,
    ):
        return measure(PLANS[rows], STUDIES[rows], source)


def without(table: Records, unit: object) -> Records:
    cells = table.columns[UNIT].values
    return table.reordered([place for place, cell in enumerate(cells) if cell != unit])


@settings(derandomize=True, deadline=None, max_examples=30)
@given(table=random_records(), rows=st.integers(1, 3), data=st.data())
def test_one_unit_moves_no_block_further_than_its_sensitivity(
    table: Records, rows: int, data: st.DataObject
) -> None:
    units = [cell for cell in table.columns[UNIT].values if cell is not None]
    unit = data.draw(st.sampled_from(units)) if units else None
    moved = statistics(table, rows) - statistics(without(table, unit), rows)
    for block in PLANS[rows].blocks:
        change = moved[block.span].tolist()
        assert sum(step**2 for step in change) <= block.squared_sensitivity
    assert 0 <= moved[0] <= rows


@settings(derandomize=True, deadline=None, max_examples=15)
@given(table=random_records(), rows=st.integers(1, 3))
def test_the_statistics_are_the_sum_over_units(table: Records, rows: int) -> None:
    units = {cell for cell in table.columns[UNIT].values if cell is not None}
    cells = table.columns[UNIT].values
    alone = [
        statistics(table.reordered([at for at, cell in enumerate(cells) if cell == unit]), rows)
        for unit in units
    ]
    total = sum(alone, start=np.zeros(PLANS[rows].length, np.int64))
    assert np.array_equal(statistics(table, rows), total)
