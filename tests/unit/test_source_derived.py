"""Derived columns, conversions, cuts, dates and NDJSON: what a mapping may do, and may not."""

import json
from collections import abc
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from client.source.derived import (
    MAX_CHARACTERS,
    _checked,
    all_derived,
    columns_of,
    derived_sql,
)
from client.source.duckdb_source import DuckDBSource
from client.source.site_table import Mapping, SiteData, VariableMapping
from protocol.errors import UsageError
from protocol.study.study import Study
from tests.support.databases import postgres_source
from tests.support.tables_records import Records, records
from tests.support.tables_source import single_study
from tests.support.tables_study import KEY

MappingOf = abc.Mapping[str, object]
COLUMNS = ("weight", "height", "ward", "Birth date", "n")
PEOPLE = records(
    person=("int64", [1, 2, 3, 4]),
    weight=("double", [70.0, 220.0, None, float("nan")]),
    height=("double", [1.75, 2.0, 1.6, 1.5]),
    seen=("string", ["2020-01-01", "2020-06-30", "2021-01-01", "never"]),
)


@pytest.mark.parametrize(
    "text",
    [
        "weight / (height * height)",
        "CASE WHEN weight > 100 THEN 'big' ELSE 'small' END",
        "try_cast(n AS double) * 2.5",
        "date_diff('year', \"Birth date\", DATE '2020-01-01')",
        "lower(trim(ward)) || 'x'",
        "weight IN (1, 2) AND NOT ward LIKE 'a%'",
        "coalesce(weight, 0) BETWEEN 1 AND 2",
        "regexp_matches(ward, '^[a-z]+$')",
        "replace(ward, 'a', 'b') || replace(ward, 'b', 'a')",
        "cast(weight AS decimal(10, 2))",
        "cast(ward AS timestamp) + INTERVAL 3 DAYS",
        'extract(year FROM "Birth date")',
    ],
)
def test_expression_over_one_row_is_allowed(text: str) -> None:
    assert columns_of("d", text, COLUMNS) <= set(COLUMNS)
    assert derived_sql("d", text, COLUMNS)


# Words and types whose text becomes more than a word or type once it is written out.
INJECTED = [
    'extract("year from current_date)) as y, 5 as z from site_files --" from "Birth date")',
    'cast(weight as "oid)) as y, random()*50 as zz from site_files --")',
    'cast(weight as decimal("10))) as y --",2))',
    'cast(weight as foo."x)) as y --")',
    'weight::"x) (select"',
    'weight::"x) + (random()"',
]
FORBIDDEN = [
    "(SELECT max(salary) FROM staff)",
    "weight + (SELECT 1)",
    "weight IN (SELECT id FROM other)",
    "EXISTS (SELECT 1)",
    "other.weight",
    "main.other.weight",
    "read_text('/etc/passwd')",
    "glob('*')",
    "getenv('HOME')",
    "current_setting('memory_limit')",
    "query('SELECT 1')",
    "nextval('s')",
    "sum(weight)",
    "row_number() OVER ()",
    "lag(weight) OVER (ORDER BY n)",
    "weight; DROP TABLE records",
    "SELECT weight",
    "*",
    "COLUMNS('w.*')",
    "weight, height",
    "[x FOR x IN weight]",
    "list_sum([1, 2])",
    "?",
    "$1",
    "no_such_column",
    "WEIGHT",
    "weight +",
    "",
    'extract("year from current_date)) as y, 5 as z from site_files --" from "Birth date")',
    'cast(weight as "oid)) as y, random()*50 as zz from site_files --")',
    'cast(weight as decimal("10))) as y --",2))',
    'cast(weight as foo."x)) as y --")',
    'weight::"x) (select"',
    "cast(weight as decimal(n, 2))",
    "cast(weight as struct(a int))",
    "cast(weight as int[])",
    "cast(weight as json)",
    'extract(current_user from "Birth date")',
    'INTERVAL 1 fortnight + "Birth date"',
    "replace(replace(ward, 'a', 'aaaa'), 'a', 'aaaa')",
    "regexp_replace(concat(ward, replace(ward, 'a', 'aaaa')), 'a', 'aaaa')",
    "(" * 5000 + "weight" + ")" * 4999,
    "weight + " * MAX_CHARACTERS + "1",
]


@pytest.mark.parametrize("text", FORBIDDEN, ids=range(len(FORBIDDEN)))
def test_expression_that_does_more_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        derived_sql("d", text, COLUMNS)
    assert refused.value.code == "derived-not-allowed"


