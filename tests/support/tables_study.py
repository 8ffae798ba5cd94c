"""A study with every kind of variable, and random records that test its edges."""

from collections.abc import Sequence
from itertools import combinations

from hypothesis import strategies as st

from client.source.site_table import Mapping
from protocol.study.document import parse_study
from protocol.study.graph import Clique
from protocol.study.study import Study
from tests.support.tables_records import Cell, Column, Records

KEY = bytes(range(32))
UNIT = "patient"

STUDY = """
format = "concause-study/1"
name = "ward-study"
title = "Wards and grades"
author = "Tests"
expires = 2031-01-01
unit = {{ name = "person", max_rows_per_unit = {rows} }}
budget = {{ epsilon = 1, delta = 1e-6 }}
cohort = {{ n_min = 3, tolerated_colluders = 0, threshold = 3 }}
trust = {{ aggregation = "masking" }}

[variables.smoker]
kind = "boolean"
missing = true

[variables.ward]
kind = "categorical"
levels = ["north", "south", 'a "b", c']
other = true
missing = true

[variables.grade]
kind = "ordinal"
levels = ["1", "2", "3"]

[variables.age]
kind = "numeric"
edges = [0, 18, 40.5, 65]
missing = true

[graph]
edges = ["smoker -> grade", "ward -> grade", "age -> smoker", "age -> ward"]
"""

MAPPING = Mapping.model_validate(
    {
        "ward": {"column": "ward_name", "values": {"N": "north", "?": "MISSING", "7": "south"}},
        "age": {"values": {"999": "MISSING", "baby": "[0, 18)"}},
        "grade": {"values": {"-": "1"}},
    }
)


def ward_study(max_rows_per_unit: int = 1) -> Study:
    return parse_study(STUDY.format(rows=max_rows_per_unit))


def all_cliques(study: Study) -> list[Clique]:
    nodes = study.causal_graph.nodes
    return [clique for count in range(len(nodes) + 1) for clique in combinations(nodes, count)]


def _column(choices: Sequence[tuple[str, Sequence[Cell]]], rows: int) -> st.SearchStrategy[Column]:
    """Return a column of one of the given types, filled from that type's values or with None."""
    return st.sampled_from(choices).flatmap(
        lambda choice: st.tuples(*[st.sampled_from([*choice[1], None])] * rows).map(
            lambda cells: Column(choice[0], cells)
        )
    )


PATIENT: Sequence[tuple[str, Sequence[Cell]]] = (
    ("int64", (1, 2, 3)),
    ("double", (1.0, 2.0, 2.5, float("nan"))),
    ("string", ("ann", "b,b", "c:1", "Ann ")),
    ("string", ("1", "1.0", " 1", "1.\u00a0", "01", "1.00\t", " ", "")),
)
SMOKER: Sequence[tuple[str, Sequence[Cell]]] = (
    ("bool", (True, False)),
    ("int64", (0, 1, 2, -1)),
    ("double", (0.0, 1.0, 0.5, float("nan"))),
    ("string", ("0", "1", "true", "False", "TRUE", "1.0", "yes", " 1", "2")),
)
WARD: Sequence[tuple[str, Sequence[Cell]]] = (
    (
        "string",
        ("north", "south", "N", "?", "7.0", 'a "b", c', "North", "east", "MISSING", "O'Hara"),
    ),
    ("int64", (7, 8)),
)
GRADE: Sequence[tuple[str, Sequence[Cell]]] = (
    ("int64", (1, 2, 3, 4)),
    ("double", (1.0, 2.0, 3.0, 2.5, float("nan"))),
    ("string", ("1", "2", "3.0", "03", "-", "4", "two", "1e0")),
    ("bool", (True, False)),
)
AGE: Sequence[tuple[str, Sequence[Cell]]] = (
    ("int64", (-3, 0, 17, 18, 40, 41, 65, 66, 999)),
    ("double", (-0.5, 0.0, 17.9, 18.0, 40.4999, 40.5, 65.0, 65.1, 1e300, 999.0, float("inf"))),
    ("double", (float("-inf"), float("nan"), 12.0)),
    ("string", ("17", "18", "40.5", " 65 ", "999.0", "baby", "old", "1e2", "MISSING", "nan")),
)


@st.composite
def random_records(draw: st.DrawFn, most: int = 12) -> Records:
    """Draw up to `most` records, many alike, with every kind of missing and undeclared value."""
    rows = draw(st.integers(0, most))
    return Records(
        {
            UNIT: draw(_column(PATIENT, rows)),
            "smoker": draw(_column(SMOKER, rows)),
            "ward_name": draw(_column(WARD, rows)),
            "grade": draw(_column(GRADE, rows)),
            "age": draw(_column(AGE, rows)),
        }
    )
