"""Numbers in steps and parts of bins: bounds, halves, and everything that is no number."""

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from client.source.duckdb_source import DuckDBSource
from client.source.site_table import Mapping, SiteData
from protocol.privacy.moments import STEPS
from protocol.study.document import parse_study
from protocol.study.study import Study
from tests.support.tables_records import Cell

INF, NAN = float("inf"), float("nan")


def number_study(variable: str, mechanism: str = "gaussian") -> Study:
    return parse_study(
        f"""
format = "concause-study/1"
name = "one"
title = "One number"
author = "Tests"
expires = 2031-01-01
budget = {{ rho = 0.5 }}
cohort = {{ n_min = 3, tolerated_colluders = 0, threshold = 3 }}
trust = {{ aggregation = "masking" }}
graph = {{ edges = [] }}
mechanisms = {{ x = "{mechanism}" }}

[variables.x]
{variable}
"""
    )


def opened(array: pa.Array, study: Study, folder: Path, **values: str) -> DuckDBSource:
    pq.write_table(pa.table({"x": array}), folder / "x.parquet")
    data = SiteData(path=str(folder / "x.parquet"), one_row_per_unit=True)
    mapping = Mapping.model_validate({"x": {"values": values}})
    return DuckDBSource(data, mapping, study, bound_key=bytes(32), folder=folder / "spill")


AGE = 'kind = "numeric"\nedges = [0, 50, 100]\ndetail = 2'


