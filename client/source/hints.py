"""What a site can do about each finding of `concause site check`, in one sentence each.

Local only, like the findings: a hint may quote a spelling that is in the data.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from client.source.encoding import fates_of
from client.source.readiness import RowReadiness, VariableReadiness
from protocol.study.variables import Variable


def row_hints(found: RowReadiness) -> tuple[str, ...]:
    """Return what to do about rows that do not count."""
    hints = {
        "The files hold no rows: check `path` in [data].": not found.rows,
        f"{found.without_unit} row(s) lack a unit and are left out.": found.without_unit,
        f"{found.left_out} row(s) are left out, as said below by variable.": found.left_out,
        f"{found.over_bound} row(s) are above the study's bound per unit and left out; nothing is "
        "amiss if a unit may have several.": found.over_bound,
    }
    return tuple(hint for hint, applies in hints.items() if applies)


def variable_hints(
    found: VariableReadiness, domain: Variable, columns: Sequence[str]
) -> tuple[str, ...]:
    """Return what to do about one variable; `columns` are those of the records."""
    if found.type is None:
        return (_absent_hint(found, columns),)
    return tuple(_value_hints(found, domain)) if found.readable else (_unreadable_hint(found),)


def _absent_hint(found: VariableReadiness, columns: Sequence[str]) -> str:
    return (
        f"{found.variable} has no column {found.column!r}: write column in "
        f"[mapping.{found.variable}]{_suggestion(found.column, columns)}."
    )


def _unreadable_hint(found: VariableReadiness) -> str:
    return (
        f"{found.variable} cannot be read from a column of type {found.type}: convert it to text "
        f"or numbers, or write another column in [mapping.{found.variable}]."
    )


def _value_hints(found: VariableReadiness, domain: Variable) -> Iterator[str]:
    fates = fates_of(domain)
    if found.unknown:
        kind = "value(s) that are no numbers" if domain.kind == "numeric" else "undeclared value(s)"
        yield (
            f"{found.variable} has {found.unknown_levels} {kind} in {found.unknown} row(s), "
            f"{_fate(domain, fates.unknown)}, such as {', '.join(map(repr, found.examples))}: "
            f"give each a label in [mapping.{found.variable}.values]."
        )
    if found.missing and fates.missing is None:
        yield (
            f"{found.variable} has no value in {found.missing} row(s), which are left out: "
            "fill it in, or ask the study's author for missing = true."
        )
    if found.clamped:
        yield (
            f"{found.variable} is outside the study's edges in {found.clamped} row(s), counted in "
            "the nearest bin: check its unit, or map codes such as 999 to MISSING."
        )


def _fate(domain: Variable, code: int | None) -> str:
    return "left out" if code is None else f"counted as {domain.labels[code]}"


def _suggestion(name: str, columns: Sequence[str]) -> str:
    folded = {column.casefold(): column for column in columns}
    close = get_close_matches(name.casefold(), folded, n=1)
    return f" = {folded[close[0]]!r}, if that is it" if close else ""
