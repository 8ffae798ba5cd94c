"""More records than memory, and the peer that analysts know: run by name only, it takes long.

100 million rows of ALARM in Parquet, measured by a fresh process whose memory must be that of 10
million; and 10 million against pandas, one groupby per family, on the columns that it needs: in
seconds of waiting, and in CPU seconds, of which ours takes those of two cores at a time.
"""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import pandas as pd

from bench.alarm import alarm_study, write_records
from bench.harness import Measurement
from bench.measurement import RECORDS, REPEATS, ROWS, measure_file
from protocol.study.study import Study

MANY = 100_000_000
LARGE = Path("build/bench/alarm-100m.parquet")
PANDAS_TARGET = 20
FLAT = 1.25  # of the peak at a tenth of the rows


def run(*, quick: bool = False) -> list[Measurement]:
    """Measure memory at 10 and, unless `quick`, 100 million rows, and CPU time beside pandas."""
    _written(RECORDS, ROWS)
    study = alarm_study()
    # The first brings imports, and the file into the cache; the middle one of the rest counts.
    _, *found = [_seconds(partial(measure_file, study, RECORDS)) for _ in range(1 + REPEATS)]
    ours, ours_cpu = sorted(found)[REPEATS // 2]
    pandas, pandas_cpu = _seconds(partial(_by_pandas, study))
    against_pandas = [
        Measurement(
            name="pandas, 37 families, 10 M rows: time to ours",
            value=pandas,
            unit="s (pandas groupby)",
            peer="ours",
            peer_value=ours,
            target=PANDAS_TARGET,
        ),
        Measurement(
            name="pandas, 37 families, 10 M rows: CPU time to ours",
            value=pandas_cpu,
            unit="CPU s (pandas groupby)",
            peer="ours",
            peer_value=ours_cpu,
        ),
    ]
    if quick:
        return against_pandas
    _written(LARGE, MANY)
    return [
        *against_pandas,
        Measurement(
            name="peak memory at 100 M rows",
            value=_peak(LARGE),
            unit="MB",
            peer="at 10 M rows",
            peer_value=_peak(RECORDS),
            target=FLAT,
            at_least=False,
        ),
    ]


def _written(path: Path, rows: int) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"Writing {rows:,} records to {path} (once; a minute for every 10 million)")
        unfinished = path.with_suffix(".part")
        write_records(unfinished, rows)
        unfinished.rename(path)


def _by_pandas(study: Study) -> None:
    for family in study.causal_graph.families():
        frame = pd.read_parquet(RECORDS, columns=list(family))
        frame.groupby(list(family), observed=True).size()


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that one call takes, and the CPU seconds."""
    began, began_cpu = perf_counter(), process_time()
    work()
    return perf_counter() - began, process_time() - began_cpu


def _peak(path: Path) -> float:
    argv = [sys.executable, "-m", "bench.measurement", str(path)]
    found = subprocess.run(argv, capture_output=True, text=True, check=True)
    return float(found.stdout)
