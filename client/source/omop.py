"""Features of an OMOP common data model (5.3 and 5.4) as a view: one row per person.

The index date is the first event of some concepts; features are looked for in windows of days
around it. ibis writes the view in the database's dialect; its administrator looks at it, makes
it, and grants SELECT on it to the gate's role. Nothing here connects to anything.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias, get_args

import ibis
from pydantic import BaseModel, ConfigDict, Field, model_validator

from protocol.errors import UsageError

Rows: TypeAlias = Any  # ibis publishes no types
Dialect: TypeAlias = Literal["postgres", "duckdb", "mssql", "pyspark"]

_EVENT = {"person_id": "int64"}
# Per domain: table, concept, date, and what makes an order of equal dates total.
_DOMAINS = {
    "condition": (
        *("condition_occurrence", "condition_concept_id", "condition_start_date"),
        "condition_occurrence_id",
    ),
    "drug": (
        *("drug_exposure", "drug_concept_id", "drug_exposure_start_date", "drug_exposure_id"),
    ),
    "measurement": (
        *("measurement", "measurement_concept_id", "measurement_date", "measurement_id"),
    ),
    "visit": ("visit_occurrence", "visit_concept_id", "visit_start_date", "visit_occurrence_id"),
}
_SEXES = ((8532, "female"), (8507, "male"))  # of the standard vocabulary


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Events(_Part):
    """Events of some concepts; with `descendants`, of all that the vocabulary has below them."""

    domain: Literal["condition", "drug", "measurement", "visit"]
    concepts: tuple[int, ...] = Field(min_length=1)
    descendants: bool = False


class Age(_Part):
    """Whole years at the index date, by the year of birth."""

    kind: Literal["age"]


class Sex(_Part):
    """The words "female" and "male", or missing."""

    kind: Literal["sex"]


class InWindow(Events):
    """What is looked for from `from_day` to `until_day` after the index date, both included.

    `value`: whether there is one ("any"), how many ("count"), or a measurement's number.
    """

    kind: Literal["events"]
    from_day: int
    until_day: int
    value: Literal["any", "count", "first", "last", "mean", "min", "max"] = "any"

    @model_validator(mode="after")
    def _sensible(self) -> "InWindow":
        if self.from_day > self.until_day:
            raise ValueError("from_day must not be after until_day")
        if self.value not in ("any", "count") and self.domain != "measurement":
            raise ValueError("only measurements have a number; write value = any or count")
        return self


Feature = Annotated[Age | Sex | InWindow, Field(discriminator="kind")]


class OmopFeatures(_Part):
    """A file of features; names become columns of the view, beside person_id and index_date."""

    format: Literal["concause-omop/1"]
    schema_: str = Field(alias="schema", pattern=r"^\w+$")
    index: Events
    features: dict[Annotated[str, Field(pattern=r"^[a-z]\w*$")], Feature] = Field(min_length=1)


def dialect_of(text: str) -> Dialect:
    """Return a dialect by its name.

    Raises:
        UsageError: it is none that ibis writes here.
    """
    for known in get_args(Dialect):
        if text == known:
            found: Dialect = known
            return found
    raise UsageError(
        "dialect-unknown",
        f"Expected one of {', '.join(get_args(Dialect))}, found {text!r}.",
        "Choose the one of your database.",
    )


def view_sql(wanted: OmopFeatures, name: str, dialect: Dialect) -> str:
    """Return the statement that makes the view `name`, as "research.persons".

    Raises:
        UsageError: the name is none.
    """
    if not re.fullmatch(r"\w+(\.\w+)?", name):
        raise UsageError(
            "view-name", f"Expected a name such as research.persons, found {name!r}.", "Rename it."
        )
    select = ibis.to_sql(features_of(wanted), dialect=dialect)
    return f"CREATE VIEW {name} AS\n{select}"


def features_of(wanted: OmopFeatures) -> Rows:
    """Return the rows of the view as an ibis expression."""
    person = _table(
        wanted,
        "person",
        {"person_id": "int64", "gender_concept_id": "int64", "year_of_birth": "int64"},
    )
    rows = _first_dates(wanted).join(person, "person_id")
    for name, feature in wanted.features.items():
        if isinstance(feature, InWindow):
            side = _in_window(wanted, feature, name)
            rows = rows.left_join(side, "person_id").drop("person_id_right")
    columns = {name: _column(rows, name, feature) for name, feature in wanted.features.items()}
    return rows.select("person_id", "index_date", **columns)


def _column(rows: Rows, name: str, feature: Age | Sex | InWindow) -> Rows:
    match feature:
        case Age():
            return rows["index_date"].year().cast("int64") - rows["year_of_birth"]
        case Sex():
            sexes = ((rows["gender_concept_id"] == concept, word) for concept, word in _SEXES)
            return ibis.cases(*sexes)
    found = rows[f"{name}_found"]
    match feature.value:
        case "any":
            return ibis.cases((found.isnull(), 0), else_=1)
        case "count":
            return found.fill_null(0)
    return found


def _first_dates(wanted: OmopFeatures) -> Rows:
    events = _events(wanted, wanted.index)
    return events.group_by("person_id").agg(index_date=events["date"].min())


def _in_window(wanted: OmopFeatures, feature: InWindow, name: str) -> Rows:
    """Return one row for each person with such an event in the window."""
    index = _first_dates(wanted)
    events = _events(wanted, feature).join(index, "person_id")
    day = events["date"].delta(events["index_date"], unit="day")
    inside = events.filter(day >= feature.from_day, day <= feature.until_day)
    if feature.value in ("any", "count"):
        return inside.group_by("person_id").agg(inside.count().name(f"{name}_found"))
    inside = inside.filter(inside["value"].notnull())
    if feature.value in ("first", "last"):
        return _at_end(inside, last=feature.value == "last", name=name)
    summed = getattr(inside["value"], feature.value)()
    return inside.group_by("person_id").agg(summed.name(f"{name}_found"))


def _at_end(rows: Rows, *, last: bool, name: str) -> Rows:
    order = [rows["date"].desc(), rows["id"].desc()] if last else [rows["date"], rows["id"]]
    place = ibis.row_number().over(group_by="person_id", order_by=order)
    ranked = rows.mutate(place=place)
    first = ranked.filter(ranked["place"] == 0)
    return first.select("person_id", **{f"{name}_found": first["value"]})


def _events(wanted: OmopFeatures, events: Events) -> Rows:
    table, concept, date, key = _DOMAINS[events.domain]
    fields = {**_EVENT, key: "int64", concept: "int64", date: "date"}
    if events.domain == "measurement":
        fields["value_as_number"] = "float64"
    found = _table(wanted, table, fields)
    chosen = found.filter(found[concept].isin(_concepts(wanted, events)))
    value = {"value": chosen["value_as_number"]} if events.domain == "measurement" else {}
    return chosen.select("person_id", id=chosen[key], date=chosen[date], **value)


def _concepts(wanted: OmopFeatures, events: Events) -> Rows | Sequence[int]:
    if not events.descendants:
        return events.concepts
    fields = {"ancestor_concept_id": "int64", "descendant_concept_id": "int64"}
    ancestry = _table(wanted, "concept_ancestor", fields)  # has each concept under itself, too
    below = ancestry.filter(ancestry["ancestor_concept_id"].isin(events.concepts))
    return below["descendant_concept_id"]


def _table(wanted: OmopFeatures, name: str, fields: dict[str, str]) -> Rows:
    return ibis.table(fields, name=name, database=wanted.schema_)
