"""Where a site's records are, and how its columns turn into the study's variables.

These are the `[data]` and `[mapping]` tables of `site.toml`; the site alone writes and sees them.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from protocol.canonical import Json
from protocol.errors import UsageError
from protocol.study.study import Study
from protocol.study.variables import Survival, Variable

Format: TypeAlias = Literal["parquet", "csv", "ndjson"]
Kind: TypeAlias = Literal["postgres", "mssql", "spark"]

_WILDCARDS = frozenset("*?[]")  # DuckDB would expand them once more, past the pinned list of files
_SUFFIXES: dict[str, Format] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}

_PLACE_AND_SPEED = {"path", "connection", "master", "memory_limit", "threads"}
_PLACES: dict[Kind | None, tuple[set[str], ...]] = {
    None: ({"path"},),
    "postgres": ({"connection", "table"},),
    "mssql": ({"connection", "table"},),
    "spark": ({"path"}, {"table"}),
}
_PLACE_WORDS: dict[Kind | None, str] = {
    None: "give path, or database with what it needs",
    "postgres": "give connection and table, and no path",
    "mssql": "give connection and table, and no path",
    "spark": "give path or table, and no connection",
}

EVENT, CENSORED = "event", "censored"  # what the spellings of a survival variable stand for


class SiteData(BaseModel):
    """Where the records are, and the column that names the unit of privacy.

    `path` is one file or a glob pattern; `format` is read off the suffix where it is not given.
    Or else `database` is the kind of one, `table` what to read there, and `connection` a file with
    its address and credentials, private to the gate's user; for Spark, `master` and `path` or
    `table`. `memory_limit` and `threads` bound what the gate's engine takes. `derived` are columns
    computed from a row (`derived.py`); of rows with `date_column` outside `from_date` to
    `until_date` nothing is seen.
    `delimiter` stands between the fields of a CSV file; it is never guessed from the records.
    `one_row_per_unit` is the site's own word that no unit has two rows; it stands in for
    `unit_column` where the study's bound is 1. `visit_column` holds the visit of a row, 0, 1, 2,
    ..., where the study has visits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = Field(default=None, min_length=1)
    database: Kind | None = None
    connection: Path | None = None
    table: str | None = Field(default=None, pattern=r"^[^.\s]+(\.[^.\s]+){0,2}$")
    master: str = "local[2]"
    memory_limit: str = "1GB"
    threads: int = Field(default=2, ge=1, le=256)
    format: Format | None = None
    delimiter: str = Field(default=",", pattern=r"^[\t !#-~]$")  # tab or printable ASCII, no quote
    unit_column: str | None = None
    one_row_per_unit: bool = False
    visit_column: str | None = None
    date_column: str | None = None
    from_date: date | None = None
    until_date: date | None = None
    derived: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_place(self) -> "SiteData":
        given = {name for name in ("path", "connection", "table") if getattr(self, name)}
        if given not in _PLACES[self.database]:
            raise ValueError(_PLACE_WORDS[self.database])
        if (self.from_date or self.until_date) and not self.date_column:
            raise ValueError("from_date and until_date need date_column")
        return self

    def anchored(self, folder: Path) -> "SiteData":
        """Return these settings with relative paths taken from `folder`."""
        paths = {
            "path": str(folder / self.path) if self.path is not None else None,
            "connection": folder / self.connection if self.connection is not None else None,
        }
        return self.model_copy(update=paths)

    @property
    def meaning(self) -> dict[str, Json]:
        """Return what decides what a record is; where it lies and how fast it is read do not."""
        return self.model_dump(mode="json", exclude=_PLACE_AND_SPEED)

    @property
    def window_columns(self) -> frozenset[str]:
        """Return the column of dates, if there is one."""
        return frozenset([self.date_column] if self.date_column else [])

    def window_condition(self, columns: Sequence[str]) -> str | None:
        """Return the condition of the dates in DuckDB's SQL, None if there is none.

        Raises:
            UsageError: there is no such column.
        """
        if self.date_column is None:
            return None
        if self.date_column not in columns:
            raise UsageError(
                "date-column-missing",
                "Expected the column that [data] names as date_column, found none of that name.",
                "Correct date_column in [data].",
            )
        name = '"' + self.date_column.replace('"', '""') + '"'
        ends = ((">=", self.from_date), ("<=", self.until_date))
        limits = [f"TRY_CAST({name} AS DATE) {sign} DATE '{end}'" for sign, end in ends if end]
        return " AND ".join(limits) or None


