"""The queries behind `concause site check`: what a measurement would find in the records."""

from client.source.bounding import UNIT, Rows, check_unit, lacks_code, with_unit
from client.source.encoding import Fates
from client.source.engine import Engine
from client.source.hints import row_hints, variable_hints
from client.source.readiness import Readiness, RowReadiness, VariableReadiness
from client.source.row_bound import RowBound
from client.source.study_columns import StudyColumns
from protocol.errors import UsageError

EXAMPLES = 5

# Codes that no domain has: each tells one thing that may be amiss with a value.
_MISSING, _UNKNOWN, _BELOW, _ABOVE = -1, -2, -3, -4
_MARKS = Fates(_MISSING, _UNKNOWN, _BELOW, _ABOVE)


def inspect(
    engine: Engine, columns: StudyColumns, bound: RowBound, counted: int | None
) -> Readiness:
    """Return how the engine's records fit the study.

    `counted` is how many rows a measurement counts, None if a column is missing for one.
    """
    total = engine.one(engine.records.aggregate(rows=engine.records.count()))["rows"]
    rows = RowReadiness(total) if counted is None else _rows(engine, columns, bound, counted)
    variables = tuple(_variable(engine, columns, name, total) for name in columns.study.variables)
    names = tuple(engine.schema)
    hints = [*_unit_hints(engine, bound), *row_hints(rows)]
    for found in variables:
        hints += variable_hints(found, columns.study.variables[found.variable], names)
    return Readiness(rows, variables, tuple(hints))


def _unit_hints(engine: Engine, bound: RowBound) -> tuple[str, ...]:
    try:
        check_unit(engine.records, bound)
    except UsageError as error:
        return (str(error),)
    return ()


def _rows(engine: Engine, columns: StudyColumns, bound: RowBound, counted: int) -> RowReadiness:
    coded = with_unit(engine.records, columns.codes(columns.study.variables), bound)
    lacks = lacks_code(coded, columns.aliases)
    if bound.unit_column is None:
        found = engine.one(coded.aggregate(rows=coded.count(), left_out=coded.count(where=lacks)))
        return RowReadiness(found["rows"], found["left_out"], 0, 0, counted)
    named = coded[UNIT].notnull()
    found = engine.one(
        coded.aggregate(
            rows=coded.count(),
            left_out=coded.count(where=lacks),
            named=coded.count(where=named),
            eligible=coded.count(where=named & ~lacks),
            units=coded[UNIT].nunique(),
        )
    )
    return RowReadiness(
        rows=found["rows"],
        left_out=found["left_out"],
        without_unit=found["rows"] - found["named"],
        over_bound=found["eligible"] - counted,
        counted=counted,
        units=found["units"],
    )


def _variable(engine: Engine, columns: StudyColumns, variable: str, rows: int) -> VariableReadiness:
    name = columns.source_name(variable)
    type_ = engine.schema.get(name)
    if variable in columns.absent() or variable in columns.unreadable():
        return VariableReadiness(variable, name, type_, readable=False, rows=rows)
    marked = engine.records.select(
        mark=columns.encoded(variable, columns.value(variable), _MARKS),
        code=columns.code(variable),
        text=columns.value(variable).cast("string"),
    )
    found = engine.one(_counted(marked, columns.study.variables[variable].missing_code))
    examples = engine.texts(_most_frequent(marked)) if found["unknown"] else ()
    return VariableReadiness(
        variable, name, type_, readable=True, rows=rows, **found, examples=examples
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
        left_out=marked.count(where=marked["code"].isnull()),
    )


def _most_frequent(marked: Rows) -> Rows:
    undeclared = marked.filter(marked["mark"] == _UNKNOWN)
    grouped = undeclared.group_by("text").agg(times=undeclared.count())
    return grouped.order_by([grouped["times"].desc(), "text"]).limit(EXAMPLES)["text"]
