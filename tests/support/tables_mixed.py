"""Random records for the studies of all kinds, tidy for the oracle or as untidy as a site's."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import strategies as st

from client.source.duckdb_source import DuckDBSource
from client.source.site_table import Mapping, SiteData
from protocol.study.document import parse_study
from protocol.study.study import Study
from tests.support.reference_statistics import Record
from tests.support.studies import MIXED_TEXT, VISITS_TEXT, edited
from tests.support.tables_records import Cell, Column, Records
from tests.support.tables_study import KEY, UNIT

VISIT = "seen"
MAPPING = Mapping.model_validate(
    {
        "crp": {"column": "CRP", "values": {"999": "MISSING", "trace": "[0.1, 1)"}},
        "visits": {"values": {"none": "0", "many": "1-3"}},
        "stay": {"time": "days", "event": "status", "values": {"died": "event", "2": "censored"}},
    }
)

_UNIT_LINE = "unit = {{ max_rows_per_unit = {} }}\nbudget ="


def mixed_study(rows: int = 1) -> Study:
    return parse_study(edited("budget =", _UNIT_LINE.format(rows), MIXED_TEXT))


def visits_study() -> Study:
    return parse_study(VISITS_TEXT)


def site_data(file: Path, study: Study, unit: str | None = UNIT) -> SiteData:
    visit = None if study.time is None else VISIT
    return SiteData(
        path=str(file), unit_column=unit, one_row_per_unit=unit is None, visit_column=visit
    )


def mapping_for(study: Study) -> Mapping:
    return MAPPING if study.time is None else Mapping()


def open_mixed(
    file: Path, study: Study, *, unit: str | None = UNIT, mapping: Mapping | None = None
) -> DuckDBSource:
    data, spill = site_data(file, study, unit), file.parent / "spill"
    mapping = mapping_for(study) if mapping is None else mapping
    return DuckDBSource(data, mapping, study, bound_key=KEY, folder=spill)


# Types of a column, each with values that have a code in the study, and others.
Choices = Sequence[tuple[str, Sequence[Cell], Sequence[Cell]]]
NAN, INF = float("nan"), float("inf")

UNTIDY_MIXED: dict[str, Choices] = {
    UNIT: (
        ("int64", range(30), ()),
        ("double", [float(number) for number in range(30)], (2.5, NAN)),
        ("string", [f"{number}{end}" for number in range(15) for end in ("", ".0")], (" 1", " ")),
    ),
    "sex": (("string", ("female", "male", "f"), ()),),
    "smoker": (
        ("bool", (True, False), ()),
        ("string", ("0", "true", "1.0"), ("yes",)),
    ),
    "stage": (("string", ("I", "II", "MISSING"), ("III",)),),
    "age": (
        ("double", (20.0, 25.0, 33.3, 41.6, 50.0, 75.0), (1e300, INF, -INF, NAN)),
        ("int64", (25, 49, 60), (-(2**62), 2**62)),
        ("string", ("30", " 5e1 ", "75.0"), ("old", "1e400")),
    ),
    "CRP": (
        ("double", (0.1, 0.3, 1.0, 10.0, 55.5, 999.0), (0.0, -1.0, INF, NAN)),
        ("string", ("0.5", "trace", "999.0"), ("n/a", "-3", "1e9")),
    ),
    "visits": (
        ("int64", (0, 1, 2, 3), (9, -1)),
        ("double", (0.0, 1.0, 2.0), (0.5, NAN, INF)),
        ("string", ("none", "many", "1", "3"), ("2.5", "?")),
    ),
    "treated": (
        ("bool", (True, False), ()),
        ("int64", (0, 1), (2,)),
        ("double", (0.0, 1.0), (0.5, NAN)),
    ),
    "pressure": (
        ("double", (80.0, 93.75, 119.9, 160.0), (-INF, 1e9, NAN)),
        ("int64", (100, 120), (300,)),
    ),
    "days": (
        ("double", (0.0, 29.9, 30.0, 90.0, 90.1), (-1.0, INF, -INF, NAN)),
        ("string", ("10", "45.5"), ("-2", "late")),
    ),
    "status": (
        ("string", ("died", "2", "event", "TRUE", "0"), ("gone",)),
        ("int64", (0, 1, 2), (3,)),
        ("bool", (True, False), ()),
    ),
}
UNTIDY_VISITS: dict[str, Choices] = {
    UNIT: (("int64", range(12), ()), ("string", ("a", " a", "b", "c", "d"), ("", "\u2003"))),
    VISIT: (
        ("int64", (0, 1, 2), (3, -1, 2**62)),
        ("double", (0.0, 1.0, 2.0), (0.5, NAN, INF, -INF)),
        ("string", ("0", "1.0", " 2"), ("first", "3", "")),
    ),
    "sex": (("int64", (0, 1), ()),),
    "cd4": (
        ("double", (0.0, 175.0, 350.0, 425.0, 500.0), (-5.0, 1e9, NAN, INF)),
        ("string", ("9", "420"), ("x",)),
    ),
    "load": (("double", (0.0, 1.9, 2.0, 3.3, 6.0, 7.0), (NAN, -INF)), ("int64", (1, 2, 4), ())),
    "drug": (("bool", (True, False), ()),),
    "dead": (("int64", (0, 1), (2,)),),
}


def untidy(choices: dict[str, Choices], seed: int, rows: int = 60) -> Records:
    """Return records with missing, undeclared and far-off values, and several rows of a unit."""
    rng = Random(seed)  # noqa: S311 -- of a test
    columns = {}
    for name, types in choices.items():
        type_, good, bad = rng.choice(types)
        cells = (
            None
            if rng.random() < 0.02
            else rng.choice(bad if bad and rng.random() < 0.05 else good)
            for _ in range(rows)
        )
        columns[name] = Column(type_, tuple(cells))
    return Records(columns)


def _one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


_TIDY_MIXED = st.fixed_dictionaries(
    {
        "sex": _one_of("female", "male", "other"),
        "smoker": _one_of(0, 1, None),
        "stage": _one_of("I", "II", None),
        "age": _one_of(20.0, 25.0, 31.25, 41.7, 50.0, 66.6, 75.0, 99.0),
        "crp": _one_of(0.05, 0.1, 0.4, 1.0, 9.9, 10.0, 80.0, 100.0, 5e5, None),
        "visits": _one_of(0, 1, 2, 3, 7),
        "treated": _one_of(0, 1),
        "pressure": _one_of(70.0, 80.0, 93.75, 119.9, 120.0, 160.0, 400.0),
        "stay": st.tuples(
            _one_of(0.0, 12.5, 30.0, 89.0, 90.0, 91.0, -2.0, None), _one_of(True, False, None)
        ),
    }
)
_TIDY_VISITS = st.fixed_dictionaries(
    {
        "sex": _one_of(0, 1),
        "cd4": _one_of(-1.0, 0.0, 175.0, 349.9, 350.0, 425.0, 500.0, 900.0, None),
        "load": _one_of(-1.0, 0.0, 1.99, 2.0, 3.0, 4.6875, 6.0, 8.0),
        "drug": _one_of(0, 1),
        "dead": _one_of(0, 1),
    }
)


@st.composite
def tidy(draw: st.DrawFn, study: Study) -> list[Record]:
    """Draw records within the preconditions of the oracle."""
    if study.time is None:
        most = study.unit.max_rows_per_unit
        counts = draw(st.lists(st.integers(1, most), max_size=12))
        return [
            {"unit": unit, "values": draw(_TIDY_MIXED)}
            for unit, count in enumerate(counts)
            for _ in range(count)
        ]
    seen = draw(st.lists(st.sets(st.integers(0, study.time.visits - 1)), max_size=6))
    return [
        {"unit": unit, "visit": visit, "values": draw(_TIDY_VISITS)}
        for unit, visits in enumerate(seen)
        for visit in sorted(visits)
    ]


def as_table(records: Sequence[Record], study: Study) -> Records:
    """Return tidy records as a site would hold them, for `mapping_for(study)`."""
    types = {"string": ("sex", "stage"), "int64": ("smoker", "visits", "treated", "drug", "dead")}
    type_of = {name: type_ for type_, names in types.items() for name in names}
    if study.time is not None:
        type_of["sex"] = "int64"
    columns = {UNIT: Column("int64", tuple(record["unit"] for record in records))}  # type: ignore[misc]
    if study.time is not None:
        columns[VISIT] = Column("int64", tuple(record["visit"] for record in records))
    for name in study.measured_variables:
        cells: tuple[Any, ...] = tuple(record["values"][name] for record in records)
        if name == "stay":
            columns["days"] = Column("double", tuple(time for time, _ in cells))
            words = tuple({True: "died", False: "censored"}.get(seen) for _, seen in cells)
            columns["status"] = Column("string", words)
        else:
            column = mapping_for(study).column_of(name)
            columns[column] = Column(type_of.get(name, "double"), cells)
    return Records(columns)