class VariableMapping(BaseModel):
    """Which column holds a variable, and what its own spellings mean.

    `values` maps a spelling in the column to a label of the study, OTHER and MISSING included.
    A survival variable has two columns, `time` and `event`, and `values` maps spellings in the
    latter to "event" or "censored". A number may be converted to the study's unit, times `scale`
    plus `offset`; or cut at `cuts` into `labels`, each up to and without its cut.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str | None = None
    time: str | None = None
    event: str | None = None
    values: dict[str, str] = Field(default_factory=dict)
    scale: Decimal | None = None
    offset: Decimal | None = None
    cuts: tuple[Decimal, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the site's columns that are named."""
        return tuple(name for name in (self.column, self.time, self.event) if name is not None)

    @model_validator(mode="after")
    def _computable(self) -> "VariableMapping":
        if (self.cuts or self.labels) and len(self.labels) != len(self.cuts) + 1:
            raise ValueError("labels must be one more than cuts")
        if list(self.cuts) != sorted(set(self.cuts)):
            raise ValueError("cuts must rise")
        if self.cuts and (self.scale is not None or self.offset is not None):
            raise ValueError("give scale and offset, or cuts, not both")
        if self.is_computed and (self.time or self.event):
            raise ValueError("scale, offset and cuts are for a single column")
        return self

    @property
    def is_computed(self) -> bool:
        """Return whether the site's numbers are converted or cut before they are read."""
        return bool(self.cuts) or self.scale is not None or self.offset is not None

    def computed_sql(self, column: str) -> str:
        """Return the expression that converts or cuts the numbers in `column`."""
        number = f"TRY_CAST({_identifier(column)} AS DOUBLE)"
        if not self.cuts:
            scaled = f"{number} * {_number(self.scale, 1)} + {_number(self.offset, 0)}"
            return f"CASE WHEN {number} <= {_LARGEST} THEN {scaled} END"  # NaN is above all
        below = "".join(
            f" WHEN {number} < {_number(cut, 0)} THEN {_literal(label)}"
            for cut, label in zip(self.cuts, self.labels, strict=False)
        )
        last = f" WHEN {number} <= {_LARGEST} THEN {_literal(self.labels[-1])}"
        return f"CASE{below}{last} END"


_LARGEST = "1e308"


def _number(value: Decimal | None, default: int) -> str:
    return f"CAST('{default if value is None else value}' AS DOUBLE)"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class Mapping(RootModel[dict[str, VariableMapping]]):
    """The mapping of each listed variable; any other is in the column of its own name.

    A survival variable is by default in NAME_time and NAME_event.
    """

    model_config = ConfigDict(frozen=True)

    root: dict[str, VariableMapping] = Field(default_factory=dict)

    def column_of(self, variable: str) -> str:
        """Return the name of the column that holds `variable`."""
        mapped = self.root.get(variable, VariableMapping())
        return f"{variable} as mapped" if mapped.is_computed else mapped.column or variable

    @property
    def derived(self) -> dict[str, str]:
        """Return the expressions of the columns that are converted or cut, by name."""
        return {
            self.column_of(name): mapped.computed_sql(mapped.column or name)
            for name, mapped in self.root.items()
            if mapped.is_computed
        }

    def exit_columns_of(self, variable: str) -> tuple[str, str]:
        """Return the names of the columns that hold the time and the event of `variable`."""
        mapped = self.root.get(variable, VariableMapping())
        return mapped.time or f"{variable}_time", mapped.event or f"{variable}_event"

    def values_of(self, variable: str) -> dict[str, str]:
        """Return the site's spellings of the labels of `variable`."""
        mapped = self.root.get(variable)
        return {} if mapped is None else mapped.values


