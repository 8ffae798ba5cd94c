"""How fast a site measures: all of ALARM's families over 10 million rows x 37 columns of Parquet.

The peer is DuckDB SQL as one would write it by hand for the same tables: one GROUP BY per family
on the raw columns, on as many threads. Ours also checks and encodes every value, and returns all
residual tables. Memory is the peak of a fresh process that measures once, imports included.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from bench.alarm import alarm_study, write_records
from bench.harness import Measurement, interleaved, own_peak
from client.measure.statistics import measure
from client.source.duckdb_source import DuckDBSource
from client.source.site_table import Mapping, SiteData
from protocol.privacy.plan import compile_plan
from protocol.study.study import Study

ROWS = 10_000_000
THREADS = 2
REPEATS = 3
RECORDS = Path("build/bench/alarm.parquet")
CPU_TARGET = 1.2
MEMORY_TARGET_MB = 300


def run() -> list[Measurement]:
    """Measure CPU time against plain SQL, and peak memory."""
    _make_records()
    study = alarm_study()
    ours, plain = interleaved(
        partial(measure_file, study), partial(_plain_sql, study), repeats=REPEATS
    )
    return [
        Measurement(
            name="measurement: 37 families, 10 M rows x 37 columns",
            value=ours,
            unit="CPU s",
            peer="plain DuckDB SQL",
            peer_value=plain,
            target=CPU_TARGET,
            at_least=False,
        ),
        Measurement(
            name="measurement: peak memory of the process",
            value=_peak_of_a_fresh_process(),
            unit="MB",
            target=MEMORY_TARGET_MB,
            targets_ratio=False,
            at_least=False,
        ),
    ]


def _make_records() -> None:
    if RECORDS.exists():
        return
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    print(f"Writing {ROWS:,} records to {RECORDS} (once; about a minute)")
    unfinished = RECORDS.with_suffix(".part")
    write_records(unfinished, ROWS)
    unfinished.rename(RECORDS)


def measure_file(study: Study, path: Path = RECORDS) -> None:
    """Measure all of a study's residual tables over one file of records."""
    data = SiteData(path=str(path), one_row_per_unit=True)
    with (
        TemporaryDirectory() as folder,
        DuckDBSource(
            data, Mapping(), study, bound_key=bytes(32), folder=Path(folder), threads=THREADS
        ) as source,
    ):
        measure(compile_plan(study), study, source)


def _plain_sql(study: Study) -> None:
    with duckdb.connect(config={"threads": THREADS}) as connection:
        for family in study.causal_graph.families():
            names = ", ".join(f'"{name}"' for name in family)
            connection.execute(
                f"SELECT {names}, count(*) FROM '{RECORDS}' GROUP BY {names}"  # noqa: S608
            ).fetchall()


def _peak_of_a_fresh_process() -> float:
    found = subprocess.run(
        [sys.executable, "-m", "bench.measurement"], capture_output=True, text=True, check=True
    )
    return float(found.stdout)


if __name__ == "__main__":
    measure_file(alarm_study(), Path(sys.argv[1]) if len(sys.argv) > 1 else RECORDS)
    print(own_peak())
