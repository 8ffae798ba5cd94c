"""How values of every kind of column turn into codes."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from client.source.encoding import Fates, fates_of, plain_text
from client.source.site_table import Mapping
from protocol.errors import UsageError
from tests.support.tables_source import counts_of, open_file, single_study

LEVELS = 'kind = "categorical"\nlevels = ["1", "2", "x"]\nother = true\nmissing = true'
BOOLEAN = 'kind = "boolean"\nmissing = true'
AGE = 'kind = "numeric"\nedges = [0, 0.7, 2.5]\nmissing = true'


def counts_of_array(array: pa.Array, variable: str, folder: Path) -> list[int]:
    pq.write_table(pa.table({"x": array}), folder / "x.parquet")
    study = single_study(variable)
    with open_file(folder / "x.parquet", study=study, mapping=Mapping(), unit=None) as source:
        return [int(count) for count in source.counts([("x",)])[("x",)]]


def test_whole_floats_match_integer_levels(tmp_path: Path) -> None:
    assert counts_of([1.0, 2.0, 1.5], "double", LEVELS, tmp_path) == [1, 1, 0, 1, 0]


def test_text_matches_a_level_first_as_text_then_as_a_number(tmp_path: Path) -> None:
    variable = 'kind = "categorical"\nlevels = ["1", "01"]\nother = true'
    assert counts_of(["01", "1.0", "1", "one"], "string", variable, tmp_path) == [2, 1, 1]


def test_decimals_match_levels_by_number(tmp_path: Path) -> None:
    array = pa.array([Decimal("1.00"), Decimal("2.50"), None], pa.decimal128(5, 2))
    assert counts_of_array(array, LEVELS, tmp_path) == [1, 0, 0, 1, 1]


def test_dates_match_levels_in_iso_form(tmp_path: Path) -> None:
    variable = 'kind = "categorical"\nlevels = ["2020-01-31", "2020-02-01"]'
    array = pa.array([date(2020, 1, 31), date(2020, 1, 31)], pa.date32())
    assert counts_of_array(array, variable, tmp_path) == [2, 0]


def test_dictionary_columns_are_read_as_text(tmp_path: Path) -> None:
    array = pa.array(["x", "1", "x"]).dictionary_encode()
    assert counts_of_array(array, LEVELS, tmp_path) == [1, 0, 2, 0, 0]


def test_a_column_of_nulls_is_missing(tmp_path: Path) -> None:
    assert counts_of_array(pa.nulls(3), LEVELS, tmp_path) == [0, 0, 0, 0, 3]


def test_unsigned_and_wide_integers_are_read(tmp_path: Path) -> None:
    array = pa.array([1, 2**64 - 1], pa.uint64())
    assert counts_of_array(array, LEVELS, tmp_path) == [1, 0, 0, 1, 0]


@pytest.mark.parametrize("type_", [pa.uint8(), pa.uint32(), pa.uint64()])
def test_unsigned_integers_are_compared_with_numbers_below_zero(
    type_: pa.DataType, tmp_path: Path
) -> None:
    variable = 'kind = "numeric"\nedges = [-10, -0.5, 5, 300]'
    assert counts_of_array(pa.array([0, 4, 255], type_), variable, tmp_path) == [0, 2, 1]


@pytest.mark.parametrize(
    ("type_", "cells"),
    [
        ("bool", [True, False, True, None]),
        ("int64", [1, 0, 1, None]),
        ("double", [1.0, 0.0, 1.0, None]),
        ("double", [1.0, 0.0, 1.0, float("nan")]),
        ("string", ["1", "0", "true", None]),
        ("string", ["True", "FALSE", "1.0", None]),
    ],
)
def test_booleans_are_read_from_every_usual_form(
    type_: str, cells: list[object], tmp_path: Path
) -> None:
    assert counts_of(cells, type_, BOOLEAN, tmp_path) == [1, 2, 1]


def test_true_and_false_match_levels_one_and_zero(tmp_path: Path) -> None:
    variable = 'kind = "categorical"\nlevels = ["0", "1"]'
    assert counts_of([True, True, False], "bool", variable, tmp_path) == [1, 2]


def test_one_and_zero_match_levels_true_and_false(tmp_path: Path) -> None:
    variable = 'kind = "categorical"\nlevels = ["true", "false"]'
    assert counts_of([1, 1, 0], "int64", variable, tmp_path) == [2, 1]


def test_bins_are_closed_on_the_left_and_the_last_one_on_both_sides(tmp_path: Path) -> None:
    cells = [0.0, 0.69, 0.7, 2.4, 2.5]
    assert counts_of(cells, "double", AGE, tmp_path) == [2, 3, 0]


def test_numbers_outside_the_edges_are_clamped(tmp_path: Path) -> None:
    cells = [-1.0, float("-inf"), 3.0, float("inf"), 1e308]
    assert counts_of(cells, "double", AGE, tmp_path) == [2, 3, 0]


def test_single_precision_is_compared_with_edges_in_single_precision(tmp_path: Path) -> None:
    array = pa.array([0.7, 0.69999], pa.float32())  # 0.7 in single precision is below 0.7
    assert counts_of_array(array, AGE, tmp_path) == [1, 1, 0]


def test_nan_beside_numbers_is_missing_whatever_the_file_says_of_its_range(
    tmp_path: Path,
) -> None:
    nan = float("nan")
    assert counts_of([0.0, 0.0, nan], "double", AGE, tmp_path) == [2, 0, 1]
    assert counts_of([2.0, 2.0, nan], "double", AGE, tmp_path) == [0, 2, 1]


def test_integers_are_binned_on_fractional_edges(tmp_path: Path) -> None:
    assert counts_of([0, 1, 2, 3], "int64", AGE, tmp_path) == [1, 3, 0]


def test_text_is_read_as_a_number_and_otherwise_missing(tmp_path: Path) -> None:
    cells = ["0.5", " 1e0 ", "nan", "n/a", "2,5"]
    assert counts_of(cells, "string", AGE, tmp_path) == [1, 1, 3]


def test_a_label_of_a_numeric_variable_is_no_spelling_of_it(tmp_path: Path) -> None:
    assert counts_of(["[0, 0.7)", "MISSING"], "string", AGE, tmp_path) == [0, 0, 2]


def test_the_sites_own_map_comes_first(tmp_path: Path) -> None:
    values = {"1": "2", "9": "MISSING", "y": "x"}
    assert counts_of([1, 2, 9], "int64", LEVELS, tmp_path, **values) == [0, 2, 0, 0, 1]
    cells = ["y", "9.0", "1"]
    assert counts_of(cells, "string", LEVELS, tmp_path, **values) == [0, 1, 1, 0, 1]


def test_the_sites_own_map_reaches_numeric_variables(tmp_path: Path) -> None:
    values = {"999": "MISSING", "none": "[0, 0.7)"}
    assert counts_of([999.0, 1.0], "double", AGE, tmp_path, **values) == [0, 1, 1]
    assert counts_of(["999.0", "none"], "string", AGE, tmp_path, **values) == [1, 0, 1]


def test_thousands_of_levels_are_told_apart(tmp_path: Path) -> None:
    levels = [f"c{number}é" for number in range(4000)]
    variable = f'kind = "categorical"\nlevels = {levels}\nother = true'.replace("'", '"')
    found = counts_of([*levels, "c4000é", "c"], "string", variable, tmp_path)
    assert found == [1] * 4000 + [2]


def test_thousands_of_bins_are_told_apart(tmp_path: Path) -> None:
    variable = f'kind = "numeric"\nedges = {list(range(4001))}'
    assert counts_of([number + 0.5 for number in range(4000)], "double", variable, tmp_path) == (
        [1] * 4000
    )


def units_in(array: pa.Array, folder: Path) -> int:
    pq.write_table(pa.table({"x": [1] * len(array), "id": array}), folder / "x.parquet")
    study = single_study('kind = "boolean"')
    with open_file(folder / "x.parquet", study=study, mapping=Mapping(), unit="id") as source:
        return int(source.counts([()])[()])


@pytest.mark.parametrize(
    ("cells", "type_", "units"),
    [
        ([10**17, 10**17 + 1, 10**17], pa.decimal128(38, 0), 2),
        ([10**30, 10**30 + 1], pa.decimal128(38, 0), 2),
        ([Decimal("1.10"), Decimal("1.1"), Decimal("1.11"), None], pa.decimal128(20, 2), 2),
        ([Decimal(100), Decimal(10), Decimal(1)], pa.decimal128(38, 2), 3),
        ([Decimal("0.00"), Decimal("-0.5"), Decimal("0.5")], pa.decimal128(3, 2), 3),
        ([10**17, 10**17 + 1], pa.int64(), 2),
        ([2**63 + 1, 2**63 + 2], pa.uint64(), 2),
        ([1e17, 1e17 + 64, float("inf"), float("-inf")], pa.float64(), 4),
        ([1.0, 1.0, 0.1], pa.float32(), 2),
    ],
)
def test_no_two_units_of_numbers_are_taken_for_one(
    cells: list[object], type_: pa.DataType, units: int, tmp_path: Path
) -> None:
    assert units_in(pa.array(cells, type_), tmp_path) == units


@pytest.mark.parametrize(
    ("cells", "type_"),
    [
        ([Decimal("7.00")], pa.decimal128(20, 2)),
        ([Decimal(7)], pa.decimal128(38, 0)),
        ([7], pa.int8()),
        ([7.0], pa.float32()),
        (["\u30007.0 "], pa.string()),
    ],
)
def test_one_unit_has_one_text_in_every_type(
    cells: list[object], type_: pa.DataType, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"id": pa.array(cells, type_)}), tmp_path / "x.parquet")
    study, mapping = single_study(LEVELS), Mapping.model_validate({"x": {"column": "id"}})
    with open_file(tmp_path / "x.parquet", study=study, mapping=mapping, unit="id") as source:
        rows = source._records.rows
        assert source._engine.texts(rows.select(id=plain_text(rows["id"]))) == ("7",)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([[1], [2]]),
        pa.array([{"a": 1}]),
        pa.array([b"1"]),
        pa.array([1], pa.timestamp("us")),
    ],
)
def test_a_column_of_another_type_is_refused(array: pa.Array, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        counts_of_array(array, LEVELS, tmp_path)
    assert refused.value.code == "column-type"
    assert "found another type for x" in refused.value.cause


def test_what_is_undeclared_has_its_fate_by_kind() -> None:
    levels = single_study(LEVELS).variables["x"]
    age = single_study(AGE).variables["x"]
    assert fates_of(levels) == Fates(missing=4, unknown=3)
    assert fates_of(age) == Fates(missing=2, unknown=2, below=0, above=1)
