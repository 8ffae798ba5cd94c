"""A database that holds a site's records, and the few things that it is asked.

One expression for every database, which ibis writes in its dialect: columns, rows, and how often
each combination of a few columns is there. What a value means to the study is decided in the
site's own engine alone, so every database gives the same integers (decision 15).
"""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

import ibis
import pyarrow as pa

from client.source.bounding import Rows

TIMES = "times of a group"  # no column of a study's has this name
SAMPLE = 10_000


class Origin(Protocol):
    """One table of a database, as it was when the origin was opened.

    Raises:
        StorageError: from every method, where the database does not do its part.
    """

    @property
    def queries(self) -> "Queries":
        """Return the statements for the table."""
        ...

    def fetch(self, statement: str) -> pa.RecordBatchReader:
        """Return what a statement finds, a batch at a time."""
        ...

    def fingerprint(self, columns: Sequence[str]) -> tuple[int, str]:
        """Return the number of rows, and a number that changes with any value of these columns."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


class Queries:
    """The statements for one table in one dialect."""

    def __init__(self, dialect: str, table: str, schema: ibis.Schema) -> None:
        *outer, name = table.split(".")
        database = outer[-1] if outer else None
        catalog = outer[0] if len(outer) > 1 else None
        self._dialect = dialect
        text = ibis.dtype("string")
        # The table's columns, as their values arrive.
        self.schema = ibis.schema(
            {name: text if travels_as_text(type_) else type_ for name, type_ in schema.items()}
        )
        self._records: Rows = ibis.table(schema, name=name, catalog=catalog, database=database)

    def rows(self, columns: Sequence[str]) -> str:
        """Return the statement that reads columns."""
        return self._sql(self._records.select(*map(self._value, columns)))

    def sample(self, columns: Sequence[str]) -> str:
        """Return the statement that reads columns of the first rows."""
        return self._sql(self._records.select(*map(self._value, columns)).limit(SAMPLE))

    def groups(self, columns: Sequence[str]) -> str:
        """Return the statement that counts combinations."""
        values = self._records.select(*map(self._value, columns))
        return self._sql(values.group_by(list(columns)).agg(values.count().name(TIMES)))

    def _value(self, name: str) -> Any:  # noqa: ANN401 - ibis has no types
        """Return a column as it travels: what Arrow has no plain type for, as text."""
        column = self._records[name]
        type_ = column.type()
        if self._dialect == "postgres":
            column = _plain_in_postgres(column)
        return (column.cast("string") if travels_as_text(type_) else column).name(name)

    def _sql(self, expression: Rows) -> str:
        return str(ibis.to_sql(expression, dialect=self._dialect))


def _plain_in_postgres(column: Any) -> Any:  # noqa: ANN401 - ibis has no types
    """Return a column without what only PostgreSQL tells apart: 1.5 and 1.50, infinite dates."""
    type_ = column.type()
    if type_.is_decimal():
        return _trim_scale(column)
    if type_.is_date():
        return ibis.cases((_is_finite_date(column), column), else_=ibis.null(type_))
    if type_.is_timestamp():
        return ibis.cases((_is_finite_time(column), column), else_=ibis.null(type_))
    return column


@ibis.udf.scalar.builtin(name="trim_scale")  # type: ignore[untyped-decorator]
def _trim_scale(number: Decimal) -> Decimal:  # type: ignore[empty-body]
    """Return a number without zeros at the end of its fraction."""


@ibis.udf.scalar.builtin(name="isfinite")  # type: ignore[untyped-decorator]
def _is_finite_date(value: date) -> bool:  # type: ignore[empty-body]
    """Return whether a date is one of the calendar's."""


@ibis.udf.scalar.builtin(name="isfinite")  # type: ignore[untyped-decorator]
def _is_finite_time(value: datetime) -> bool:  # type: ignore[empty-body]
    """Return whether a time is one of the calendar's."""


def travels_as_text(type_: ibis.DataType) -> bool:
    """Return whether values of a column travel as text: exact decimals, and UUIDs."""
    return bool(type_.is_decimal() or type_.is_uuid())
