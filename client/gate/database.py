"""The gate's durable memory: one SQLite file that survives a kill at any instruction.

WAL with full synchronous writes: what a transaction committed is on the disk before the
call returns. Ledger and journal share the file, so that a round's charge and its step are
one commit. Nothing here knows what is stored; the schemas belong to ledger and journal.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from protocol.errors import StorageError

Row: TypeAlias = tuple[Any, ...]
FORMAT = 3
_WAIT_S = 10.0


class Database:
    """A connection that several threads of one process may use in turn.

    Raises:
        StorageError: from every method, when the disk or the file does not do its part.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        try:
            path.touch(mode=0o600, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
            self._configure(path)
        except (sqlite3.Error, OSError) as error:
            raise _unavailable() from error
        self._install(path, schema)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything inside, or nothing; an inner transaction joins the outer one.

        The write lock is taken at the start (BEGIN IMMEDIATE), so that what was read inside
        is still true when it is acted upon, whoever else has the file open.
        """
        with self._lock:
            if self._depth:
                yield
                return
            self._execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                self._execute("COMMIT")
            except BaseException:
                self._connection.rollback()
                raise
            finally:
                self._depth -= 1

    def write(self, statement: str, *values: object) -> int:
        """Run one statement in a transaction; return how many rows it changed."""
        with self.transaction():
            return self._execute(statement, *values).rowcount

    def rows(self, query: str, *values: object) -> list[Row]:
        """Return all rows of a query."""
        with self._lock, closing(self._execute(query, *values)) as cursor:
            try:
                return cursor.fetchall()
            except sqlite3.Error as error:
                raise _unavailable() from error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def _execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        try:
            return self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise _unavailable() from error

    def _configure(self, path: Path) -> None:
        (mode,) = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StorageError(
                "state-not-durable",
                f"Expected a disk that supports write-ahead logs at {path}, found one that does "
                "not (a network share?).",
                "Put the site's folder on a local disk.",
            )
        self._connection.execute("PRAGMA synchronous = FULL")

    def _install(self, path: Path, schema: str) -> None:
        with self.transaction():
            ((found,),) = self.rows("PRAGMA user_version")
            if found == 0:
                for statement in schema.split("\n\n"):
                    self._execute(statement)
                self._execute(f"PRAGMA user_version = {FORMAT}")
            elif found != FORMAT:
                raise StorageError(
                    "state-of-other-version",
                    f"Expected format {FORMAT} in {path}, found format {found}.",
                    "Run a newer concause."
                    if found > FORMAT
                    else "Run the older concause that wrote it, or begin a new site and count "
                    "what it has spent as spent.",
                )


def _unavailable() -> StorageError:
    return StorageError(
        "state-unavailable",
        "The gate's own state on disk could not be read or written.",
        "Check free space, permissions and the disk of the site's folder; then start again.",
    )
