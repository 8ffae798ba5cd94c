"""One set of checks for every CountSource: Parquet, CSV, PostgreSQL, Spark, brute force."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.source.count_source import Counts, CountSource
from client.source.duckdb_source import DuckDBSource
from client.source.site_table import SiteData
from protocol.study.graph import Clique
from protocol.study.study import Study
from tests.support.databases import postgres_source, spark_source
from tests.support.tables_records import Cell, Column, Records, records
from tests.support.tables_study import KEY, MAPPING, UNIT, all_cliques, random_records, ward_study
from tests.support.tables_twin import TwinSource

Open = Callable[[Records, Study, str | None, Path], AbstractContextManager[CountSource]]
Tables = dict[Clique, Counts]


def brute_force(
    table: Records, study: Study, unit: str | None, _: Path
) -> AbstractContextManager[CountSource]:
    return nullcontext(TwinSource(table, MAPPING, study, unit_column=unit, bound_key=KEY))


def duckdb_on_parquet(
    table: Records, study: Study, unit: str | None, folder: Path
) -> AbstractContextManager[CountSource]:
    return _duckdb(table.write_parquet(folder / "records.parquet"), study, unit, folder)


def duckdb_on_csv(
    table: Records, study: Study, unit: str | None, folder: Path
) -> AbstractContextManager[CountSource]:
    return _duckdb(table.write_csv(folder / "records.csv"), study, unit, folder)


def _duckdb(file: Path, study: Study, unit: str | None, folder: Path) -> DuckDBSource:
    data = SiteData(path=str(file), unit_column=unit, one_row_per_unit=unit is None)
    return DuckDBSource(data, MAPPING, study, bound_key=KEY, folder=folder / "spill")


IMPLEMENTATIONS: tuple[Open, ...] = (
    brute_force,
    duckdb_on_parquet,
    duckdb_on_csv,
    postgres_source,
    spark_source,
)


def counts(
    open_: Open, table: Records, folder: Path, *, rows: int = 1, unit: str | None = UNIT
) -> Tables:
    study = ward_study(rows)
    with open_(table, study, unit, folder) as source:
        return source.counts(all_cliques(study))


every_implementation = pytest.mark.parametrize("open_", IMPLEMENTATIONS)

FOUR = records(
    patient=("int64", [1, 2, 3, 4]),
    smoker=("bool", [True, False, None, True]),
    ward_name=("string", ["N", "south", None, "attic"]),
    grade=("int64", [1, 2, 3, 3]),
    age=("double", [0.0, 40.5, 65.0, 99.0]),
)


def test_the_list_of_implementations_is_not_empty() -> None:
    assert len(IMPLEMENTATIONS) >= 5


@every_implementation
def test_values_are_counted_under_their_declared_codes(open_: Open, tmp_path: Path) -> None:
    found = counts(open_, FOUR, tmp_path)
    assert found[("smoker",)].tolist() == [1, 2, 1]
    assert found[("ward",)].tolist() == [1, 1, 0, 1, 1]  # north, south, a "b", c, OTHER, MISSING
    assert found[("grade",)].tolist() == [1, 1, 2]
    assert found[("age",)].tolist() == [1, 0, 3, 0]  # 99 is clamped, 65 is in the last bin
    assert found[()].tolist() == 4


@every_implementation
def test_every_table_is_a_marginal_of_the_largest_one(open_: Open, tmp_path: Path) -> None:
    found = counts(open_, FOUR, tmp_path)
    whole = max(found, key=len)
    for clique, table in found.items():
        lost = tuple(axis for axis, name in enumerate(whole) if name not in clique)
        assert np.array_equal(found[whole].sum(axis=lost), table)
        assert table.dtype == np.int64


@every_implementation
@pytest.mark.parametrize("unit", [UNIT, None])
def test_an_empty_table_gives_zeros_over_the_whole_domain(
    open_: Open, unit: str | None, tmp_path: Path
) -> None:
    found = counts(open_, FOUR.reordered([]), tmp_path, unit=unit)
    assert all(not table.any() for table in found.values())
    assert found[()].shape == ()
    assert found[("ward",)].shape == (5,)


@every_implementation
@pytest.mark.parametrize("unit", [UNIT, None])
def test_a_record_without_a_code_is_in_no_table(
    open_: Open, unit: str | None, tmp_path: Path
) -> None:
    table = records(
        patient=("int64", [1, 2, 3]),
        smoker=("bool", [True, True, True]),
        ward_name=("string", ["north", "north", "north"]),
        grade=("int64", [1, 9, None]),  # declares neither OTHER nor MISSING
        age=("double", [20.0, 20.0, 20.0]),
    )
    found = counts(open_, table, tmp_path, unit=unit)
    assert {int(table.sum()) for table in found.values()} == {1}


@every_implementation
def test_a_record_without_a_code_is_out_even_if_no_clique_asks_for_it(
    open_: Open, tmp_path: Path
) -> None:
    table = FOUR.reordered([0, 1])
    study = ward_study()
    undeclared = Records(
        {**table.columns, "grade": records(grade=("int64", [1, 9])).columns["grade"]}
    )
    with open_(undeclared, study, None, tmp_path) as source:
        assert source.counts([()])[()].tolist() == 1
        assert source.counts([("smoker",)])[("smoker",)].tolist() == [0, 1, 0]


@every_implementation
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_unit_contributes_at_most_its_bound(open_: Open, rows: int, tmp_path: Path) -> None:
    many = FOUR.reordered([0, 0, 1, 2, 3])
    one_unit = records(patient=("int64", [7] * 5)).columns
    found = counts(open_, Records({**many.columns, **one_unit}), tmp_path, rows=rows)
    assert {int(table.sum()) for table in found.values()} == {rows}


@every_implementation
def test_a_record_without_a_unit_is_left_out(open_: Open, tmp_path: Path) -> None:
    nameless = records(patient=("int64", [1, None, 3, None])).columns
    found = counts(open_, Records({**FOUR.columns, **nameless}), tmp_path)
    assert found[()].tolist() == 2


@every_implementation
@pytest.mark.parametrize(
    ("type_", "cells", "units"),
    [
        ("int64", [1, 1, 2**62, 2**62 + 1], 3),
        ("double", [1.0, 1.0, -1.0, float("nan")], 2),
        ("string", ["1", "1.0", " 1\t", "1.000\u00a0"], 1),
        ("string", ["-1", "-1.0", "1", "\n1.0"], 2),
        ("string", ["1", "01", "1.", "1.5"], 4),
        ("string", ["a", "A", "a ", "a.0"], 3),
        ("string", [" ", "", "\t\u2003", None], 0),
    ],
)
def test_a_unit_is_one_however_it_is_written(
    open_: Open, type_: str, cells: list[Cell], units: int, tmp_path: Path
) -> None:
    columns = {**FOUR.reordered([0, 0, 0, 0]).columns, UNIT: Column(type_, tuple(cells))}
    assert counts(open_, Records(columns), tmp_path)[()].tolist() == units


@every_implementation
def test_the_same_rows_of_a_unit_count_however_it_is_written(open_: Open, tmp_path: Path) -> None:
    table = FOUR.reordered([0, 1, 3])
    written: list[tuple[str, tuple[Cell, ...]]] = [
        ("int64", (1, 1, 1)),
        ("double", (1.0, 1.0, 1.0)),
        ("string", ("1", " 1", "1.0")),
    ]
    found = [
        counts(open_, Records({**table.columns, UNIT: Column(type_, cells)}), tmp_path)
        for type_, cells in written
    ]
    whole = max(found[0], key=len)
    assert all(np.array_equal(other[whole], found[0][whole]) for other in found)
    assert found[0][()].tolist() == 1


def some_counts(
    open_: Open, table: Records, rows: int, unit: str | None
) -> dict[Clique, list[int]]:
    study = ward_study(rows)
    cliques = [(), ("age", "ward"), study.causal_graph.nodes]
    with TemporaryDirectory() as folder, open_(table, study, unit, Path(folder)) as source:
        return {clique: found.ravel().tolist() for clique, found in source.counts(cliques).items()}


QUICK = [open_ for open_ in IMPLEMENTATIONS if open_ is not spark_source]


@settings(derandomize=True, deadline=None, max_examples=5)
@given(table=random_records(), rows=st.integers(1, 3))
def test_spark_counts_the_same(table: Records, rows: int) -> None:
    for bound, unit in ((rows, UNIT), (1, None)):
        expected = some_counts(duckdb_on_parquet, table, bound, unit)
        assert some_counts(spark_source, table, bound, unit) == expected


@settings(derandomize=True, deadline=None, max_examples=30)
@given(table=random_records(), rows=st.integers(1, 3))
def test_all_implementations_count_the_same_with_a_bound_per_unit(
    table: Records, rows: int
) -> None:
    first, *others = [some_counts(open_, table, rows, UNIT) for open_ in QUICK]
    assert all(other == first for other in others)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(table=random_records())
def test_all_implementations_count_the_same_with_one_row_per_unit(table: Records) -> None:
    first, *others = [some_counts(open_, table, 1, None) for open_ in QUICK]
    assert all(other == first for other in others)


@pytest.mark.parametrize("open_", QUICK)
@settings(derandomize=True, deadline=None, max_examples=10)
@given(table=random_records(), data=st.data())
def test_the_order_of_the_file_changes_no_count(
    open_: Open, table: Records, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(table.rows))))
    found = some_counts(open_, table.reordered(order), 2, UNIT)
    assert found == some_counts(open_, table, 2, UNIT)
