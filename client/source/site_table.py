"""Where a site's records are, and how its columns turn into the study's variables.

These are the `[data]` and `[mapping]` tables of `site.toml`; the site alone writes and sees them.
"""

from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, RootModel

from protocol.errors import UsageError
from protocol.study.study import Study
from protocol.study.variables import Survival, Variable

Format: TypeAlias = Literal["parquet", "csv"]

_WILDCARDS = frozenset("*?[]")  # DuckDB would expand them once more, past the pinned list of files
_SUFFIXES: dict[str, Format] = {".parquet": "parquet", ".csv": "csv"}

EVENT, CENSORED = "event", "censored"  # what the spellings of a survival variable stand for


class SiteData(BaseModel):
    """The files that hold the records, and the column that names the unit of privacy.

    `path` is one file or a glob pattern; `format` is read off the suffix where it is not given.
    `delimiter` stands between the fields of a CSV file; it is never guessed from the records.
    `one_row_per_unit` is the site's own word that no unit has two rows; it stands in for
    `unit_column` where the study's bound is 1. `visit_column` holds the visit of a row, 0, 1, 2,
    ..., where the study has visits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(min_length=1)
    format: Format | None = None
    delimiter: str = Field(default=",", pattern=r"^[\t !#-~]$")  # tab or printable ASCII, no quote
    unit_column: str | None = None
    one_row_per_unit: bool = False
    visit_column: str | None = None

    def anchored(self, folder: Path) -> "SiteData":
        """Return these settings with a relative `path` taken from `folder`."""
        return self.model_copy(update={"path": str(folder / self.path)})


class VariableMapping(BaseModel):
    """Which column holds a variable, and what its own spellings mean.

    `values` maps a spelling in the column to a label of the study, OTHER and MISSING included.
    A survival variable has two columns, `time` and `event`, and `values` maps spellings in the
    latter to "event" or "censored".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str | None = None
    time: str | None = None
    event: str | None = None
    values: dict[str, str] = Field(default_factory=dict)


class Mapping(RootModel[dict[str, VariableMapping]]):
    """The mapping of each listed variable; any other is in the column of its own name.

    A survival variable is by default in NAME_time and NAME_event.
    """

    model_config = ConfigDict(frozen=True)

    root: dict[str, VariableMapping] = Field(default_factory=dict)

    def column_of(self, variable: str) -> str:
        """Return the name of the column that holds `variable`."""
        mapped = self.root.get(variable)
        return variable if mapped is None or mapped.column is None else mapped.column

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
    named = Path(data.path)
    pattern = named.relative_to(named.anchor).as_posix()
    matches = [named] if named.is_file() else Path(named.anchor).glob(pattern)
    files = tuple(sorted(match.resolve() for match in matches if match.is_file()))
    if not files:
        raise UsageError(
            "data-file-missing",
            "Expected at least one file at `path` in [data], found none.",
            "Correct `path` in site.toml, or grant the gate's user the right to read there.",
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
            "Expected files that all end in .parquet or all in .csv, found other suffixes.",
            'Write format = "parquet" or format = "csv" in [data].',
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
