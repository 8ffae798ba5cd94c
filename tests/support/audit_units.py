"""Studies to audit, each with a data set and the unit whose presence moves it the most.

Vectors come from the sites' own code: a file of records, its queries, `measure`. The unit tries to
weigh more than it may: with more rows than the study allows, and numbers beyond their edges.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from client.measure.statistics import measure
from client.source.site_table import Mapping as SiteMapping
from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.study.document import parse_study
from protocol.study.study import Study
from tests.support.audit import Integers
from tests.support.reference_statistics import Record, Recorded
from tests.support.studies import MIXED_TEXT, STUDY_TEXT, VISITS_TEXT, edited
from tests.support.tables_mixed import as_table, mapping_for, open_mixed
from tests.support.tables_records import Column, Records
from tests.support.tables_study import UNIT

NEW = 1_000_000  # the unit that comes or goes

# One of four sites colludes: the noise of three is counted on.
_COHORT = "n_min = 3, tolerated_colluders = 0, threshold = 2"
_COLLUDING = "n_min = 4, tolerated_colluders = 1, threshold = 3"


@dataclass(frozen=True, slots=True)
class Audited:
    """A study, records of others, and those of the unit that comes or goes."""

    study: Study
    others: Sequence[Record]
    unit: Sequence[Record]

    @property
    def plan(self) -> StatisticsPlan:
        """Return the study's plan."""
        return compile_plan(self.study)

    def vectors(self, folder: Path) -> tuple[Integers, Integers]:
        """Return the statistics without and with the unit, measured in `folder`."""
        absent = _measured(self.study, self.others, folder / "absent.parquet")
        return absent, _measured(self.study, [*self.others, *self.unit], folder / "present.parquet")


def audited_studies() -> dict[str, Audited]:
    """Return what is audited, by name."""
    colluding = edited(_COHORT, _COLLUDING, MIXED_TEXT)
    two_rows = edited("budget =", "unit = { max_rows_per_unit = 2 }\nbudget =", colluding)
    visits = edited(_COHORT, _COLLUDING, VISITS_TEXT)
    four_visits = edited("visits = 3", "visits = 4", visits)
    return {
        "categorical": Audited(parse_study(STUDY_TEXT), _people(PLAIN_ROWS), _person(PLAIN)),
        "mixed": Audited(parse_study(colluding), _people(MIXED_ROWS), _person(MIXED)),
        "mixed, 2 of 3 rows": Audited(
            parse_study(two_rows), _people(MIXED_ROWS), _person(MIXED, rows=3)
        ),
        "visits, 1 transition": Audited(
            parse_study(visits), _histories(), _history(NEW, HISTORY, visits=(0, 1))
        ),
        "visits, 3 transitions": Audited(
            parse_study(four_visits), _histories(), _history(NEW, HISTORY, visits=(0, 1, 2, 3, 3))
        ),
    }


Values: TypeAlias = Mapping[str, Recorded]

PLAIN: Values = {"sex": "male", "age": 99, "quit": 1, "exercise": "high", "weight": 999}
PLAIN_ROWS: Sequence[Values] = (
    {"sex": "female", "age": 40, "quit": 0, "exercise": None, "weight": 3},
    {"sex": "unknown", "age": 60, "quit": 1, "exercise": "low", "weight": None},
)
# Female and young: the rule's dose is then as near to an end of its range as it can be.
MIXED: Values = {
    "sex": "female",
    "smoker": 1,
    "stage": "I",
    "age": -7,
    "crp": 1e9,
    "visits": 99,
    "treated": 1,
    "pressure": 1e6,
    "stay": (400, True),
}
MIXED_ROWS: Sequence[Values] = (
    {**MIXED, "sex": "male", "age": 60, "stage": None, "crp": None, "pressure": 101},
    {**MIXED, "smoker": None, "visits": 1, "treated": 0, "stay": (12, True)},
)
HISTORY: Values = {"sex": 1, "cd4": 1e6, "load": 99, "drug": 1, "dead": 0}
HISTORY_ROWS: Sequence[Values] = (
    {**HISTORY, "cd4": None, "load": 1.5, "drug": 0},
    {**HISTORY, "sex": 0, "cd4": 10},
)


def _people(rows: Sequence[Values]) -> list[Record]:
    return [Record(unit=number, values=row) for number, row in enumerate(rows)]


def _person(row: Values, rows: int = 1) -> list[Record]:
    return [Record(unit=NEW, values=row) for _ in range(rows)]


def _histories() -> list[Record]:
    return [
        record
        for number, row in enumerate(HISTORY_ROWS)
        for record in _history(number, row, visits=(0, 1, 2))
    ]


def _history(number: int, row: Values, visits: Sequence[int]) -> list[Record]:
    return [Record(unit=number, visit=visit, values=row) for visit in visits]


def _measured(study: Study, records: Sequence[Record], file: Path) -> Integers:
    plain = "exercise" in study.variables
    table = _plain_table(records) if plain else as_table(records, study)
    mapping = SiteMapping() if plain else mapping_for(study)
    with open_mixed(table.write_parquet(file), study, mapping=mapping) as source:
        return measure(compile_plan(study), study, source)


def _plain_table(records: Sequence[Record]) -> Records:
    types = {"sex": "string", "age": "double", "quit": "int64", "exercise": "string"}
    types["weight"] = "double"
    columns = {
        name: Column(type_, tuple(record["values"][name] for record in records))  # type: ignore[misc]
        for name, type_ in types.items()
    }
    return Records({UNIT: Column("int64", tuple(r["unit"] for r in records)), **columns})  # type: ignore[misc]
