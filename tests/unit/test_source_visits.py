"""Longitudinal records: which rows are a unit's visits, and which pairs are its transitions."""

from pathlib import Path
from typing import Any

import pytest

from client.source.duckdb_source import DuckDBSource
from client.source.row_bound import row_bound
from client.source.site_table import Mapping, SiteData
from protocol.errors import UsageError
from protocol.study.document import parse_study
from protocol.study.study import Study
from tests.support.tables_records import Cell, Records, records
from tests.support.tables_source import single_study
from tests.support.tables_study import KEY

VISITS = parse_study(
    """
format = "concause-study/1"
name = "visits"
title = "Two columns over time"
author = "Tests"
expires = 2031-01-01
budget = { rho = 0.5 }
cohort = { n_min = 3, tolerated_colluders = 0, threshold = 3 }
trust = { aggregation = "masking" }
time = { visits = 4, static = ["sex"] }
graph = { edges = ["x[t-1] -> x[t]", "sex -> x[t]"] }

[variables]
sex = { kind = "boolean" }
x = { kind = "boolean" }
"""
)
UNIT = 6  # lcm(1, 2, 3): what all transitions of a unit weigh together


def opened(table: Records, folder: Path, study: Study = VISITS, **data: Any) -> DuckDBSource:
    settings = {"unit_column": "id", "visit_column": "visit", **data}
    file = table.write_parquet(folder / "x.parquet")
    site = SiteData(path=str(file), **settings)
    return DuckDBSource(site, Mapping(), study, bound_key=KEY, folder=folder / "spill")


def visits(*rows: tuple[Cell, Cell, int | None], sex: list[int] | None = None) -> Records:
    """Return records from (unit, visit, x)."""
    ids, places, values = zip(*rows, strict=True) if rows else ((), (), ())
    type_ = {str: "string", float: "double"}.get(type(next(iter(places), 0)), "int64")
    return records(
        id=("string", [None if one is None else str(one) for one in ids]),
        visit=(type_, places),
        x=("int64", values),
        sex=("int64", sex or [0] * len(rows)),
    )


def transitions(table: Records, folder: Path) -> list[list[int]]:
    """Return the weights of (before, now)."""
    clique = ("x[t-1]", "x[t]")
    with opened(table, folder) as source:
        found: list[list[int]] = source.counts([clique], "transitions")[clique].tolist()
    return found


def test_units_are_rows_of_the_first_visit(tmp_path: Path) -> None:
    with opened(visits((1, 0, 1), (1, 1, 0), (2, 1, 1), (3, 0, 0)), tmp_path) as source:
        assert source.counts([("x[0]",), ()])[("x[0]",)].tolist() == [1, 1]
        assert source.counts([()])[()] == 2


