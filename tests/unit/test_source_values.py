"""What rules and indicators of missing values compute at a site."""

from itertools import pairwise
from pathlib import Path

import ibis
import pytest

from client.source.duckdb_source import DuckDBSource
from client.source.site_table import Mapping, SiteData
from client.source.values import Values
from protocol.errors import UsageError
from protocol.study.document import parse_study
from tests.support.tables_records import Records, records
from tests.support.tables_source import open_records

HEAD = """
format = "concause-study/1"
name = "rules"
title = "Rules upon rules"
author = "Tests"
expires = 2031-01-01
budget = { rho = 0.5 }
cohort = { n_min = 3, tolerated_colluders = 0, threshold = 3 }
trust = { aggregation = "masking" }
"""
STUDY = parse_study(
    HEAD
    + """
[variables]
age = { kind = "numeric", edges = [0, 50, 100] }
ward = { kind = "categorical", levels = ["north", "south"], other = true, missing = true }
ward_missing = { kind = "missingness", of = "ward" }
dose = { kind = "numeric", edges = [0, 5, 10] }
ratio = { kind = "numeric", edges = [0, 1, 2] }
group = { kind = "ordinal", levels = ["low", "high"] }
kept = { kind = "categorical", levels = ["north", "elsewhere"], missing = true }
visits = { kind = "count", edges = [0, 1, 3] }
flag = { kind = "boolean" }
y = { kind = "boolean" }

[mechanisms]
dose = { kind = "rule", value = "age / 10" }
ratio = { kind = "rule", value = "1 / (dose - 1)" }
group = { kind = "rule", value = "where(dose < 5, 'low', 'high')" }
kept = { kind = "rule", value = "where(ward == 'north', 'north', 'elsewhere')" }
visits = { kind = "rule", value = "floor(dose)" }
flag = { kind = "rule", value = "group == 'high'" }

[graph]
edges = [
    "age -> dose", "dose -> ratio", "dose -> group", "ward -> kept", "dose -> visits",
    "group -> flag", "flag -> y", "kept -> y", "dose -> y", "visits -> y", "ratio -> y",
]
"""
)


def opened(table: Records, folder: Path, unit: str | None = None) -> DuckDBSource:
    return open_records(table, folder, study=STUDY, mapping=Mapping(), unit=unit)


def people(ages: list[float | None], wards: list[str | None]) -> Records:
    return records(age=("double", ages), ward=("string", wards), y=("int64", [0] * len(ages)))


THREE = people([20.0, 70.0, 1e9], ["north", "cellar", None])


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("dose", [1, 2]),  # 2, 7, 10: of the clamped age
        ("group", [1, 2]),
        ("flag", [1, 2]),
        ("visits", [0, 3]),  # clamped to 3
        ("kept", [1, 1, 1]),  # missing where the ward is
        ("ratio", [2, 1]),  # 1 is in the second bin
        ("ward_missing", [2, 1]),
    ],
)
def test_what_rules_compute_is_counted_as_if_it_were_a_column(
    variable: str, expected: list[int], tmp_path: Path
) -> None:
    with opened(THREE, tmp_path) as source:
        assert source.counts([(variable,)])[(variable,)].tolist() == expected


def test_a_rule_without_a_result_leaves_the_row_out_and_is_hinted_at(tmp_path: Path) -> None:
    with opened(people([10.0, 20.0], ["north", "north"]), tmp_path) as source:  # 1 / (1 - 1)
        assert source.counts([("y",), ()])[("y",)].tolist() == [1, 0]
        found = source.readiness()
    assert "The rule of ratio has no result in 1 row(s)" in "\n".join(found.hints)
    ratio = next(one for one in found.variables if one.variable == "ratio")
    assert (ratio.column, ratio.type, ratio.left_out) == ("", "computed", 1)


def test_results_of_a_rule_outside_the_edges_are_counted_and_hinted_at(tmp_path: Path) -> None:
    with opened(THREE, tmp_path) as source:
        found = source.readiness()
    clamped = {one.variable: one.clamped for one in found.variables}
    assert clamped == dict.fromkeys(clamped, 0) | {"age": 1, "visits": 2}
    assert "The rule of visits gives a number outside the study's edges in 2 row(s)" in "\n".join(
        found.hints
    )


def test_computed_variables_need_no_column_and_others_are_named(tmp_path: Path) -> None:
    table = records(age=("double", [1.0]), y=("int64", [0]))
    with opened(table, tmp_path) as source:
        with pytest.raises(UsageError) as refused:
            source.counts([()])
        found = source.readiness()
    assert "found none for ward." in refused.value.cause
    assert not found.ready
    assert [one.variable for one in found.variables if one.type is None] == ["ward"]


@pytest.mark.parametrize(
    "kind", ['kind = "categorical", levels = ["x", "y", "z"], missing = true', 'kind = "boolean"']
)
def test_rules_that_read_rules_do_not_multiply_the_query(kind: str) -> None:
    names = [f"v{at}" for at in range(9)]
    steps = list(pairwise(names))
    rules = "\n".join(f'{b} = {{ kind = "rule", value = "{a}" }}' for a, b in steps)
    study = parse_study(
        f"""{HEAD}
[variables]
{chr(10).join(f"{name} = {{ {kind} }}" for name in names)}
[mechanisms]
{rules}
[graph]
edges = [{", ".join(f'"{a} -> {b}"' for a, b in steps)}]
"""
    )
    values = Values(ibis.table({"v0": "string"}, name="records"), Mapping(), study)
    length = {name: len(str(ibis.to_sql(values.code(name), dialect="duckdb"))) for name in names}
    assert length["v8"] < 4 * length["v4"]  # sixteen times as long, if each step doubled it


def test_a_column_of_the_name_of_a_rule_is_not_read(tmp_path: Path) -> None:
    columns = {**THREE.columns, **records(dose=("double", [0.0, 0.0, 0.0])).columns}
    with opened(Records(columns), tmp_path) as source:
        assert source.counts([("dose",)])[("dose",)].tolist() == [1, 2]


@pytest.mark.parametrize("name", ["dose", "ward_missing"])
def test_a_mapping_of_what_is_computed_is_refused(name: str, tmp_path: Path) -> None:
    THREE.write_parquet(tmp_path / "x.parquet")
    data = SiteData(path=str(tmp_path / "x.parquet"), one_row_per_unit=True)
    mapping = Mapping.model_validate({name: {"column": "x"}})
    with pytest.raises(UsageError) as refused:
        DuckDBSource(data, mapping, STUDY, bound_key=bytes(32), folder=tmp_path / "spill")
    assert refused.value.code == "mapping-of-computed-variable"
