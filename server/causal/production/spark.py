"""Partitions made as tasks of a Spark cluster, which writes nothing itself.

Every task is told the folder and the number of its partition, and writes the very file that this
machine would have written. So the folder has to be one that all executors see under the same path,
and concause has to be installed where they run; nothing else travels.
"""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.errors import StorageError, UsageError
from server.causal.production.local import APP_ROOT

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SETTINGS = {
    "spark.app.name": "concause",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.catalogImplementation": "in-memory",
}


def make_on_spark(
    folder: Path,
    missing: Sequence[int],
    *,
    master: str = "local[*]",
    session: "SparkSession | None" = None,
) -> None:
    """Make partitions that are missing as tasks; on a `session` of yours, or on one of its own.

    Raises:
        UsageError: pyspark or Java is not installed.
        StorageError: a task failed; finished partitions stay.
    """
    if not missing:
        return
    own = session is None
    spark = _session(master) if session is None else session
    try:
        tasks = spark.sparkContext.parallelize(list(missing), len(missing))
        tasks.foreach(_task(str(folder.resolve())))
    except Exception as error:
        raise StorageError(
            "spark-failed",
            f"Expected Spark to make {len(missing)} partitions, a task failed: {_cause(error)}",
            "See Spark's own log; the same command makes what is missing.",
        ) from error
    finally:
        if own:
            spark.stop()


def _task(folder: str) -> Callable[[int], None]:
    """Return what a task does; it is sent by its code, so that it names no module of ours."""

    def make(index: int) -> None:
        from importlib import import_module  # noqa: PLC0415
        from pathlib import Path  # noqa: PLC0415

        import_module("concause")  # where it is installed, puts the packages on the path
        from server.causal.production.folder import (  # noqa: PLC0415
            load_folder,
            make_partition,
        )

        request, model = load_folder(Path(folder))
        make_partition(Path(folder), model, request, index)

    return make


def _session(master: str) -> "SparkSession":
    """Return a session of this program's own.

    Raises:
        UsageError: pyspark is not installed, or cannot start there.
    """
    given = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(APP_ROOT), *([given] if given else [])])
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # which has what this one has
    if master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # listen to nobody else
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pandas 3, which only its data frames use
            session = _started(master)
    except ImportError as error:
        raise UsageError(
            "no-spark",
            "Expected pyspark for --engine spark, found none installed.",
            "Install concause[spark], or leave --engine out.",
        ) from error
    except Exception as error:  # Java is missing, too old, or the master is not there
        raise UsageError(
            "no-spark",
            f"Expected Spark to start at {master}, it said: {_cause(error)}",
            "Spark 4 needs Java 17 or 21: see `java -version`, and JAVA_HOME.",
        ) from error
    session.sparkContext.setLogLevel("ERROR")
    return session


def _started(master: str) -> "SparkSession":
    from pyspark.sql import SparkSession  # noqa: PLC0415 - an extra

    builder: Any = SparkSession.builder
    for key, value in _SETTINGS.items():
        builder = builder.config(key, value)
    session: SparkSession = builder.master(master).getOrCreate()
    return session


def _cause(error: Exception) -> str:
    """Return the first line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