def data_files(data: SiteData) -> tuple[Path, ...]:
    """Return the files of `data.path`, links resolved, sorted by name.

    Raises:
        UsageError: there is none, two names are of one file, or a name holds a wildcard.
    """
    named = Path(data.path or "")
    pattern = named.relative_to(named.anchor).as_posix()
    matches = [named] if named.is_file() else Path(named.anchor).glob(pattern)
    files = tuple(sorted(match.resolve() for match in matches if match.is_file()))
    if not files:
        raise UsageError(
            "data-file-missing",
            "Expected at least one file at `path` in [data], found none.",
            "Correct `path`, which is relative to site.toml's folder, or grant the gate's user the "
            "right to read there.",
        )
    if len({_identity(file) for file in files}) != len(files):
        raise UsageError(
            "data-file-twice",
            "Expected different files at `path` in [data], found two names, or links, of one.",
            "Remove the second name, or narrow `path` in [data].",
        )
    if any(_WILDCARDS & set(str(file)) for file in files):
        raise UsageError(
            "data-file-name",
            "Expected data files without *, ?, [ and ] in their names or folders.",
            "Rename them, or point `path` in [data] at a copy.",
        )
    return files


def _identity(file: Path) -> tuple[int, int]:
    """Return what two names of one file share, hard links included."""
    found = file.stat()
    return found.st_dev, found.st_ino


def data_format(data: SiteData, files: tuple[Path, ...]) -> Format:
    """Return the format that `data` names, or that the files' one suffix says.

    Raises:
        UsageError: neither tells it.
    """
    if data.format is not None:
        return data.format
    formats = {_SUFFIXES.get(file.suffix.lower()) for file in files}
    known = formats.pop() if len(formats) == 1 else None
    if known is None:
        raise UsageError(
            "data-format-unknown",
            "Expected files that all end in .parquet, all in .csv or all in .ndjson, found other "
            "suffixes.",
            'Write format = "parquet", "csv" or "ndjson" in [data].',
        )
    return known


def check_mapping(mapping: Mapping, study: Study) -> None:
    """Check that the mapping speaks of the study's variables, columns and labels only.

    Raises:
        UsageError: it names a variable or a label that the study does not declare, a column of a
            variable that is computed, or the wrong columns of a survival variable.
    """
    for name, mapped in mapping.root.items():
        if name not in study.variables:
            raise UsageError(
                "mapping-of-unknown-variable",
                f"Expected variables of the study in [mapping], found {name!r}.",
                f"Remove it, or write one of: {', '.join(study.variables)}.",
            )
        variable = study.variables[name]
        _check_read(name, variable, study)
        _check_columns(name, variable, mapped)
        labels = (EVENT, CENSORED) if isinstance(variable, Survival) else variable.labels
        for label in mapped.values.values():
            if label not in labels:
                raise UsageError(
                    "mapping-to-unknown-label",
                    f"Expected labels of the study on the right of [mapping.{name}.values], "
                    f"found another.",
                    f"Write one of: {', '.join(labels)}.",
                )


def _check_read(name: str, variable: Variable, study: Study) -> None:
    rule = study.mechanism(name).uses == "none"
    if rule or variable.kind == "missingness":
        how = "by a rule" if rule else "from the variable that may be missing"
        raise UsageError(
            "mapping-of-computed-variable",
            f"Expected variables that are read from a column in [mapping], found {name!r}, which "
            f"is computed {how}.",
            f"Remove [mapping.{name}].",
        )


def _check_columns(name: str, variable: Variable, mapped: VariableMapping) -> None:
    survival = isinstance(variable, Survival)
    if mapped.column is not None if survival else mapped.time or mapped.event:
        expected = "time and event, no column," if survival else "column, no time and no event,"
        raise UsageError(
            "mapping-of-wrong-columns",
            f"Expected {expected} in [mapping.{name}] of a {variable.kind} variable, found others.",
            f'Write {"time" if survival else "column"} = "..." there.',
        )
