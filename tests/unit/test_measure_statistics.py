"""The vector of residual tables: layout, values, and the check on its size."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from client.measure.statistics import check_overflow, largest_of, measure, populations
from client.source.count_source import Counts
from protocol.errors import UsageError
from protocol.privacy.plan import compile_plan
from protocol.privacy.residuals import residual_table
from protocol.privacy.statistics import statistics_of
from protocol.study.document import parse_study
from protocol.study.families import Family, Population
from protocol.study.graph import Clique
from protocol.study.study import Study
from tests.support.tables_mixed import mixed_study, visits_study
from tests.support.tables_source import GOOD, open_records
from tests.support.tables_study import STUDY, ward_study


class Everyone:
    """A source whose records are all in the first cell."""

    def __init__(self, shape_of: dict[str, int], rows: int) -> None:
        self._sizes = shape_of
        self._rows = rows
        self.asked: list[Clique] = []

    def counts(self, cliques: Sequence[Clique], _: Population = "units") -> dict[Clique, Counts]:
        self.asked += cliques
        return {clique: self._table(clique) for clique in cliques}

    def histograms(self, columns: Sequence[str]) -> dict[str, Counts]:
        raise AssertionError(columns)

    def moments(self, family: Family) -> Counts:
        raise AssertionError(family)

    def _table(self, clique: Clique) -> Counts:
        table = np.zeros([self._sizes[name] for name in clique], np.int64)
        table[(0,) * len(clique)] = self._rows
        return table


def everyone(rows: int) -> Everyone:
    study = ward_study()
    return Everyone({name: domain.size for name, domain in study.variables.items()}, rows)


def test_every_block_is_the_residual_table_of_its_counts(tmp_path: Path) -> None:
    study = ward_study()
    plan = compile_plan(study)
    with open_records(GOOD, tmp_path) as source:
        found = measure(plan, study, source)
        tables = source.counts([block.clique for block in plan.blocks])
    assert found.shape == (plan.length,)
    assert found.dtype == np.int64
    for block in plan.blocks:
        expected = residual_table(tables[block.clique])
        assert np.array_equal(found[block.span].reshape(block.shape), expected)


def test_the_first_element_is_the_number_of_records_that_count(tmp_path: Path) -> None:
    study = ward_study()
    with open_records(GOOD, tmp_path) as source:
        assert measure(compile_plan(study), study, source)[0] == 3


def test_a_site_without_records_measures_zeros(tmp_path: Path) -> None:
    study = ward_study()
    with open_records(GOOD.reordered([]), tmp_path) as source:
        assert not measure(compile_plan(study), study, source).any()


def test_the_source_is_asked_once_for_few_tables() -> None:
    study = ward_study()
    source = everyone(1)
    measure(compile_plan(study), study, source)
    assert source.asked == [("age", "smoker", "ward", "grade")]


def test_more_records_than_the_ring_holds_are_refused() -> None:
    study = ward_study()
    with pytest.raises(UsageError) as refused:
        measure(compile_plan(study), study, everyone(2**53))
    assert refused.value.code == "too-many-rows"
    assert str(2**53) not in str(refused.value)


def test_a_site_with_more_rows_than_the_study_promises_takes_no_part() -> None:
    text = STUDY.format(rows=1)
    study = parse_study(text.replace("max_rows_per_unit = 1", "max_rows_per_site = 5"))
    plan = compile_plan(study)
    measure(plan, study, everyone(5))
    with pytest.raises(UsageError) as refused:
        measure(plan, study, everyone(6))
    assert refused.value.code == "too-many-rows"
    assert "max_rows_per_site = 5" in str(refused.value)


def test_the_limit_leaves_room_for_two_hundred_sites() -> None:
    plan = compile_plan(ward_study())
    largest = max(int(np.prod([size - 1 for size in block.shape])) for block in plan.blocks)
    rows = 2**62 // (200 * largest)
    check_overflow(plan, "units", persons=rows)
    with pytest.raises(UsageError):
        check_overflow(plan, "units", persons=rows + 1)


class Units(Everyone):
    """A source in which everybody has transitions, and nobody a number."""

    def histograms(self, columns: Sequence[str]) -> dict[str, Counts]:
        return {column: np.zeros(4, np.int64) for column in columns}

    def moments(self, family: Family) -> Counts:
        raise AssertionError(family)


@pytest.mark.parametrize("make", [mixed_study, visits_study])
def test_too_many_records_are_refused_before_moments_are_summed(
    make: Callable[[], Study],
) -> None:
    study = make()
    sizes = {name: study.variable(name).size for f in study.families for name in f.clique}
    with pytest.raises(UsageError) as refused:
        measure(compile_plan(study), study, Units(sizes, 2**62 // (200 * 1024**2) + 1))
    assert refused.value.code == "too-many-rows"


def test_the_most_that_a_person_adds_to_an_element_is_known_for_every_block() -> None:
    plan = compile_plan(visits_study())
    wanted = {one.key: one.largest for one in statistics_of(visits_study())}
    assert {largest_of(block) for block in plan.blocks if block.kind == "moments"} == {
        1024**2,
        64**2 * 2,
    }
    for block in plan.blocks:
        assert largest_of(block) == wanted[block.kind, block.population, block.clique]


def test_both_populations_of_a_longitudinal_study_are_measured() -> None:
    assert populations(compile_plan(visits_study())) == ("units", "transitions")
    assert populations(compile_plan(ward_study())) == ("units",)
