"""Spark as an origin of records: a table of a catalogue, or Parquet files of a data lake.

Rows travel in Arrow batches, one after another, so that neither the driver nor the gate holds
more than one at a time. Records must not change while they are read; the fingerprint tells.
"""

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import ibis
import pyarrow as pa
from ibis.backends.sql.datatypes import PySparkType
from ibis.config import Config

from client.source.origin import Queries
from protocol.errors import StorageError, UsageError

_VIEW = "concause_records"
_BATCH = "batch"
# To the microsecond, as the values are: to_json would leave the last three digits out.
_AS_TEXT = (
    "map('ignoreNullFields', 'false', 'timestampFormat', \"yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX\","
    " 'timestampNTZFormat', \"yyyy-MM-dd'T'HH:mm:ss.SSSSSS\")"
)


class _CompilerOptions(Config):  # type: ignore[misc]  # ibis has no types
    """What ibis's compiler reads; its own backend would set it, and asks for an older pandas."""

    treat_nan_as_null: bool = False


def session_at(master: str) -> Any:  # noqa: ANN401 - Spark's
    """Return this process's session, begun if there is none; that takes seconds.

    Raises:
        StorageError: there is none to be had.
    """
    from pyspark.sql import SparkSession  # noqa: PLC0415 - the extra `spark`

    with _errors():
        builder = SparkSession.builder.master(master).appName("concause")
        if master.startswith("local"):  # nothing of it listens to the network
            for name in ("spark.driver.host", "spark.driver.bindAddress"):
                builder = builder.config(name, "127.0.0.1")
            # Its workers run this Python, not whichever is first on the path.
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        return (
            builder.config("spark.ui.enabled", "false")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.shuffle.partitions", "2")  # groups are few
            .getOrCreate()
        )


class SparkOrigin:
    """One table, through one session, until `close`."""

    def __init__(self, master: str, table: str | None, path: str | None) -> None:
        """Open a session at `master`, and the table or the Parquet files.

        Raises:
            UsageError: there is no such table or file.
            StorageError: there is no session to be had.
        """
        ibis.options.pyspark = _CompilerOptions()
        self._session = session_at(master)
        try:
            frame = self._session.table(table) if table else self._session.read.parquet(str(path))
            frame.createOrReplaceTempView(_VIEW)
        except Exception as error:
            raise UsageError(
                "table-not-readable",
                "Expected to read the table or files that [data] names, but Spark finds none.",
                "Check `table` or `path` in [data].",
            ) from error
        known = {
            field.name: PySparkType.from_string(field.dataType.simpleString())
            for field in frame.schema
        }
        self.queries = Queries("pyspark", _VIEW, ibis.schema(known))

    def fingerprint(self, columns: Sequence[str]) -> tuple[int, str]:
        """Return the number of rows, and the sum of 60 bits of SHA-256 of each row's values."""
        record = ", ".join(_quoted(name) for name in columns)
        digest = f"sha2(to_json(struct({record}), {_AS_TEXT}), 256)"
        number = f"cast(conv(substring({digest}, 1, 15), 16, 10) AS decimal(38, 0))"
        query = f"SELECT count(*) AS n, coalesce(sum({number}), 0) AS total FROM {_VIEW}"  # noqa: S608
        with _errors():
            found = self._session.sql(query).collect()[0]
        return int(found["n"]), str(int(found["total"]))

    def close(self) -> None:
        """Drop the view; the session is the process's own and may serve the next source."""
        with suppress(Exception):
            self._session.catalog.dropTempView(_VIEW)

    def fetch(self, statement: str) -> pa.RecordBatchReader:
        """Return what a statement finds, a batch at a time."""
        with _errors(), warnings.catch_warnings():
            # Arrow alone is used, whatever Spark thinks of the pandas that is installed.
            warnings.simplefilter("ignore", FutureWarning)
            from pyspark.sql.pandas.types import to_arrow_schema  # noqa: PLC0415

            frame = self._session.sql(statement)
            schema = to_arrow_schema(frame.schema, timezone="UTC")
            serialised = frame.mapInArrow(_serialiser(), f"{_BATCH} binary")
        return pa.RecordBatchReader.from_batches(schema, _batches(serialised, schema))


def _serialiser() -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return what wraps each batch, at the executors, as one binary value.

    A function of its own, which travels by value: executors need pyarrow and nothing of ours.
    """

    def serialised(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa  # noqa: PLC0415 - at the executor

        for batch in batches:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch)
            content = pa.array([sink.getvalue().to_pybytes()], pa.binary())
            yield pa.record_batch({"batch": content})

    return serialised


def _batches(frame: Any, schema: pa.Schema) -> Iterator[pa.RecordBatch]:  # noqa: ANN401 - Spark's
    with _errors():
        for row in frame.toLocalIterator(prefetchPartitions=True):
            for batch in pa.ipc.open_stream(bytes(row[_BATCH])):
                yield batch.cast(schema)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Spark has many, without a common class
        raise StorageError(
            "database-failed",
            "Spark could not be reached, or did not finish a query.",
            "Check the cluster; the cause is in the gate's log under this id.",
        ) from error
