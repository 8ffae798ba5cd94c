"""Columns that a site derives from its own: SQL expressions over one row, checked before they run.

An expression may name columns of the site's table and the functions listed here. It can read
nothing else: no other table, no file, no setting. It is parsed, checked node by node, and written
anew from what was parsed; its text never reaches an engine. What was written is parsed and checked
once more, so that no part of it can be text that becomes more than it was.
"""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from protocol.errors import UsageError

_DIALECT = "duckdb"
MAX_CHARACTERS = 10_000
# Nodes that carry text of their own: only these words, which sqlglot writes as they are.
_PARTS = frozenset(
    {"YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DOW", "ISODOW", "DOY", "HOUR", "MINUTE", "SECOND"}
    | {"YEARS", "MONTHS", "WEEKS", "DAYS", "HOURS", "MINUTES", "SECONDS", "EPOCH"}
)
_TYPES = frozenset(
    getattr(exp.DataType.Type, name)
    for name in (
        *("BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "INT128", "FLOAT", "DOUBLE"),
        *("UTINYINT", "USMALLINT", "UINT", "UBIGINT", "DECIMAL", "VARCHAR", "TEXT", "CHAR"),
        *("DATE", "TIME", "TIMESTAMP", "TIMESTAMPNTZ", "TIMESTAMPTZ", "INTERVAL", "UUID"),
    )
)
# What else a row's expression may hold; every other kind of node is refused.
_NODES = (
    *(exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Neg),
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.DPipe),
    *(exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Is, exp.In, exp.Between),
    *(exp.And, exp.Or, exp.Not, exp.Like, exp.ILike, exp.Case, exp.If, exp.Interval, exp.Var),
    *(exp.Cast, exp.TryCast, exp.DataType, exp.DataTypeParam, exp.Tuple),
    *(exp.Abs, exp.Ceil, exp.Floor, exp.Round, exp.Ln, exp.Log, exp.Exp, exp.Sqrt, exp.Pow),
    *(exp.Greatest, exp.Least, exp.Coalesce, exp.Nullif, exp.Lower, exp.Upper, exp.Trim),
    *(exp.Substring, exp.Length, exp.Replace, exp.Concat, exp.StartsWith, exp.Sign),
    *(exp.RegexpLike, exp.RegexpReplace, exp.RegexpExtract),
    *(exp.DateDiff, exp.Extract, exp.Year, exp.Month, exp.Day, exp.StrToDate, exp.TsOrDsToDate),
)

_REPLACING = (exp.Replace, exp.RegexpReplace)


def derived_sql(name: str, text: str, columns: Collection[str]) -> str:
    """Return the SQL of a derived column for the site's own engine.

    Raises:
        UsageError: it is no expression, names a column that is not there, or does more than
            compute from one row.
    """
    written = _checked(name, text, columns).sql(dialect=_DIALECT, identify=True, comments=False)
    _checked(name, written, columns)
    return written


def columns_of(name: str, text: str, columns: Collection[str] | None) -> frozenset[str]:
    """Return the columns that a derived column is computed from; without `columns`, any may be.

    Raises:
        UsageError: as `derived_sql`.
    """
    return frozenset(column.name for column in _checked(name, text, columns).find_all(exp.Column))


def all_derived(derived: Mapping[str, str], columns: Collection[str]) -> dict[str, str]:
    """Return the SQL of each derived column, by name.

    Raises:
        UsageError: one is not allowed, or has the name of a column that is there.
    """
    taken = {name.casefold() for name in columns}  # to the engine, case is no difference
    for name in derived:
        if name.casefold() in taken:
            raise UsageError(
                "derived-name-taken",
                f"Expected new names in [data.derived], found {name!r}, which the records have.",
                "Choose another name, and map the variable to it; the case of letters is no "
                "difference.",
            )
        taken.add(name.casefold())
    return {name: derived_sql(name, text, columns) for name, text in derived.items()}


def _checked(name: str, text: str, columns: Collection[str] | None) -> exp.Expr:
    if len(text) > MAX_CHARACTERS:
        raise _refused(name, "a shorter one", "one that is very long")
    try:
        found = sqlglot.parse_one(text, dialect=_DIALECT)
    except (SqlglotError, RecursionError) as error:
        raise _refused(name, "one SQL expression", "something that is none") from error
    for node in found.walk():
        if not isinstance(node, _NODES):
            what = node.name if isinstance(node, exp.Anonymous) else node.key
            raise _refused(name, "columns, literals and plain functions only", repr(what))
        _check_own_text(name, node)
        if isinstance(node, exp.Column):
            if node.table or node.db or node.catalog:
                raise _refused(name, "columns of the site's own table", "one of another table")
            if columns is not None and node.name not in columns:
                raise _unknown(name, node.name, columns)
    return found


def _unknown(name: str, column: str, columns: Collection[str]) -> UsageError:
    close = get_close_matches(column, list(columns), n=1)
    guess = f" Perhaps {close[0]!r} is meant." if close else ""
    return UsageError(
        "derived-not-allowed",
        f"Expected columns of the site's own table in [data.derived] {name}, found {column!r}, "
        "which is none.",
        f"Correct the name; it is case-sensitive.{guess}",
    )


def _check_own_text(name: str, node: exp.Expr) -> None:
    """Check a node that holds more than other nodes: a word, a type, or a growing text."""
    if isinstance(node, exp.Var) and node.name.upper() not in _PARTS:
        raise _refused(name, "a part of a date", "another word")
    if isinstance(node, exp.DataType) and (node.this not in _TYPES or node.args.get("kind")):
        raise _refused(name, "a plain type", "another")
    if isinstance(node, exp.DataTypeParam) and not _is_integer(node.this):
        raise _refused(name, "a type with whole numbers", "another")
    if isinstance(node, _REPLACING) and list(node.find_all(*_REPLACING))[1:]:
        # Each multiplies the length of a text, which the engine's memory limit does not bound.
        raise _refused(name, "no replacement within a replacement", "one")


def _is_integer(node: object) -> bool:
    return isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit()


def _refused(name: str, expected: str, found: str) -> UsageError:
    return UsageError(
        "derived-not-allowed",
        f"Expected {expected} in [data.derived] {name}, found {found}.",
        "Compute from the columns of one row: arithmetic, comparisons, CASE, CAST, text and date "
        "functions. What needs more belongs into a view of the database.",
    )