@pytest.mark.parametrize("text", INJECTED)
def test_what_is_written_out_is_checked_once_more(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the list of words and types, these pass the first time and not the second."""
    monkeypatch.setattr("client.source.derived._check_own_text", lambda *_: None)
    assert _checked("d", text, COLUMNS) is not None
    with pytest.raises(UsageError) as refused:
        derived_sql("d", text, COLUMNS)
    assert refused.value.code == "derived-not-allowed"


def test_derived_column_has_a_name_of_its_own() -> None:
    for names in ({"weight": "height"}, {"Weight": "height"}, {"z": "height", "Z": "weight"}):
        with pytest.raises(UsageError) as refused:
            all_derived(names, COLUMNS)
        assert refused.value.code == "derived-name-taken"


def opened(
    table: Records, study: Study, folder: Path, mapping: MappingOf, **settings: object
) -> DuckDBSource:
    path = table.write_parquet(folder / "records.parquet")
    data = SiteData.model_validate({"path": str(path), "unit_column": "person", **settings})
    found = Mapping.model_validate({"x": mapping})
    return DuckDBSource(data, found, study, bound_key=KEY, folder=folder / "spill")


def counted(
    table: Records, variable: str, folder: Path, mapping: MappingOf, **settings: object
) -> list[int]:
    with opened(table, single_study(variable), folder, mapping, **settings) as source:
        counts: list[int] = source.counts([("x",)])[("x",)].tolist()
        return counts


YEAR_2020 = {"date_column": "seen", "from_date": "2020-01-01", "until_date": "2020-12-31"}
NUMBER = 'kind = "numeric"\nedges = [0, 25, 100]\nmissing = true'


def test_derived_column_is_counted(tmp_path: Path) -> None:
    derived = {"bmi": "weight / (height * height)"}
    assert counted(PEOPLE, NUMBER, tmp_path, {"column": "bmi"}, derived=derived) == [1, 1, 2]


@pytest.mark.parametrize(
    "text",
    ["CAST(seen AS INTEGER)", "CAST(weight * 1e300 AS INTEGER)", "person // 0", "ln(-person)"],
)
def test_value_that_cannot_be_computed_is_missing_and_stops_nothing(
    text: str, tmp_path: Path
) -> None:
    assert counted(PEOPLE, NUMBER, tmp_path, {"column": "d"}, derived={"d": text}) == [0, 0, 4]


def test_numbers_are_converted_to_the_studys_unit(tmp_path: Path) -> None:
    pounds = {"column": "weight", "scale": Decimal("0.45359237")}
    edges = 'kind = "numeric"\nedges = [0, 50, 100]\nmissing = true'
    assert counted(PEOPLE, edges, tmp_path, pounds) == [1, 1, 2]
    celsius = {"column": "weight", "scale": Decimal("0.5"), "offset": Decimal(-10)}
    assert counted(PEOPLE, edges, tmp_path, celsius) == [1, 1, 2]


def test_numbers_are_cut_into_labels(tmp_path: Path) -> None:
    cut = {"column": "weight", "cuts": [70, 100], "labels": ["low", "it's", "high"]}
    levels = 'kind = "ordinal"\nlevels = ["low", "it\'s", "high"]\nmissing = true'
    assert counted(PEOPLE, levels, tmp_path, cut) == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cuts": [1]}, "one more than cuts"),
        ({"labels": ["a", "b"]}, "one more than cuts"),
        ({"cuts": [2, 1], "labels": ["a", "b", "c"]}, "cuts must rise"),
        ({"cuts": [1], "labels": ["a", "b"], "scale": 2}, "not both"),
        ({"time": "t", "scale": 2}, "single column"),
    ],
)
def test_conversion_that_makes_no_sense_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        VariableMapping.model_validate(given)


def test_rows_outside_the_dates_are_not_seen(tmp_path: Path) -> None:
    window: dict[str, object] = {
        "date_column": "seen",
        "from_date": "2020-01-01",
        "until_date": "2020-12-31",
    }
    assert counted(PEOPLE, NUMBER, tmp_path, {"column": "height"}, **window) == [2, 0, 0]
    with pytest.raises(UsageError) as refused:
        counted(PEOPLE, NUMBER, tmp_path, {}, date_column="when", from_date="2020-01-01")
    assert refused.value.code == "date-column-missing"


@pytest.mark.parametrize(
    ("setting", "counts"),
    [
        ({"derived": {"a": "b"}}, True),
        ({"date_column": "seen", "from_date": "2020-01-01"}, True),
        ({"unit_column": "person"}, True),
        ({"path": "moved.csv"}, False),
        ({"threads": 8}, False),
    ],
)
def test_what_decides_what_a_record_is_is_part_of_an_approval(
    setting: dict[str, object], *, counts: bool
) -> None:
    base = SiteData(path="x.csv")
    other = SiteData.model_validate({"path": "x.csv", **setting})
    assert (base.meaning != other.meaning) is counts


def lines(path: Path, rows: list[object]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def ndjson(path: Path, variable: str, column: str) -> list[int]:
    data = SiteData(path=str(path), unit_column="person")
    mapping, study = Mapping.model_validate({"x": {"column": column}}), single_study(variable)
    with DuckDBSource(data, mapping, study, bound_key=KEY, folder=path.parent / "s") as source:
        found: list[int] = source.counts([("x",)])[("x",)].tolist()
        return found


def test_objects_of_ndjson_are_records(tmp_path: Path) -> None:
    rows: list[object] = [
        {"person": 1, "a/b~c": True},
        {"person": "2", "a/b~c": "false"},
        {"person": 3, "a/b~c": None},
        {"person": 4, "other": {"a/b~c": 1}},
    ]
    path = lines(tmp_path / "x.ndjson", rows)
    assert ndjson(path, 'kind = "boolean"\nmissing = true', "a/b~c") == [1, 1, 2]


@pytest.mark.parametrize(
    "more",
    [
        {"person": 4, "x": True, "X": False},
        {"person": 4, "x": True, "Person": 1},
        {"person": 4, "x": True, "": 1},
        {"person": 4, "x": True, "y": 1},
    ],
)
def test_one_object_of_ndjson_changes_nothing_for_others(
    more: dict[str, object], tmp_path: Path
) -> None:
    """Which fields are read is the study's and the site's matter, never that of an object."""
    rows: list[object] = [{"person": number, "x": number == 1} for number in range(1, 4)]
    variable = 'kind = "boolean"\nmissing = true'
    assert ndjson(lines(tmp_path / "a.ndjson", rows), variable, "x") == [2, 1, 0]
    assert ndjson(lines(tmp_path / "b.ndjson", [*rows, more]), variable, "x") == [2, 2, 0]


def test_a_field_that_no_object_has_is_missing_in_all(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.ndjson", [{"person": 1}, {"person": 2}])
    variable = 'kind = "boolean"\nmissing = true'
    assert ndjson(path, variable, "x") == [0, 0, 2]
    added = lines(tmp_path / "b.ndjson", [{"person": 1}, {"person": 2, "x": 1}])
    assert ndjson(added, variable, "x") == [0, 1, 1]


@pytest.mark.parametrize(
    "text", ['{"person": 1}\n[1, 2]', '{"person": 1}\n7', '{"person": 1', "{}x"]
)
def test_ndjson_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        ndjson(path, 'kind = "boolean"\nmissing = true', "person")
    assert refused.value.code == "data-not-readable"


def test_dates_and_derived_columns_work_over_a_database_too(tmp_path: Path) -> None:
    window: dict[str, object] = {
        "date_column": "seen",
        "from_date": "2020-01-01",
        "until_date": "2020-12-31",
    }
    mapping = Mapping.model_validate({"x": {"column": "bmi"}})
    derived = {"bmi": "weight / (height * height)"}
    study = single_study(NUMBER)
    source = postgres_source(PEOPLE, study, "person", tmp_path, mapping, derived=derived, **window)
    with source:
        assert source.counts([("x",)])[("x",)].tolist() == [1, 1, 0]
        assert np.array_equal(source.counts([()])[()], 2)


def test_text_that_is_computed_with_is_named_with_the_cast_to_write(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("person,weight\n1,70\n2,x\n")
    study = single_study('kind = "boolean"\nmissing = true')
    mapping = Mapping.model_validate({"x": {"column": "heavy"}})

    def open_with(expression: str) -> DuckDBSource:
        data = SiteData(path=str(path), unit_column="person", derived={"heavy": expression})
        return DuckDBSource(data, mapping, study, bound_key=KEY, folder=tmp_path / "s")

    with pytest.raises(UsageError) as refused:
        open_with("weight * 2 > 100")
    assert refused.value.code == "derived-type"
    assert "heavy" in refused.value.cause
    assert "CAST(column AS DOUBLE)" in refused.value.remedy
    with open_with("CAST(weight AS DOUBLE) * 2 > 100") as source:
        assert source.counts([("x",)])[("x",)].tolist() == [0, 1, 1]


def test_a_column_that_is_not_there_is_named_with_one_like_it() -> None:
    with pytest.raises(UsageError) as refused:
        derived_sql("d", "wieght > 1", COLUMNS)
    assert "'wieght'" in refused.value.cause
    assert "'weight'" in refused.value.remedy
