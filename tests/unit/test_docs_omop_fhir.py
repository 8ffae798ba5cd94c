"""docs/omop-and-fhir.md: its features are read, its recipe runs over a small bulk export."""

import json
import re
import tomllib
from contextlib import chdir
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from client.source.omop import OmopFeatures, view_sql

PAGE = Path(__file__).parents[2] / "docs" / "omop-and-fhir.md"


def block(name: str) -> str:
    found = re.search(rf"```\w+ file={name}\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1]


def test_features_of_the_page_make_a_view() -> None:
    wanted = OmopFeatures.model_validate(tomllib.loads(block("features.toml")))
    assert "concept_ancestor" in view_sql(wanted, "research.persons", "postgres")


def coded(code: str, system: str = "x") -> dict[str, object]:
    return {"coding": [{"system": "other", "code": "0"}, {"system": system, "code": code}]}


def test_recipe_makes_one_row_per_patient(tmp_path: Path) -> None:
    def about(patient: str) -> dict[str, object]:
        return {"subject": {"reference": f"Patient/{patient}"}, "id": "x", "resourceType": "any"}

    resources: dict[str, list[dict[str, object]]] = {
        "Patient": [
            {"resourceType": "Patient", "id": "a", "gender": "female", "birthDate": "1950-06-01"},
            {"resourceType": "Patient", "id": "b", "gender": "male", "birthDate": "1960"},
            {"resourceType": "Patient", "id": "c", "gender": "male", "birthDate": "1970-01-01"},
        ],
        "Condition": [
            about("a") | {"onsetDateTime": "2020-05-01T10:00:00Z", "code": coded("E11.9")},
            about("a") | {"onsetDateTime": "2021-05-01", "code": coded("44054006")},
            about("b") | {"onsetDateTime": "2020-05-01", "code": coded("J45")},
            about("c") | {"onsetDateTime": "2020-05-01", "code": coded("44054006")},
        ],
        "Observation": [
            about("a") | {"effectiveDateTime": when, "valueQuantity": {"value": value},
                          "code": coded("18262-6")}
            for when, value in (("2020-01-01", 3.5), ("2020-04-01T08:00:00+02:00", 2.5),
                                ("2020-06-01", 9.0), ("2018-01-01", 8.0))
        ],
        "MedicationRequest": [
            about("a") | {"authoredOn": "2020-04-30",
                          "medicationCodeableConcept": coded("617310")},
            about("c") | {"authoredOn": "2020-05-02",
                          "medicationCodeableConcept": coded("617310")},
        ],
    }  # fmt: skip
    resources["Patient"][1]["birthDate"] = "1960-01-01"
    for name, rows in resources.items():
        (tmp_path / f"{name}.ndjson").write_text("\n".join(map(json.dumps, rows)))
    with chdir(tmp_path), duckdb.connect() as connection:
        connection.execute(block("fhir.sql"))
    found = sorted(pq.read_table(tmp_path / "persons.parquet").to_pylist(), key=str)
    assert found == [
        {"patient": "a", "sex": "female", "age": 70, "statin": 1, "ldl": 2.5},
        {"patient": "c", "sex": "male", "age": 50, "statin": 0, "ldl": None},
    ]
