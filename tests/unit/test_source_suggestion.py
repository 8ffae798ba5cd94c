"""A first mapping from names, types and spellings."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from client.source.duckdb_source import DuckDBSource
from client.source.site_table import Mapping, SiteData
from client.source.suggestion import Column, suggest
from protocol.study.document import parse_study
from protocol.study.study import Study
from tests.support.databases import postgres_source
from tests.support.tables_records import records
from tests.support.tables_study import KEY

STUDY = """
format = "concause-study/1"
name = "one"
title = "T"
author = "Tests"
expires = 2031-01-01
budget = { epsilon = 1, delta = 1e-6 }
cohort = { n_min = 3, tolerated_colluders = 0, threshold = 3 }
trust = { aggregation = "masking" }
graph = { edges = [] }

[variables.smoker]
kind = "boolean"

[variables.sex]
kind = "categorical"
levels = ["female", "male"]

[variables.age]
kind = "numeric"
edges = [0, 50, 100]

[variables.death]
kind = "survival"
edges = [0, 10, 20]
"""


@pytest.fixture
def study() -> Study:
    return parse_study(STUDY)


def test_columns_as_in_the_study_need_no_mapping(study: Study) -> None:
    names = ("smoker", "sex", "age", "death_time", "death_event")
    found = suggest(study, [Column(name, "int64") for name in names])
    assert (found.mapping, found.open) == ({}, ())


def test_names_that_are_alike_are_proposed(study: Study) -> None:
    columns = [
        Column("PatientSex", "string", ("F", "Male", " FEMALE ")),
        Column("Is_Smoker", "string", ("ja", "nein", "?")),
        Column("AGE (years)", "int64"),
        Column("age_text", "string"),
        Column("death_days", "int64"),
        Column("death_status", "string"),
    ]
    found = suggest(study, columns)
    assert found.open == ()
    assert found.mapping == {
        "smoker": {"column": "Is_Smoker", "values": {"ja": "1", "nein": "0"}},
        "sex": {"column": "PatientSex", "values": {"Male": "male", " FEMALE ": "female"}},
        "age": {"column": "AGE (years)"},
        "death": {"time": "death_days", "event": "death_status"},
    }


def test_what_is_not_likely_is_left_open(study: Study) -> None:
    found = suggest(study, [Column("zz", "int64"), Column("smoker", "string")], ["smoker"])
    assert found.mapping == {}
    assert set(found.open) == {"smoker", "sex", "age", "death"}


def test_one_column_serves_one_variable(study: Study) -> None:
    found = suggest(study, [Column("sexage", "int64")])
    assert len(found.mapping) <= 1


def test_proposal_comes_from_the_records_themselves(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = {"id": [1, 2], "Sex": ["MALE", "female"], "other": [[1], [2]], "smoker": ["yes", None]}
    pq.write_table(pa.table(table), path)
    data = SiteData(path=str(path), unit_column="id")
    with DuckDBSource(data, Mapping(), study, bound_key=KEY, folder=tmp_path / "s") as source:
        found = source.suggestion()
    assert found.mapping == {
        "smoker": {"values": {"yes": "1"}},
        "sex": {"column": "Sex", "values": {"MALE": "male"}},
    }


def test_proposal_for_a_database_looks_at_every_column(study: Study, tmp_path: Path) -> None:
    table = records(id=("int64", [1, 2]), Sex=("string", ["MALE", None]), age=("int64", [1, 2]))
    with postgres_source(table, study, "id", tmp_path, Mapping(), every_column=True) as source:
        assert source.suggestion().mapping == {"sex": {"column": "Sex", "values": {"MALE": "male"}}}
        assert source._engine.is_promised("site_rows")  # some rows were enough
