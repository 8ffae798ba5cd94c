"""Every CountSource gives the same sums for all kinds of variables, mechanisms and visits."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from client.measure.statistics import populations
from client.source.count_source import Counts, CountSource
from protocol.privacy.plan import compile_plan
from protocol.study.families import Family
from protocol.study.study import Study
from tests.support.databases import postgres_source, spark_source
from tests.support.tables_mixed import (
    UNTIDY_MIXED,
    UNTIDY_VISITS,
    VISIT,
    as_table,
    mapping_for,
    mixed_study,
    open_mixed,
    untidy,
    visits_study,
)
from tests.support.tables_records import Records
from tests.support.tables_study import KEY, UNIT
from tests.support.tables_twin import TwinSource

Open = Callable[[Records, Study, str | None, Path], AbstractContextManager[CountSource]]


def brute_force(
    table: Records, study: Study, unit: str | None, _: Path
) -> AbstractContextManager[CountSource]:
    return nullcontext(
        TwinSource(
            table,
            mapping_for(study),
            study,
            unit_column=unit,
            bound_key=KEY,
            visit_column=VISIT,
        )
    )


def duckdb_on_parquet(
    table: Records, study: Study, unit: str | None, folder: Path
) -> AbstractContextManager[CountSource]:
    return open_mixed(table.write_parquet(folder / "records.parquet"), study, unit=unit)


def duckdb_on_csv(
    table: Records, study: Study, unit: str | None, folder: Path
) -> AbstractContextManager[CountSource]:
    return open_mixed(table.write_csv(folder / "records.csv"), study, unit=unit)


def in_postgres(
    table: Records, study: Study, unit: str | None, folder: Path
) -> AbstractContextManager[CountSource]:
    visit = VISIT if study.time is not None else None
    return postgres_source(table, study, unit, folder, mapping_for(study), visit_column=visit)


def in_spark(
    table: Records, study: Study, unit: str | None, folder: Path
) -> AbstractContextManager[CountSource]:
    visit = VISIT if study.time is not None else None
    return spark_source(table, study, unit, folder, mapping_for(study), visit_column=visit)


IMPLEMENTATIONS: tuple[Open, ...] = (
    brute_force,
    duckdb_on_parquet,
    duckdb_on_csv,
    in_postgres,
    in_spark,
)
every_engine = pytest.mark.parametrize("open_", IMPLEMENTATIONS[1:])
every_implementation = pytest.mark.parametrize("open_", IMPLEMENTATIONS)


def moment_families(study: Study) -> list[Family]:
    return [family for family in study.families if family.mechanism.uses == "moments"]


def all_sums(open_: Open, table: Records, study: Study, unit: str | None) -> list[list[int]]:
    """Return all that a plan asks of a source, block by block."""
    plan = compile_plan(study)
    with TemporaryDirectory() as folder, open_(table, study, unit, Path(folder)) as source:
        found: list[Counts] = []
        for population in populations(plan):
            cliques = [block.clique for block in plan.residuals(population)]
            tables = source.counts(cliques, population)
            found += [tables[clique] for clique in cliques]
        parted = [block.clique[0] for block in plan.blocks if block.kind == "histogram"]
        found += source.histograms(parted).values()
        found += [source.moments(family) for family in moment_families(study)]
        return [sums.ravel().tolist() for sums in found]


def test_the_list_of_implementations_is_not_empty() -> None:
    assert len(IMPLEMENTATIONS) >= 3


def test_the_studies_ask_for_every_kind_of_sum() -> None:
    kinds = {(b.kind, b.population) for b in compile_plan(visits_study()).blocks}
    assert {("residual", "units"), ("residual", "transitions"), ("moments", "transitions")} <= kinds
    assert {block.kind for block in compile_plan(mixed_study()).blocks} == {
        *("residual", "histogram", "moments")
    }


@every_engine
@pytest.mark.parametrize("seed", range(5))
def test_untidy_records_of_all_kinds_give_the_same_sums(open_: Open, seed: int) -> None:
    study, table = mixed_study(1 + seed % 2), untidy(UNTIDY_MIXED, seed)
    expected = all_sums(brute_force, table, study, UNIT)
    assert any(expected[0])
    assert all_sums(open_, table, study, UNIT) == expected


@every_engine
@pytest.mark.parametrize("seed", range(5, 8))
def test_untidy_records_of_attested_units_give_the_same_sums(open_: Open, seed: int) -> None:
    study, table = mixed_study(), untidy(UNTIDY_MIXED, seed)
    expected = all_sums(brute_force, table, study, None)
    assert any(expected[0])
    assert all_sums(open_, table, study, None) == expected


@every_engine
@pytest.mark.parametrize("seed", range(5))
def test_untidy_visits_give_the_same_sums(open_: Open, seed: int) -> None:
    study, table = visits_study(), untidy(UNTIDY_VISITS, seed)
    expected = all_sums(brute_force, table, study, UNIT)
    assert any(expected[-1])  # moments of transitions
    assert all_sums(open_, table, study, UNIT) == expected


@every_implementation
def test_an_empty_table_gives_zeros(open_: Open) -> None:
    for study in (mixed_study(), visits_study()):
        table = as_table([], study)
        assert not any(map(any, all_sums(open_, table, study, UNIT)))


@every_implementation
def test_moments_have_the_shape_of_their_rows_and_elements(open_: Open, tmp_path: Path) -> None:
    study = mixed_study()
    with open_(as_table([], study), study, UNIT, tmp_path) as source:
        shapes = {family.node: source.moments(family) for family in moment_families(study)}
    assert {node: sums.shape for node, sums in shapes.items()} == {
        "treated": (3, 6),
        "pressure": (3, 10),
    }
    assert all(sums.dtype == np.int64 for sums in shapes.values())