def test_a_unit_weighs_the_same_however_many_transitions_it_has(tmp_path: Path) -> None:
    assert transitions(visits((1, 0, 0), (1, 1, 1)), tmp_path) == [[0, UNIT], [0, 0]]
    four = visits((1, 0, 0), (1, 1, 1), (1, 2, 1), (1, 3, 0))
    assert transitions(four, tmp_path) == [[0, UNIT // 3], [UNIT // 3, UNIT // 3]]


def test_a_visit_that_was_missed_breaks_the_chain(tmp_path: Path) -> None:
    assert transitions(visits((1, 0, 0), (1, 2, 1)), tmp_path) == [[0, 0], [0, 0]]
    gap = visits((1, 0, 0), (1, 2, 1), (1, 3, 1))
    assert transitions(gap, tmp_path) == [[0, 0], [0, UNIT]]


def test_a_visit_without_a_code_breaks_the_chain(tmp_path: Path) -> None:
    table = visits((1, 0, 0), (1, 1, None), (1, 2, 1), (1, 3, 1))
    assert transitions(table, tmp_path) == [[0, 0], [0, UNIT]]


def test_visits_of_different_units_are_no_transition(tmp_path: Path) -> None:
    assert transitions(visits((1, 0, 0), (2, 1, 1)), tmp_path) == [[0, 0], [0, 0]]


def test_static_variables_are_read_at_the_later_visit(tmp_path: Path) -> None:
    table = visits((1, 0, 0), (1, 1, 0), sex=[1, 0])
    with opened(table, tmp_path) as source:
        assert source.counts([("sex",)], "transitions")[("sex",)].tolist() == [UNIT, 0]
        assert source.counts([("sex",)])[("sex",)].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("first", "second"),
    [(0, 1), (0.0, 1.0), ("0", "1"), ("0.0", " 1")],
)
def test_visits_are_read_from_numbers_and_text(first: Cell, second: Cell, tmp_path: Path) -> None:
    assert transitions(visits((1, first, 0), (1, second, 1)), tmp_path) == [[0, UNIT], [0, 0]]


@pytest.mark.parametrize(
    "visit", [-1, 4, 2**62, None, 0.5, float("nan"), float("inf"), "first", "", "4"]
)
def test_rows_outside_the_studys_visits_are_left_out(visit: Cell, tmp_path: Path) -> None:
    zeros: dict[type, Cell] = {str: "0", float: 0.0}
    first = zeros.get(type(visit), 0)
    table = visits((1, first, 1), (1, visit, 0), (2, visit, 0))
    with opened(table, tmp_path) as source:
        assert source.counts([()])[()] == 1
        assert source.counts([()], "transitions")[()] == 0
        found = source.readiness()
    assert (found.rows.without_visit, found.rows.counted, found.rows.first_visits) == (2, 1, 1)
    assert "2 row(s) are at none of the study's visits" in "\n".join(found.hints)


def test_of_several_rows_at_a_visit_one_counts_wherever_it_stands(tmp_path: Path) -> None:
    rows = [(1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1), (2, 0, 1), (2, 1, 1)]
    found = transitions(visits(*rows), tmp_path)
    assert sum(map(sum, found)) == 2 * UNIT
    assert transitions(visits(*rows[::-1]), tmp_path) == found
    with opened(visits(*rows), tmp_path) as source:
        readiness = source.readiness()
    assert (readiness.rows.units_over_bound, readiness.rows.over_bound) == (1, 2)
    assert "1 unit(s) have several rows at one visit" in "\n".join(readiness.hints)


def test_rows_without_a_unit_are_left_out(tmp_path: Path) -> None:
    table = visits((None, 0, 0), (None, 1, 1), (" ", 0, 0), (1, 0, 1))
    with opened(table, tmp_path) as source:
        assert source.counts([()])[()] == 1
        assert source.readiness().rows.without_unit == 3


def test_a_site_without_rows_gives_zeros(tmp_path: Path) -> None:
    assert transitions(visits(), tmp_path) == [[0, 0], [0, 0]]


def test_a_check_counts_visits_and_transitions(tmp_path: Path) -> None:
    table = visits((1, 0, 0), (1, 1, 1), (1, 2, 1), (2, 0, 1))
    with opened(table, tmp_path) as source:
        found = source.readiness()
    rows = found.rows
    assert (rows.counted, rows.first_visits, rows.transitions) == (4, 2, 2)
    assert found.hints == ()
    assert found.to_json()["transitions"] == 2


def test_a_check_says_when_visits_are_not_numbered_from_zero(tmp_path: Path) -> None:
    with opened(visits((1, 1, 0), (2, 3, 1)), tmp_path) as source:
        hints = "\n".join(source.readiness().hints)
    assert "No row that counts is at visit 0" in hints
    assert "No unit has two successive visits" in hints


@pytest.mark.parametrize(
    "settings",
    [
        {"unit_column": "id"},
        {"visit_column": "visit"},
        {"one_row_per_unit": True, "visit_column": "visit"},
        {"one_row_per_unit": True, "visit_column": "visit", "unit_column": "id"},
    ],
)
def test_units_and_visits_have_to_be_named(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refused:
        row_bound(SiteData(path="-", **settings), VISITS, KEY)
    assert refused.value.code == "visit-columns-needed"


def test_a_visit_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with opened(visits((1, 0, 0)), tmp_path, visit_column="Visit") as source:
        with pytest.raises(UsageError) as refused:
            source.counts([()])
        assert refused.value.code == "visit-column-missing"
        assert not source.readiness().ready


def test_a_visit_column_of_another_type_is_refused(tmp_path: Path) -> None:
    columns = {**visits((1, 0, 0)).columns, **records(visit=("binary", [b"0"])).columns}
    with opened(Records(columns), tmp_path) as source:
        with pytest.raises(UsageError) as refused:
            source.counts([()])
        assert refused.value.code == "visit-column-type"


def test_a_study_without_visits_does_not_look_at_the_visit_column() -> None:
    data = SiteData(path="-", unit_column="id", visit_column="visit")
    bound = row_bound(data, single_study('kind = "boolean"', rows=2), KEY)
    assert (bound.visit_column, bound.max_rows) == (None, 2)
