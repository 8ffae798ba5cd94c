"""Synthetic populations: a model's view, written to a file or to a folder of partitions."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from protocol.errors import UsageError
from protocol.study.problems import either
from server.causal.model import Model
from server.causal.production.files import ENDINGS, Progress, write_file
from server.causal.production.folder import (
    close_folder,
    digest_of,
    locked,
    missing_partitions,
    open_folder,
)
from server.causal.production.local import make_locally
from server.causal.production.request import BATCH_ROWS, PARTITION_ROWS, Request, request_for
from server.causal.production.spark import make_on_spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

On: TypeAlias = Literal["local", "spark"]


def is_folder(path: Path) -> bool:
    """Return whether a path stands for a folder of partitions: it has no ending of a file."""
    return path.is_dir() or path.suffix not in ENDINGS


def write_population(  # noqa: PLR0913 - one argument per part of the request
    model: Model,
    path: str | Path,
    rows: int,
    seed: int,
    *,
    start: int = 0,
    draw: int | None = None,
    long: bool = False,
    on: On = "local",
    workers: int | None = None,
    partition_rows: int = PARTITION_ROWS,
    batch_rows: int = BATCH_ROWS,
    master: str = "local[*]",
    session: "SparkSession | None" = None,
    progress: Progress | None = None,
) -> str:
    """Write rows start .. start + rows - 1 of a model's view; return their SHA-256.

    A name that ends in .parquet, .arrow or .csv is one file; any other is a folder of Parquet
    partitions, made by `workers` processes (by default one a core) or as tasks of Spark. A folder
    that holds a part of the same sample is completed. The hash is that of the file, or over those
    of the partitions; it depends on nothing but what is asked for, and the versions of libraries.

    Raises:
        UsageError: no rows, a seed outside 64 bits, a folder with something else, a policy without
            a result for somebody, or no Spark.
        StorageError: the disk did not take it; what is finished stays.
    """
    _check_engine(on)
    model.check_sample(rows, seed, start, draw)
    path, text = Path(path), _plain(model).to_json()
    request = request_for(
        model,
        hashlib.sha256(text.encode()).hexdigest(),
        rows,
        seed,
        start=start,
        draw=draw,
        partition_rows=partition_rows,
        batch_rows=batch_rows,
        long=long,
    )
    if not is_folder(path):
        write_file(path, model, request, (start, rows), progress=progress)
        return digest_of(path)
    with locked(path):
        open_folder(path, text, request)
        missing = missing_partitions(path, request)
        _count_present(request, missing, progress)
        if on == "spark":
            make_on_spark(path, missing, master=master, session=session)
        else:
            count = workers if workers is not None else os.cpu_count() or 1
            make_locally(path, model, request, missing, workers=count, progress=progress)
        return close_folder(path, request)


def _check_engine(on: str) -> None:
    if on not in get_args(On):
        raise UsageError(
            "unknown-engine", f"Expected {either(get_args(On))}, found {on!r}.", "Write local."
        )


def _plain(model: Model) -> Model:
    """Return the model that a view is of."""
    return replace(model, interventions=MappingProxyType({}))


def _count_present(request: Request, missing: list[int], progress: Progress | None) -> None:
    """Count the rows that are there already."""
    if progress is not None:
        left = sum(request.span(index)[1] for index in missing)
        progress(request.rows - left)
