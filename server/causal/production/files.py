"""One file of synthetic rows, written batch by batch: Parquet, Arrow or CSV.

A file is written under another name and renamed when it is finished, so that a name stands for
a whole file, whatever happens in between.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from protocol.errors import StorageError, UsageError
from protocol.study.problems import either
from server.causal.model import Model
from server.causal.production.request import Request
from server.causal.sampling.engine import Engine

Progress: TypeAlias = Callable[[int], None]  # rows that have been written since the last call
ENDINGS = (".parquet", ".arrow", ".csv")
UNFINISHED = ".part"


class Writer(Protocol):
    """Takes tables one after another."""

    def write_table(self, table: pa.Table) -> None:
        """Append a table."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def check_ending(path: Path) -> None:
    """Check that a file can be written in the format that its name says.

    Raises:
        UsageError: it cannot.
    """
    if path.suffix not in ENDINGS:
        raise UsageError(
            "unknown-format",
            f"Expected a name that ends in {either(ENDINGS)}, found {path.name!r}.",
            "Change the ending of --out, or end it in / for a folder of Parquet files.",
        )


def write_file(
    path: Path,
    model: Model,
    request: Request,
    span: tuple[int, int],
    *,
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> None:
    """Write some rows of a request, first row and number, in the memory of one batch.

    `model` is the view that the request is of.

    Raises:
        StorageError: the disk did not take it; then there is no file.
        UsageError: an unknown ending, or what `Model.sample` refuses.
    """
    check_ending(path)
    cells = span[1] * len(model.mechanisms)
    tables = _tables(model, request, span, (engine or Engine()).resolved(cells))
    first = next(tables)
    metadata = {**(first.schema.metadata or {}), **request.metadata(span)}
    schema = first.schema.with_metadata(metadata)
    with finished(path) as unfinished, _writer(unfinished, path.suffix, schema) as writer:
        for table in _with_first(first, tables):
            writer.write_table(table.cast(schema))
            if progress is not None:
                progress(table.num_rows)


def _with_first(first: pa.Table, others: Iterator[pa.Table]) -> Iterator[pa.Table]:
    yield first
    yield from others


def _tables(
    model: Model, request: Request, span: tuple[int, int], engine: Engine
) -> Iterator[pa.Table]:
    for start, rows in request.batches(*span):
        if request.long:
            frame = model.sample_long(rows, request.seed, start, request.draw)
            yield pa.Table.from_pandas(frame, preserve_index=False)
        else:
            yield model.table(rows, request.seed, start, request.draw, engine)


@contextmanager
def _writer(path: Path, ending: str, schema: pa.Schema) -> Iterator[Writer]:
    writer: Writer
    match ending:
        case ".parquet":
            # Rows are in no order, so that statistics of their columns tell a reader nothing.
            writer = pq.ParquetWriter(path, schema, compression="zstd", write_statistics=False)
        case ".arrow":
            writer = pa.ipc.new_file(path, schema)
        case _:
            writer = _CsvWriter(path)
    try:
        yield writer
    finally:
        writer.close()


class _CsvWriter:
    """Writes numbers so that they read back as the same ones, and missing values as nothing."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._empty = True

    def write_table(self, table: pa.Table) -> None:
        table.to_pandas().to_csv(self._file, index=False, header=self._empty)
        self._empty = False

    def close(self) -> None:
        self._file.close()


@contextmanager
def finished(path: Path) -> Iterator[Path]:
    """Give the path of a file to write; at the end, on the disk, it becomes `path`.

    Raises:
        StorageError: the system did not take it; then nothing is left.
    """
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.replace(path)
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", "") or error
        raise StorageError(
            "file-not-written",
            f"Expected to write {path}, the system said: {reason}.",
            "Check the path, its permissions and the space on the disk.",
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink()
