"""Populations as folders of Parquet: time by rows, memory of all processes, and Spark's bytes.

Wall-clock seconds, since workers are processes of their own; the memory is the largest sum of what
this process and its workers held at once, looked at ten times a second.
"""

import tempfile
import threading
import time
from pathlib import Path
from typing import Self

import psutil

from bench.harness import Measurement
from bench.sampling import alarm_text
from server.causal.exchange.network_model import from_bif
from server.causal.model import Model
from server.causal.production.population import write_population

SEED = 1
SIZES = (1_000_000, 10_000_000, 100_000_000)
_EVERY_S = 0.1


def run(*, quick: bool = False) -> list[Measurement]:
    """Measure ALARM in rows of growing number, and Spark beside the local processes."""
    model = from_bif(alarm_text(), "alarm")
    found: list[Measurement] = []
    first = 0.0
    for rows in SIZES[:2] if quick else SIZES:
        seconds, peak, _ = _written(model, rows, "local")
        per_row = seconds / rows * 1e6
        first = first or per_row
        name = f"ALARM to Parquet, {rows / 1e6:g} M rows"
        found.append(Measurement(name, rows / seconds, "rows/s"))
        found.append(
            Measurement(
                f"{name}: time a row",
                per_row,
                "us",
                peer="1 M rows",
                peer_value=first,
                target=1.25,
                at_least=False,
            )
        )
        found.append(
            Measurement(
                f"{name}: memory", peak, "MB", target=1000, targets_ratio=False, at_least=False
            )
        )
    return [*found, *_spark(model)]


def _spark(model: Model) -> list[Measurement]:
    local_s, _, local = _written(model, SIZES[1], "local")
    spark_s, _, spark = _written(model, SIZES[1], "spark")
    if local != spark:
        raise SystemExit("Spark wrote other bytes than the local processes")
    return [
        Measurement(
            "the same 10 M rows by Spark local[2], same bytes",
            SIZES[1] / spark_s,
            "rows/s",
            peer="local processes",
            peer_value=SIZES[1] / local_s,
        )
    ]


def _written(model: Model, rows: int, on: str) -> tuple[float, float, str]:
    """Return seconds, peak memory in MB, and the hash of a folder that is deleted again."""
    with tempfile.TemporaryDirectory(prefix="concause-bench-") as folder, _Peak() as peak:
        before = time.perf_counter()
        digest = write_population(
            model,
            Path(folder) / "rows",
            rows=rows,
            seed=SEED,
            on=on,  # type: ignore[arg-type]
            master="local[2]",
        )
        return time.perf_counter() - before, peak.megabytes, digest


class _Peak:
    """The most memory that this process and all below it hold at once."""

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        own = psutil.Process()
        while not self._done.wait(_EVERY_S):
            self.megabytes = max(self.megabytes, _held(own) / 1e6)


def _held(process: psutil.Process) -> int:
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.Error:
            continue
    return total
