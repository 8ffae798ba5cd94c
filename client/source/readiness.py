"""What `concause site check` shows: how a site's records fit a study.

Local only. It holds exact counts and spellings found in the data, so nothing of it may leave
the site. What to do about each finding is said by `client/source/hints.py`.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class VariableReadiness:
    """How one variable is read off its column; the counts are numbers of rows.

    `type` is None where the records have no such column; `readable` says whether the type can
    hold a variable. `unknown` rows hold an undeclared value, one of `unknown_levels` different
    ones, of which `examples` are the most frequent. `clamped` rows hold a number outside the
    edges. `left_out` rows have no code in this variable, and so count nowhere.
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
    left_out: int = 0
    examples: tuple[str, ...] = field(default=(), repr=False)

    @property
    def missing_share(self) -> float:
        """Return the share of rows without a value."""
        return self.missing / max(self.rows, 1)

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
            "unknown_rows": self.unknown,
            "unknown_levels": self.unknown_levels,
            "examples": list(self.examples),
            "left_out_rows": self.left_out,
        }


@dataclass(frozen=True, slots=True)
class RowReadiness:
    """Which rows count; a number is None where a column that it needs is missing.

    Of all `rows`, `left_out` lack a code in some variable and `without_unit` name no unit; of
    the rest, `over_bound` exceed the bound of their unit, and `counted` remain. `units` counts
    the different units of all rows; None if the site attests one row per unit.
    """

    rows: int
    left_out: int | None = None
    without_unit: int | None = None
    over_bound: int | None = None
    counted: int | None = None
    units: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the values for `--json`."""
        return {
            "rows": self.rows,
            "left_out": self.left_out,
            "without_unit": self.without_unit,
            "over_bound": self.over_bound,
            "counted": self.counted,
            "units": self.units,
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
