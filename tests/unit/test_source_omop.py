"""Features of an OMOP database: the view's rows are those that brute force finds."""

import json
import tomllib
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from client.__main__ import app
from client.source.duckdb_source import DuckDBSource
from client.source.omop import OmopFeatures, dialect_of, view_sql
from client.source.site_table import Mapping as SiteMapping
from client.source.site_table import SiteData
from protocol.errors import UsageError
from tests.support.databases import READER, shared_postgres
from tests.support.tables_source import single_study
from tests.support.tables_study import KEY

DIABETES, TYPE_2, STATIN, ASPIRIN, LDL, STAY = 201820, 201826, 1539403, 1112807, 3028437, 9201
FEATURES = f"""
format = "concause-omop/1"
schema = "cdm"

[index]
domain = "condition"
concepts = [{DIABETES}]
descendants = true

[features.age]
kind = "age"

[features.sex]
kind = "sex"

[features.statin]
kind = "events"
domain = "drug"
concepts = [{STATIN}, {ASPIRIN}]
from_day = -365
until_day = 0

[features.ldl]
kind = "events"
domain = "measurement"
concepts = [{LDL}]
from_day = -365
until_day = 0
value = "last"

[features.first_ldl]
kind = "events"
domain = "measurement"
concepts = [{LDL}]
from_day = 1
until_day = 365
value = "first"

[features.mean_ldl]
kind = "events"
domain = "measurement"
concepts = [{LDL}]
from_day = -3650
until_day = 3650
value = "mean"

[features.stays]
kind = "events"
domain = "visit"
concepts = [{STAY}]
from_day = 1
until_day = 365
value = "count"
"""
WANTED = OmopFeatures.model_validate(tomllib.loads(FEATURES))
Row = Mapping[str, Any]
Table = list[dict[str, Any]]


def synthetic(persons: int = 60) -> dict[str, Table]:
    """Return a small OMOP database: tables of rows."""
    chance = np.random.default_rng(2027)
    tables: dict[str, Table] = {name: [] for name in ("condition_occurrence", "drug_exposure")}
    tables |= {name: [] for name in ("measurement", "visit_occurrence", "person")}
    tables["concept_ancestor"] = [
        {"ancestor_concept_id": a, "descendant_concept_id": b}
        for a, b in ((DIABETES, DIABETES), (DIABETES, TYPE_2), (TYPE_2, TYPE_2))
    ]

    def day() -> date:
        return date(2015, 1, 1) + timedelta(days=int(chance.integers(0, 900)))

    def events(table: str, domain: str, concepts: tuple[int, ...], most: int) -> None:
        for person in range(persons):
            for _ in range(chance.integers(0, most + 1)):
                row = {
                    "person_id": person,
                    f"{table}_id": len(tables[table]),
                    f"{domain}_concept_id": int(chance.choice(concepts)),
                    DATES[table]: day(),
                }
                if table == "measurement":
                    value = float(np.round(chance.normal(3, 1), 1))
                    row["value_as_number"] = None if chance.random() < 0.2 else value
                tables[table].append(row)

    for person in range(persons):
        gender = int(chance.choice([8507, 8532, 0]))
        born = int(chance.integers(1930, 2000))
        tables["person"].append(
            {"person_id": person, "gender_concept_id": gender, "year_of_birth": born}
        )
    events("condition_occurrence", "condition", (DIABETES, TYPE_2, 1), 3)
    events("drug_exposure", "drug", (STATIN, ASPIRIN, 2), 3)
    events("measurement", "measurement", (LDL, 3), 8)
    events("visit_occurrence", "visit", (STAY, 9202), 5)
    return tables


DATES = {
    "condition_occurrence": "condition_start_date",
    "drug_exposure": "drug_exposure_start_date",
    "measurement": "measurement_date",
    "visit_occurrence": "visit_start_date",
}


def expected(tables: Mapping[str, Table]) -> list[tuple[Any, ...]]:
    """Return the view's rows, person by person, as loops find them."""
    found = []
    for person in tables["person"]:
        mine = {
            name: [row for row in rows if row.get("person_id") == person["person_id"]]
            for name, rows in tables.items()
        }
        starts = [
            row["condition_start_date"]
            for row in mine["condition_occurrence"]
            if row["condition_concept_id"] in (DIABETES, TYPE_2)
        ]
        if not starts:
            continue
        index = min(starts)

        def near(table: str, low: int, high: int, keep: Callable[[Row], bool]) -> Table:
            rows = [row for row in mine[table] if keep(row)]  # noqa: B023 - called within the loop
            inside = [row for row in rows if low <= (row[DATES[table]] - index).days <= high]  # noqa: B023
            return sorted(inside, key=lambda row: (row[DATES[table]], row[f"{table}_id"]))

        def ldl(low: int, high: int) -> list[float]:
            rows = near("measurement", low, high, lambda row: row["measurement_concept_id"] == LDL)
            return [row["value_as_number"] for row in rows if row["value_as_number"] is not None]

        drugs = near("drug_exposure", -365, 0, lambda r: r["drug_concept_id"] in (STATIN, ASPIRIN))
        stays = near("visit_occurrence", 1, 365, lambda r: r["visit_concept_id"] == STAY)
        before, after, ever = ldl(-365, 0), ldl(1, 365), ldl(-3650, 3650)
        found.append(
            (
                person["person_id"],
                index,
                index.year - person["year_of_birth"],
                {8532: "female", 8507: "male"}.get(person["gender_concept_id"]),
                int(bool(drugs)),
                before[-1] if before else None,
                after[0] if after else None,
                pytest.approx(sum(ever) / len(ever)) if ever else None,
                len(stays),
            )
        )
    return found


