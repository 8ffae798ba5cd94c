"""A site's records in a database: fetched when needed, and grouped where they are when not.

Only the columns that a study reads ever leave the database, for the memory of the site's own
engine and its spill folder, which is wiped.
"""

from collections.abc import Mapping, Sequence

import ibis

from client.source.bounding import Rows
from client.source.engine import Engine
from client.source.fingerprint import Fingerprint
from client.source.origin import SAMPLE, TIMES, Origin

SOURCE = "site_rows"
_SAMPLED = "site_some"
_GROUPS = "site_groups"


class DatabaseRecords:
    """Columns of one table of an origin.

    Attributes:
        rows: one row per record; the first query over them fetches them.
        names: all columns of the table, those that are never fetched too.
    """

    def __init__(self, engine: Engine, origin: Origin, columns: Sequence[str]) -> None:
        """Promise these columns; nothing is fetched yet."""
        self._engine = engine
        self._origin = origin
        self._columns = tuple(columns)
        self._schema = {name: origin.queries.schema[name] for name in columns}
        self._groups = 0
        self.names = tuple(origin.queries.schema.names)
        self.rows: Rows = ibis.table(self._schema, name=SOURCE)
        queries = origin.queries
        self._promise(SOURCE, queries.rows(self._columns))
        self._promise(_SAMPLED, queries.sample(self._columns))

    @property
    def is_fetched(self) -> bool:
        """Return whether the records are in the engine already."""
        return not self._engine.is_promised(SOURCE)

    def sample(self) -> Rows:
        """Return some of the records."""
        if self.is_fetched:
            return self.rows.limit(SAMPLE)
        return ibis.table(self._schema, name=_SAMPLED)

    def grouped(self, columns: Mapping[str, str], times: str) -> Rows:
        """Return each combination of values of columns, under their aliases, and `times` of it."""
        self._groups += 1
        name = f"{_GROUPS}_{self._groups}"
        statement = self._origin.queries.groups(tuple(columns.values()))
        self._engine.take(self._origin.fetch(statement), name)
        types = {column: self._schema[column] for column in columns.values()}
        found = ibis.table({**types, TIMES: "int64"}, name=name)
        named = {alias: found[column] for alias, column in columns.items()}
        return found.select(**named, **{times: found[TIMES]})

    def check_unchanged(self) -> None:
        """Do nothing: all is read in one snapshot, or told by the fingerprint."""

    def fingerprint(self) -> Fingerprint:
        """Return what identifies these columns of all rows."""
        rows, content = self._origin.fingerprint(self._columns)
        types = tuple((name, str(type_)) for name, type_ in self._schema.items())
        return Fingerprint(types, rows, (), content)

    def _promise(self, name: str, statement: str) -> None:
        take, fetch = self._engine.take, self._origin.fetch
        self._engine.promise(name, lambda: take(fetch(statement), name))

    def close(self) -> None:
        """Let go of the database."""
        self._origin.close()