def step_of(
    cell: Cell | Decimal, type_: pa.DataType, folder: Path, variable: str = AGE, **values: str
) -> int | None:
    """Return one number in steps, None where it is missing."""
    study = number_study(variable)
    with opened(pa.array([cell], type_), study, folder, **values) as source:
        squared, total, square = source.moments(study.families[0]).tolist()
    if squared == 0:
        assert (total, square) == (0, 0)
        return None
    assert (squared, square) == (STEPS**2, (total // STEPS) ** 2)
    return int(total // STEPS)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (0.0, -1024),
        (50.0, 0),
        (100.0, 1024),
        (-1.0, -1024),
        (1e308, 1024),
        (INF, 1024),
        (-INF, -1024),
        (NAN, None),
        (None, None),
        (25.0, -512),
        (50 + 100 * 0.5 / 2048, 1),  # half a step is rounded away from zero
        (50 - 100 * 0.5 / 2048, -1),
        (50 + 100 * 0.499 / 2048, 0),
        (50 + 100 * 1.5 / 2048, 2),
    ],
)
def test_a_number_is_clamped_and_rounded_to_steps(
    cell: Cell, expected: int | None, tmp_path: Path
) -> None:
    assert step_of(cell, pa.float64(), tmp_path) == expected


@pytest.mark.parametrize(
    ("cell", "type_", "expected"),
    [
        (75, pa.int8(), 512),
        (2**64 - 1, pa.uint64(), 1024),
        (-(2**63), pa.int64(), -1024),
        (75.0, pa.float32(), 512),
        (Decimal("75.00"), pa.decimal128(20, 2), 512),
        ("75", pa.string(), 512),
        (" 7.5e1", pa.string(), 512),
        ("inf", pa.string(), 1024),
        ("1e400", pa.string(), 1024),
        ("nan", pa.string(), None),
        ("many", pa.string(), None),
        ("", pa.string(), None),
        ("7,5", pa.string(), None),
        (True, pa.bool_(), None),
    ],
)
def test_numbers_are_read_from_columns_of_every_type(
    cell: Cell | Decimal, type_: pa.DataType, expected: int | None, tmp_path: Path
) -> None:
    assert step_of(cell, type_, tmp_path) == expected


def test_a_number_that_the_site_spells_as_a_bin_stands_in_its_middle(tmp_path: Path) -> None:
    assert step_of("low", pa.string(), tmp_path, low="[0, 50)") == -512
    assert step_of(999.0, pa.float64(), tmp_path, **{"999": "[50, 100]"}) == 512


def test_a_code_that_the_site_maps_to_missing_has_no_number(tmp_path: Path) -> None:
    variable = (
        'kind = "numeric"\nedges = [0, 50, 100]\ndetail = 2\nmissing = true\n'
        '[variables.gone]\nkind = "missingness"\nof = "x"'
    )
    study = number_study(variable)
    (family,) = (one for one in study.families if one.node == "x")
    with opened(pa.array([99.0, 25.0]), study, tmp_path, **{"99": "MISSING"}) as source:
        assert source.moments(family).tolist() == [1024**2, 1024 * -512, 512**2]
        assert source.histograms(["x"])["x"].tolist() == [0, 1, 0, 0]
        assert source.counts([("gone",)])[("gone",)].tolist() == [1, 1]


def histogram_of(array: pa.Array, folder: Path, variable: str = AGE, **values: str) -> list[int]:
    with opened(array, number_study(variable), folder, **values) as source:
        return [int(count) for count in source.histograms(["x"])["x"]]


def test_parts_are_closed_on_the_left_and_the_last_one_on_both_sides(tmp_path: Path) -> None:
    cells = [0.0, 24.9, 25.0, 49.9, 50.0, 75.0, 100.0]
    assert histogram_of(pa.array(cells), tmp_path) == [2, 2, 1, 2]


def test_numbers_outside_the_edges_are_in_the_outer_parts(tmp_path: Path) -> None:
    cells = [-1.0, -INF, INF, 1e308, NAN, None]
    assert histogram_of(pa.array(cells), tmp_path) == [2, 0, 0, 2]


def test_parts_may_be_spaced_by_logarithm(tmp_path: Path) -> None:
    variable = 'kind = "numeric"\nedges = [0.01, 1, 100]\ndetail = 2\nspacing = "log"'
    cells = [0.001, 0.099, 0.1, 1.0, 9.99, 10.0]
    assert histogram_of(pa.array(cells), tmp_path, variable) == [2, 1, 2, 1]


def test_parts_of_single_precision_agree_with_its_bins(tmp_path: Path) -> None:
    variable = 'kind = "numeric"\nedges = [0, 0.7, 2.5]\ndetail = 2'
    array = pa.array([0.7, 0.69999], pa.float32())
    assert histogram_of(array, tmp_path, variable) == [0, 1, 1, 0]


def test_a_number_spelled_as_a_bin_is_in_its_middle_part(tmp_path: Path) -> None:
    variable = 'kind = "numeric"\nedges = [0, 30, 60]\ndetail = 3'
    assert histogram_of(pa.array(["low"]), tmp_path, variable, low="[0, 30)") == [0, 1, 0, 0, 0, 0]


def test_hundreds_of_parts_are_told_apart(tmp_path: Path) -> None:
    variable = f'kind = "numeric"\nedges = {list(range(41))}\ndetail = 16'
    cells = [number / 16 for number in range(640)]
    assert histogram_of(pa.array(cells), tmp_path, variable) == [1] * 640


def test_counts_are_binned_and_clamped(tmp_path: Path) -> None:
    study = number_study('kind = "count"\nedges = [0, 1, 2, 5]', "binned")
    cells = [0, 1, 2, 4, 5, 99, -3]
    with opened(pa.array(cells), study, tmp_path) as source:
        assert source.counts([("x",)])[("x",)].tolist() == [2, 1, 4]


def test_labels_of_counts_are_no_spellings_of_them(tmp_path: Path) -> None:
    study = number_study('kind = "count"\nedges = [0, 1, 2, 5]\nmissing = true', "binned")
    cells = ["1", "2-5", "0.0", "1.5", "MISSING"]
    with opened(pa.array(cells), study, tmp_path) as source:
        assert source.counts([("x",)])[("x",)].tolist() == [1, 2, 0, 2]


def test_a_check_says_how_many_counts_are_clamped_or_are_none(tmp_path: Path) -> None:
    study = number_study('kind = "count"\nedges = [0, 1, 2, 5]', "binned")
    with opened(pa.array(["1", "7", "two", None]), study, tmp_path) as source:
        (found,) = source.readiness().variables
    assert (found.clamped, found.unknown, found.missing, found.left_out) == (1, 1, 1, 2)


@pytest.mark.parametrize(
    ("edges", "cells", "type_"),
    [
        (
            "999999999999999.7, 999999999999999.9, 1000000000000000",
            [1e15, 1e15 - 0.125, 1e15 - 0.25, 1e15 - 0.375],
            pa.float64(),
        ),
        (
            "999999999999999.98, 999999999999999.99, 1000000000000000",
            [1e15, 1e15 + 0.125, 1e15 - 0.125],
            pa.float64(),
        ),
        ("1000000.01, 1000000.015, 1000000.02", [1e6, 1e6 + 0.0625, 1e6 + 1], pa.float32()),
        ("0.1, 0.2, 0.3", [0.1, 0.2, 0.3, 0.09999999], pa.float32()),
    ],
)
def test_no_rounding_takes_a_number_beyond_its_steps(
    edges: str, cells: list[float], type_: pa.DataType, tmp_path: Path
) -> None:
    for cell in cells:
        step = step_of(cell, type_, tmp_path, f'kind = "numeric"\nedges = [{edges}]')
        assert step is not None
        assert -STEPS <= step <= STEPS