def test_view_holds_what_brute_force_finds_in_duckdb() -> None:
    tables = synthetic()
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA cdm")
        for name, rows in tables.items():
            content = pa.Table.from_pylist(rows)
            connection.register("content", content)
            connection.execute(f"CREATE TABLE cdm.{name} AS SELECT * FROM content")  # noqa: S608
            connection.unregister("content")
        connection.execute(view_sql(WANTED, "main.persons", "duckdb"))
        found = connection.execute("SELECT * FROM persons ORDER BY person_id").fetchall()
        named = connection.execute("DESCRIBE persons").fetchall()
    assert [row[0] for row in named] == ["person_id", "index_date", *WANTED.features]
    assert found == expected(tables)
    assert len(expected(tables)) > 30


def test_view_in_postgres_is_read_as_a_sites_records(tmp_path: Path) -> None:
    tables = synthetic()
    server = shared_postgres()
    server.run("DROP SCHEMA IF EXISTS cdm CASCADE", "CREATE SCHEMA cdm")
    for name, rows in tables.items():
        server.write(pa.Table.from_pylist(rows), name)
        server.run(f"REVOKE ALL ON {name} FROM {READER}", f"ALTER TABLE {name} SET SCHEMA cdm")
    server.run(
        "DROP VIEW IF EXISTS public.cohort",
        view_sql(WANTED, "public.cohort", "postgres"),
        f"GRANT SELECT ON public.cohort TO {READER}",
    )
    address = tmp_path / "connection"
    address.write_text(server.reader)
    address.chmod(0o600)
    data = SiteData(
        database="postgres", connection=address, table="public.cohort", unit_column="person_id"
    )
    try:
        for variable, column, place in (
            ('kind = "boolean"', "statin", 4),
            ('kind = "categorical"\nlevels = ["female", "male"]\nmissing = true', "sex", 3),
            ('kind = "count"\nedges = [0, 1, 2, 10]', "stays", 8),
        ):
            mapping = SiteMapping.model_validate({"x": {"column": column}})
            study = single_study(variable)
            with DuckDBSource(
                data, mapping, study, bound_key=KEY, folder=tmp_path / "spill"
            ) as source:
                found = source.counts([("x",)])[("x",)]
            values = [row[place] for row in expected(tables)]
            assert found.sum() == len(values)
            if column == "statin":
                assert found.tolist() == [values.count(0), values.count(1)]
            if column == "sex":
                assert found.tolist() == [values.count(s) for s in ("female", "male", None)]
    finally:
        server.run("DROP VIEW public.cohort", "DROP SCHEMA cdm CASCADE")


@pytest.mark.parametrize("dialect", ["postgres", "duckdb", "mssql"])
def test_view_is_printed_for_the_administrator(dialect: str, tmp_path: Path) -> None:
    path = tmp_path / "features.toml"
    path.write_text(FEATURES)
    argv = ["omop", str(path), "--name", "research.persons", "--dialect", dialect, "--json"]
    done = CliRunner().invoke(app, argv, catch_exceptions=False)
    sql = json.loads(done.stdout)["sql"]
    assert sql.startswith("CREATE VIEW research.persons AS\n")
    assert "condition_occurrence" in sql


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("from_day = -365", "from_day = 10", "from_day must not be after"),
        ('value = "count"', 'value = "mean"', "only measurements"),
        ('schema = "cdm"', 'schema = "cdm; drop"', "schema"),
        ("[features.age]", '["features"."Age"]', "Age"),
        ('kind = "sex"', 'kind = "gender"', "gender"),
        (f"concepts = [{STAY}]", "concepts = []", "concepts"),
    ],
)
def test_features_that_make_no_sense_are_refused(old: str, new: str, words: str) -> None:
    assert old in FEATURES
    with pytest.raises(ValueError, match=words):
        OmopFeatures.model_validate(tomllib.loads(FEATURES.replace(old, new)))


def test_other_dialects_and_names_are_refused() -> None:
    with pytest.raises(UsageError) as unknown:
        dialect_of("oracle")
    assert unknown.value.code == "dialect-unknown"
    with pytest.raises(UsageError) as unnamed:
        view_sql(WANTED, "x; DROP TABLE y", "duckdb")
    assert unnamed.value.code == "view-name"
