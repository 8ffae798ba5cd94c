"""How far one unit moves every block of studies of all kinds and of visits, by brute force."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from client.measure.statistics import Integers, measure
from protocol.privacy.plan import compile_plan
from protocol.study.study import Study
from tests.support.tables_mixed import (
    UNTIDY_MIXED,
    UNTIDY_VISITS,
    VISIT,
    Choices,
    mixed_study,
    open_mixed,
    untidy,
    visits_study,
)
from tests.support.tables_records import Cell, Records, records
from tests.support.tables_study import UNIT
from tests.support.tables_twin import unit_of

WORLDS: dict[str, tuple[Study, dict[str, Choices]]] = {
    "one row": (mixed_study(1), UNTIDY_MIXED),
    "three rows": (mixed_study(3), UNTIDY_MIXED),
    "visits": (visits_study(), UNTIDY_VISITS),
}


def statistics(table: Records, study: Study) -> Integers:
    with TemporaryDirectory() as folder:
        file = table.write_parquet(Path(folder) / "records.parquet")
        with open_mixed(file, study) as source:
            return measure(compile_plan(study), study, source)


def units_of(table: Records) -> list[str | None]:
    return [unit_of(cell) for cell in table.columns[UNIT].values]


def split(table: Records, unit: str) -> tuple[Records, Records]:
    """Return the rows of one unit, and those of all others."""
    own = [at for at, other in enumerate(units_of(table)) if other == unit]
    others = [at for at, other in enumerate(units_of(table)) if other != unit]
    return table.reordered(own), table.reordered(others)


@pytest.mark.parametrize("world", list(WORLDS))
@pytest.mark.parametrize("seed", [3])
def test_one_unit_moves_no_block_further_than_its_sensitivity(world: str, seed: int) -> None:
    study, choices = WORLDS[world]
    table, plan = untidy(choices, seed, 40), compile_plan(study)
    whole = statistics(table, study)
    for unit in sorted({unit for unit in units_of(table) if unit is not None})[:5]:
        own, others = split(table, unit)
        moved, alone = whole - statistics(others, study), statistics(own, study)
        assert np.array_equal(moved, alone)  # it moves nothing of any other unit
        for block in plan.blocks:
            change = moved[block.span].tolist()
            assert sum(step**2 for step in change) <= block.squared_sensitivity


@pytest.mark.parametrize("world", list(WORLDS))
def test_the_order_of_the_file_changes_nothing(world: str) -> None:
    study, choices = WORLDS[world]
    table = untidy(choices, 7)
    backwards = table.reordered(range(len(table.rows))[::-1])
    assert np.array_equal(statistics(table, study), statistics(backwards, study))


def test_the_sensitivity_of_moments_is_reached_at_the_bounds() -> None:
    study = visits_study()
    (block,) = (
        block
        for block in compile_plan(study).blocks
        if block.kind == "moments" and block.population == "transitions"
    )
    of_unit = {UNIT: 1, "sex": 1, "cd4": 1, "load": 6, "drug": 1, "dead": 0}
    columns: dict[str, tuple[str, list[Cell]]] = {
        name: ("int64", [value] * 3) for name, value in of_unit.items()
    }
    table = records(**columns, **{VISIT: ("int64", [0, 1, 2])})
    found = statistics(table, study)[block.span].tolist()
    assert sum(value**2 for value in found) == block.squared_sensitivity
