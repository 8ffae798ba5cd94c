"""What `site check` finds, and the hint for each finding."""

import json
from pathlib import Path

import pytest

from client.source.readiness import Readiness, VariableReadiness
from client.source.site_table import Mapping
from tests.support.tables_records import Cell, Records, records
from tests.support.tables_source import GOOD, open_records, single_study
from tests.support.tables_study import UNIT

MESSY = records(
    patient=("int64", [1, 1, 1, 2, None, 3, 3, 3]),
    smoker=("string", ["1", "yes", "yes", "no", "0", "1", None, "1"]),
    ward_name=("string", ["N", "attic", "attic", "cellar", "?", None, "north", "north"]),
    grade=("int64", [1, 2, 9, 1, 1, None, 1, 1]),
    age=("string", ["10", "-1", "70", "old", "999", None, "20", "nan"]),
)


def check(table: Records, folder: Path, unit: str | None = UNIT) -> Readiness:
    with open_records(table, folder, unit=unit) as source:
        return source.readiness()


def variable(found: Readiness, name: str) -> VariableReadiness:
    return next(one for one in found.variables if one.variable == name)


def test_values_are_sorted_into_missing_unknown_and_clamped(tmp_path: Path) -> None:
    found = check(MESSY, tmp_path)
    ward, age = variable(found, "ward"), variable(found, "age")
    assert (ward.missing, ward.unknown, ward.unknown_levels, ward.left_out) == (2, 3, 2, 0)
    assert ward.examples == ("attic", "cellar")
    assert (age.missing, age.unknown, age.clamped, age.left_out) == (3, 1, 2, 0)
    assert age.examples == ("old",)
    assert (age.missing_share, age.clamped_share) == (3 / 8, 2 / 8)


def test_rows_without_a_code_are_counted_where_they_lack_it(tmp_path: Path) -> None:
    found = check(MESSY, tmp_path)
    assert variable(found, "grade").left_out == 2  # an undeclared level, and no value
    assert variable(found, "smoker").left_out == 3  # words that are no boolean


def test_records_read_as_one_column_hint_at_the_delimiter(tmp_path: Path) -> None:
    table = records(**{"patient;smoker;age": ("string", ["1;yes;20"])})
    hints = check(table, tmp_path).hints
    assert hints[0] == (
        "The records have a single column, with ';' in its name: write it as delimiter in [data]."
    )


def test_rows_units_and_bounds_add_up(tmp_path: Path) -> None:
    rows = check(MESSY, tmp_path).rows
    assert (rows.rows, rows.units, rows.without_unit, rows.left_out) == (8, 3, 1, 4)
    assert (rows.over_bound, rows.counted) == (1, 2)


def test_counted_is_what_a_measurement_counts(tmp_path: Path) -> None:
    with open_records(MESSY, tmp_path) as source:
        assert source.readiness().rows.counted == source.counts([()])[()]


def test_an_attested_site_is_not_asked_for_units(tmp_path: Path) -> None:
    rows = check(MESSY, tmp_path, unit=None).rows
    assert (rows.units, rows.without_unit, rows.over_bound, rows.counted) == (None, 0, 0, 4)


def test_every_finding_has_its_hint(tmp_path: Path) -> None:
    hints = "\n".join(check(MESSY, tmp_path).hints)
    assert "1 row(s) lack a unit and are left out." in hints
    assert "4 row(s) are left out" in hints
    assert "1 row(s) are above the study's bound per unit" in hints
    assert (
        "ward has 2 undeclared value(s) in 3 row(s), counted as OTHER, such as 'attic', 'cellar': "
        "give each a label in [mapping.ward.values]." in hints
    )
    assert "smoker has 2 undeclared value(s) in 3 row(s), left out, such as 'yes', 'no'" in hints
    assert "age has 1 value(s) that are no numbers in 1 row(s), counted as MISSING" in hints
    assert "age is outside the study's edges in 2 row(s)" in hints
    assert "grade has no value in 1 row(s), which are left out" in hints
    assert "ward has no value" not in hints  # MISSING is declared


@pytest.mark.parametrize(
    ("type_", "cells", "fractional"),
    [
        ("double", [0.0, 1.0, 2.5, -0.5, 99.5, None, float("nan"), float("inf")], 1),
        ("string", ["0", "1.0", "2.5", "0.1", "few", ""], 2),  # "few" is mapped to 2-4, "" is none
        ("int64", [0, 1, 2], 0),
    ],
)
def test_counts_that_are_not_whole_have_a_hint_of_their_own(
    type_: str, cells: list[Cell], fractional: int, tmp_path: Path
) -> None:
    study = single_study('kind = "count"\nedges = [0, 1, 2, 5, 9]\nmissing = true')
    mapping = Mapping.model_validate({"x": {"values": {"few": "2-4"}}})
    table = records(x=(type_, cells))
    with open_records(table, tmp_path, study=study, mapping=mapping, unit=None) as source:
        found = source.readiness()
    assert variable(found, "x").fractional == fractional
    hint = f"x is no whole number in {fractional} row(s)"
    assert (hint in "\n".join(found.hints)) == bool(fractional)


def test_a_site_without_a_finding_has_no_hint(tmp_path: Path) -> None:
    found = check(GOOD.reordered([0, 1, 2]), tmp_path)
    assert found.hints == ()
    assert found.ready


def test_a_missing_column_is_named_with_the_likeliest_one(tmp_path: Path) -> None:
    columns = {"Grades": GOOD.columns["grade"]} | dict(GOOD.columns)
    del columns["grade"]
    found = check(Records(columns), tmp_path)
    assert not found.ready
    assert variable(found, "grade").type is None
    assert "grade has no column 'grade': write column in [mapping.grade] = 'Grades'" in "\n".join(
        found.hints
    )
    assert variable(found, "age").clamped == 1  # the others are looked at all the same


def test_a_missing_column_that_nothing_is_like_is_named_alone(tmp_path: Path) -> None:
    study = single_study('kind = "boolean"')
    table = records(patient=("int64", [1]), zzz=("int64", [1]))
    with open_records(table, tmp_path, study=study, mapping=Mapping()) as source:
        assert source.readiness().hints == ("x has no column 'x': write column in [mapping.x].",)


def test_a_column_of_another_type_is_named(tmp_path: Path) -> None:
    study = single_study('kind = "boolean"')
    table = records(patient=("int64", [1]), x=("binary", [b"1"]))
    with open_records(table, tmp_path, study=study, mapping=Mapping()) as source:
        found = source.readiness()
    assert not found.ready
    assert "x cannot be read from a column of type binary" in found.hints[0]


def test_a_missing_unit_column_is_named(tmp_path: Path) -> None:
    found = check(GOOD, tmp_path, unit="pid")
    assert not found.ready
    assert "unit_column" in found.hints[0]


def test_an_empty_table_is_not_ready(tmp_path: Path) -> None:
    found = check(GOOD.reordered([]), tmp_path)
    assert not found.ready
    assert found.hints == ("The files hold no rows: check `path` in [data].",)
    assert variable(found, "age").missing_share == 0.0


def test_the_report_is_json(tmp_path: Path) -> None:
    document = json.loads(json.dumps(check(MESSY, tmp_path).to_json()))
    assert document["counted"] == 2
    assert document["variables"][0]["variable"] == "age"
    assert document["variables"][0]["found"] is True


def test_spellings_of_the_data_are_in_no_repr(tmp_path: Path) -> None:
    assert "attic" not in repr(check(MESSY, tmp_path))
