"""The queries behind `concause site check`: what a measurement would find in the records."""

from collections.abc import Sequence

import ibis

from client.source.bounding import UNIT, VISIT, Rows, check_unit, lacks_code, with_unit
from client.source.encoding import Fates
from client.source.engine import Engine
from client.source.hints import delimiter_hints, row_hints, variable_hints
from client.source.populations import PopulationSizes
from client.source.readiness import Readiness, RowReadiness, VariableReadiness
from client.source.row_bound import RowBound
from client.source.study_columns import StudyColumns
from protocol.errors import UsageError

EXAMPLES = 5
COMPUTED = "computed"  # the type of what the site has no column for, and needs none

# Codes that no domain has: each tells one thing that may be amiss with a value.
_MISSING, _UNKNOWN, _BELOW, _ABOVE = -1, -2, -3, -4
_MARKS = Fates(_MISSING, _UNKNOWN, _BELOW, _ABOVE)


def inspect(
    engine: Engine,
    columns: StudyColumns,
    bound: RowBound,
    counted: PopulationSizes | None,
    names: Sequence[str],
) -> Readiness:
    """Return how the engine's records fit the study.

    `counted` is how many rows a measurement counts, None if a column is missing for one; `names`
    are the columns that a hint may point to.
    """
    total = engine.one(columns.records.aggregate(rows=columns.records.count()))["rows"]
    rows = RowReadiness(total) if counted is None else _rows(engine, columns, bound, counted)
    computable = counted is not None
    variables = tuple(
        _variable(engine, columns, name, total, computable=computable)
        for name in columns.study.variables
    )
    hints = [*delimiter_hints(names), *_unit_hints(columns, bound), *row_hints(rows)]
    for found in variables:
        hints += variable_hints(found, columns.study.variables[found.variable], names)
    return Readiness(rows, variables, tuple(hints))


def _unit_hints(columns: StudyColumns, bound: RowBound) -> tuple[str, ...]:
    try:
        check_unit(columns.records, bound)
    except UsageError as error:
        return (str(error),)
    return ()


def _rows(
    engine: Engine, columns: StudyColumns, bound: RowBound, counted: PopulationSizes
) -> RowReadiness:
    coded = with_unit(columns.records, columns.codes(columns.study.variables), bound)
    lacks = lacks_code(coded, columns.aliases)
    found = engine.one(coded.aggregate(rows=coded.count(), left_out=coded.count(where=lacks)))
    if bound.unit_column is None:
        return RowReadiness(found["rows"], found["left_out"], 0, 0, counted.rows)
    visited = bound.visit_column is not None
    named = coded[UNIT].notnull()
    placed = coded[VISIT].notnull() if visited else ibis.literal(value=True)
    eligible = coded.filter(~lacks & named & placed)
    units = engine.one(
        coded.aggregate(
            named=coded.count(where=named),
            placed=coded.count(where=placed),
            eligible=coded.count(where=~lacks & named & placed),
            units=coded[UNIT].nunique(),
        )
    )
    return RowReadiness(
        rows=found["rows"],
        left_out=found["left_out"],
        without_unit=found["rows"] - units["named"],
        over_bound=units["eligible"] - counted.rows,
        counted=counted.rows,
        units=units["units"],
        units_over_bound=engine.one(_units_over_bound(eligible, bound))["units"],
        without_visit=found["rows"] - units["placed"] if visited else None,
        first_visits=counted.units if visited else None,
        transitions=counted.transitions,
    )


def _units_over_bound(eligible: Rows, bound: RowBound) -> Rows:
    whose = [UNIT] if bound.visit_column is None else [UNIT, VISIT]
    grouped = eligible.group_by(whose).agg(times=eligible.count())
    many = grouped.filter(grouped["times"] > bound.max_rows)
    return many.aggregate(units=many[UNIT].nunique())


def _variable(
    engine: Engine, columns: StudyColumns, variable: str, rows: int, *, computable: bool
) -> VariableReadiness:
    names, types = columns.source_names(variable), columns.source_types(variable)
    if not names:
        return _computed(engine, columns, variable, rows, computable=computable)
    type_ = None if None in types else " + ".join(map(str, types))
    name = " + ".join(names)
    if variable in columns.absent() or variable in columns.unreadable():
        return VariableReadiness(variable, name, type_, readable=False, rows=rows)
    mark, text = columns.marked(variable, _MARKS)
    marked = columns.records.select(
        mark=mark,
        code=columns.code(variable),
        text=text.cast("string"),
        fractional=columns.fractional(variable),
    )
    found = engine.one(_counted(marked, columns.study.variables[variable].missing_code))
    examples = engine.texts(_most_frequent(marked)) if found["unknown"] else ()
    return VariableReadiness(
        variable, name, type_, readable=True, rows=rows, **found, examples=examples
    )


def _computed(
    engine: Engine, columns: StudyColumns, variable: str, rows: int, *, computable: bool
) -> VariableReadiness:
    if not computable:
        return VariableReadiness(variable, "", COMPUTED, readable=True, rows=rows)
    coded = columns.records.select(code=columns.code(variable), outside=columns.outside(variable))
    missing = coded["code"] == columns.study.variables[variable].missing_code
    found = engine.one(
        coded.aggregate(
            missing=coded.count(where=missing),
            clamped=coded.count(where=coded["outside"]),
            left_out=coded.count(where=coded["code"].isnull()),
        )
    )
    return VariableReadiness(
        variable,
        "",
        COMPUTED,
        readable=True,
        rows=rows,
        missing=found["missing"],
        clamped=found["clamped"],
        left_out=found["left_out"],
    )


def _counted(marked: Rows, missing_code: int | None) -> Rows:
    mark = marked["mark"]
    missing = mark == _MISSING  # or mapped to the label by the site
    if missing_code is not None:
        missing = missing | (mark == missing_code)
    unknown = mark == _UNKNOWN
    return marked.aggregate(
        missing=marked.count(where=missing),
        unknown=marked.count(where=unknown),
        unknown_levels=marked["text"].nunique(where=unknown),
        clamped=marked.count(where=mark.isin((_BELOW, _ABOVE))),
        fractional=marked.count(where=marked["fractional"]),
        left_out=marked.count(where=marked["code"].isnull()),
    )


def _most_frequent(marked: Rows) -> Rows:
    undeclared = marked.filter(marked["mark"] == _UNKNOWN)
    grouped = undeclared.group_by("text").agg(times=undeclared.count())
    return grouped.order_by([grouped["times"].desc(), "text"]).limit(EXAMPLES)["text"]
