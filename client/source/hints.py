"""What a site can do about each finding of `concause site check`, in one sentence each.

Local only, like the findings: a hint may quote a spelling that is in the data.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from client.source.encoding import fates_of
from client.source.readiness import RowReadiness, VariableReadiness
from protocol.study.variables import Count, Missingness, Numeric, Survival, Variable

_DELIMITERS = (";", "\t", "|", ",")


def row_hints(found: RowReadiness) -> tuple[str, ...]:
    """Return what to do about rows that do not count."""
    hints: dict[str, object] = {
        "The files hold no rows: check `path` in [data].": not found.rows,
        f"{found.without_unit} row(s) lack a unit and are left out.": found.without_unit,
        f"{found.left_out} row(s) are left out, as said below by variable.": found.left_out,
    }
    if found.without_visit is not None:
        hints |= _visit_hints(found)
    else:
        hints[
            f"{found.over_bound} row(s) are above the study's bound per unit and left out; nothing "
            "is amiss if a unit may have several."
        ] = found.over_bound
    return tuple(hint for hint, applies in hints.items() if applies)


def _visit_hints(found: RowReadiness) -> dict[str, object]:
    return {
        f"{found.without_visit} row(s) are at none of the study's visits 0, 1, 2, ... and left "
        "out: check visit_column in [data].": found.without_visit,
        f"{found.units_over_bound} unit(s) have several rows at one visit; one of each counts, and "
        f"{found.over_bound} row(s) are left out.": found.units_over_bound,
        "No row that counts is at visit 0, the first one: visits are numbered 0, 1, 2, ...": (
            found.counted and not found.first_visits
        ),
        "No unit has two successive visits, so that nothing is measured of changes: check "
        "visit_column and unit_column in [data].": found.counted and not found.transitions,
    }


def delimiter_hints(columns: Sequence[str]) -> tuple[str, ...]:
    """Return what to do about records that were read as one column because of a delimiter."""
    marks = [mark for mark in _DELIMITERS if len(columns) == 1 and mark in columns[0]]
    return tuple(
        f"The records have a single column, with {mark!r} in its name: write it as delimiter in "
        "[data]."
        for mark in marks[:1]
    )


def variable_hints(
    found: VariableReadiness, domain: Variable, columns: Sequence[str]
) -> tuple[str, ...]:
    """Return what to do about one variable; `columns` are those of the records."""
    if not found.column:
        return tuple(_computed_hints(found, domain))
    if found.type is None:
        return (_absent_hint(found, domain, columns),)
    return tuple(_value_hints(found, domain)) if found.readable else (_unreadable_hint(found),)


def _computed_hints(found: VariableReadiness, domain: Variable) -> Iterator[str]:
    if found.left_out and not isinstance(domain, Missingness):
        yield (
            f"The rule of {found.variable} has no result in {found.left_out} row(s), which are "
            "left out: look at the variables that it reads."
        )
    if found.clamped:
        yield (
            f"The rule of {found.variable} gives a number outside the study's edges in "
            f"{found.clamped} row(s) ({found.clamped_share:.1%}), counted in the nearest bin: "
            "check the units of what it reads; if they are right, tell the study's author."
        )


def _absent_hint(found: VariableReadiness, domain: Variable, columns: Sequence[str]) -> str:
    if isinstance(domain, Survival):
        return (
            f"{found.variable} lacks one of the columns {found.column}: write time and event in "
            f"[mapping.{found.variable}]."
        )
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
    if isinstance(domain, Survival):
        yield from _exit_hints(found)
        return
    fates = fates_of(domain)
    if found.unknown:
        number = isinstance(domain, Numeric | Count)
        kind = "value(s) that are no numbers" if number else "undeclared value(s)"
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
        codes = "map codes such as 999 to MISSING" if domain.missing else "tell the study's author"
        yield (
            f"{found.variable} is outside the study's edges in {found.clamped} row(s), counted in "
            f"the nearest bin: check its unit, or {codes}."
        )
    if found.fractional:
        yield (
            f"{found.variable} is no whole number in {found.fractional} row(s), each counted in "
            "the bin that it lies in: check that the column holds numbers of events, or ask the "
            'study\'s author for kind = "numeric".'
        )


def _exit_hints(found: VariableReadiness) -> Iterator[str]:
    if found.unknown:
        yield (
            f"{found.variable} has {found.unknown_levels} value(s) in {found.unknown} row(s) "
            f"({found.unknown_share:.1%}), left out, that are no time from 0 on, or no known word "
            f"for an event, such as {', '.join(map(repr, found.examples))}: mend times, and write "
            f'"event" or "censored" for each word in [mapping.{found.variable}.values].'
        )
    if found.missing:
        yield (
            f"{found.variable} has no time, or nothing on the event, in {found.missing} row(s) "
            f"({found.missing_share:.1%}), which are left out: write who was never observed as "
            "censored at time 0."
        )


def _fate(domain: Variable, code: int | None) -> str:
    return "left out" if code is None else f"counted as {domain.labels[code]}"


def _suggestion(name: str, columns: Sequence[str]) -> str:
    folded = {column.casefold(): column for column in columns}
    close = get_close_matches(name.casefold(), folded, n=1)
    return f" = {folded[close[0]]!r}, if that is it" if close else ""
