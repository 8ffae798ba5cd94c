"""Columns that a site derives from its own: SQL expressions over one row, checked before they run.

An expression may name columns of the site's table and the functions listed here. It can read
nothing else: no other table, no file, no setting. It is parsed, checked node by node, and written
anew from what was parsed; its text never reaches an engine.
"""

from collections.abc import Mapping, Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from protocol.errors import UsageError

_DIALECT = "duckdb"
MAX_CHARACTERS = 10_000
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


def derived_sql(name: str, text: str, columns: Sequence[str]) -> str:
    """Return the SQL of a derived column for the site's own engine.

    Raises:
        UsageError: it is no expression, names a column that is not there, or does more than
            compute from one row.
    """
    return _checked(name, text, columns).sql(dialect=_DIALECT, identify=True)


def columns_of(name: str, text: str, columns: Sequence[str]) -> frozenset[str]:
    """Return the columns that a derived column is computed from.

    Raises:
        UsageError: as `derived_sql`.
    """
    return frozenset(column.name for column in _checked(name, text, columns).find_all(exp.Column))


def all_derived(derived: Mapping[str, str], columns: Sequence[str]) -> dict[str, str]:
    """Return the SQL of each derived column, by name.

    Raises:
        UsageError: one is not allowed, or has the name of a column that is there.
    """
    for name in derived:
        if name in columns:
            raise UsageError(
                "derived-name-taken",
                f"Expected new names in [derived], found {name!r}, which the records have.",
                "Choose another name, and map the variable to it.",
            )
    return {name: derived_sql(name, text, columns) for name, text in derived.items()}


def _checked(name: str, text: str, columns: Sequence[str]) -> exp.Expr:
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
        if isinstance(node, exp.Column):
            if node.table or node.db or node.catalog:
                raise _refused(name, "columns of the site's own table", "one of another table")
            if node.name not in columns:
                raise _refused(name, "columns of the site's own table", repr(node.name))
    return found


def _refused(name: str, expected: str, found: str) -> UsageError:
    return UsageError(
        "derived-not-allowed",
        f"Expected {expected} in [derived] {name}, found {found}.",
        "Compute from the columns of one row: arithmetic, comparisons, CASE, CAST, text and date "
        "functions. What needs more belongs into a view of the database.",
    )
