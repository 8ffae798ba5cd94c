"""What `concause site check` shows: how a site's records fit a study.

Local only. It holds exact counts and spellings found in the data, so nothing of it may leave
the site. What to do about each finding is said by `client/source/hints.py`.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class VariableReadiness:
    """How one variable is read off its columns; the counts are numbers of rows.

    A survival variable has two columns; one that is computed has none. `type` is None where the
    records lack a column; `readable` says whether the types can hold the variable. `unknown` rows
    hold an undeclared value, one of `unknown_levels` different ones, of which `examples` are the
    most frequent. `clamped` rows hold a number outside the edges, or a rule gives one there;
    `fractional` rows hold a number of events that is not whole. `left_out` rows have no code in
    this variable, and so count nowhere.
    """

    variable: str
    column: str
    type: str | None
    readable: bool
    rows: int
    missing: int = 0
    unknown: int = 0
    unknown_levels: int = 0
    clamped: int = 0
    fractional: int = 0
    left_out: int = 0
    examples: tuple[str, ...] = field(default=(), repr=False)

    @property
    def missing_share(self) -> float:
        """Return the share of rows without a value."""
        return self.missing / max(self.rows, 1)

    @property
    def unknown_share(self) -> float:
        """Return the share of rows with an undeclared value."""
        return self.unknown / max(self.rows, 1)

    @property
    def clamped_share(self) -> float:
        """Return the share of rows whose number is outside the edges."""
        return self.clamped / max(self.rows, 1)

    def to_json(self) -> dict[str, Any]:
        """Return the values for `--json`."""
        return {
            "variable": self.variable,
            "column": self.column,
            "found": self.type is not None,
            "type": self.type,
            "readable": self.readable,
            "missing_share": self.missing_share,
            "clamped_share": self.clamped_share,
            "fractional_rows": self.fractional,
            "unknown_rows": self.unknown,
            "unknown_levels": self.unknown_levels,
            "examples": list(self.examples),
            "left_out_rows": self.left_out,
        }


@dataclass(frozen=True, slots=True)
class RowReadiness:
    """Which rows count; a number is None where a column that it needs is missing.

    Of all `rows`, `left_out` lack a code in some variable, `without_unit` name no unit and
    `without_visit` none of the study's visits; of the rest, `over_bound` exceed the bound of
    their unit, or of its visit, and `counted` remain. `units` counts the different units of all
    rows, `units_over_bound` those with rows above the bound; None if the site attests one row per
    unit. `first_visits` and `transitions` are of a longitudinal study: how many of the rows that
    count are at visit 0, and how many have the visit before.
    """

    rows: int
    left_out: int | None = None
    without_unit: int | None = None
    over_bound: int | None = None
    counted: int | None = None
    units: int | None = None
    units_over_bound: int | None = None
    without_visit: int | None = None
    first_visits: int | None = None
    transitions: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the values for `--json`."""
        return {
            "rows": self.rows,
            "left_out": self.left_out,
            "without_unit": self.without_unit,
            "over_bound": self.over_bound,
            "counted": self.counted,
            "units": self.units,
            "units_over_bound": self.units_over_bound,
            "without_visit": self.without_visit,
            "first_visits": self.first_visits,
            "transitions": self.transitions,
        }


@dataclass(frozen=True, slots=True)
class Readiness:
    """How a site's records fit a study, with a hint for each fix; empty `hints`: all is well."""

    rows: RowReadiness
    variables: tuple[VariableReadiness, ...]
    hints: tuple[str, ...] = field(repr=False)

    @property
    def ready(self) -> bool:
        """Return whether a measurement would run and count at least one row."""
        return bool(self.rows.counted)

    def to_json(self) -> dict[str, Any]:
        """Return the values for `--json`."""
        return {
            "ready": self.ready,
            **self.rows.to_json(),
            "variables": [variable.to_json() for variable in self.variables],
            "hints": list(self.hints),
        }
