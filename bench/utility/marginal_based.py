"""The peers MST and AIM, as arms: OpenDP's marginal-based synthesis of rows by a trusted curator.

Each run has a process of its own with a limit of CPU time and of memory; what it made is kept under
FOLDER by network, persons, budget and seed, so that a second benchmark costs nothing. A run that
was stopped is kept as stopped, with its reason, and answers nan; `notes` lists them for the table.

`python -m bench.utility.marginal_based mst asia` fills the folder ahead of a benchmark.

Sources: McKenna, Miklau, Sheldon 2021 (MST); McKenna, Mullins, Sheldon, Miklau 2022 (AIM);
OpenDP 0.16, `opendp.extras.mbi`, at its own settings except where `MarginalBased` says so.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import psutil
import typer

from bench.utility.answer import from_rows
from bench.utility.networks import network
from bench.utility.synthesis import ALGORITHMS, Request, Rows, write_job
from bench.utility.world import CENTRAL, DELTA, Answer, Codes, Records, World
from protocol.privacy.conversion import rho_of
from protocol.study.study import Study

FOLDER = Path("build/utility/peers")
_GLANCE_S = 0.25  # between two looks at a run's time and memory


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run is stopped; its time is that of the processor, so that a busy machine is fair."""

    cpu_seconds: float = 45 * 60
    megabytes: float = 8000


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What one run made: rows, or the reason why there are none."""

    rows: Rows | None
    cpu_seconds: float  # of one thread: the wall time of an idle machine
    megabytes: float  # peak memory of the process
    stopped: str = ""  # empty if it ended by itself


@dataclass(frozen=True, slots=True)
class MarginalBased:
    """One of ALGORITHMS on the declared domain, (epsilon, DELTA) by the same rho as our rounds.

    Neighbours differ by one added or removed person. As many rows as there are persons are made,
    every P(node | parents) of the known graph is fitted to them (`bench/utility/answer.py` says
    how empty rows are filled), and there are no intervals.

    With `families`, AIM is told the graph: it chooses among the families and their subsets, not
    among all sets of three columns. OpenDP does not offer that as a default, but who knows the
    graph would do it. `max_size_mb` is AIM's bound on the size of its model; 80 is OpenDP's.
    """

    algorithm: str
    families: bool = False
    max_size_mb: float = 80.0
    limits: Limits = field(default_factory=Limits)
    folder: Path = FOLDER

    @property
    def name(self) -> str:
        """Return the algorithm, and "families" if it is told the graph."""
        return f"{self.algorithm}-families" if self.families else self.algorithm

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the files whose change makes results stale."""
        return tuple(f"bench/utility/{name}.py" for name in ("marginal_based", "synthesis"))

    def fit(self, world: World, records: Records, epsilon: float, seed: int) -> Answer:
        """Return the answer of a researcher with the synthetic rows; nan if a run was stopped."""
        study = world.study(epsilon, CENTRAL)
        run = self.run(world.name, study, records.codes, epsilon, seed)
        if run.rows is None:
            return _no_answer(world, study, run.cpu_seconds)
        return from_rows(world, study, run.rows.astype(np.int64), run.cpu_seconds)

    def run(self, world: str, study: Study, codes: Codes, epsilon: float, seed: int) -> Run:
        """Return the kept run of these records, or make and keep one."""
        request = self._request(study, len(codes), epsilon, seed)
        digest = fingerprint(codes, request)
        path = self.folder / f"{self.name}-{world}-{len(codes)}-{epsilon:g}-{seed}.npz"
        kept = read_run(path, digest, self.limits)
        if kept is None:
            kept = run_apart(codes, request, self.limits)
            write_run(path, kept, digest, self.limits)
        return kept

    def _request(self, study: Study, rows: int, epsilon: float, seed: int) -> Request:
        graph = study.causal_graph
        cliques = tuple(
            tuple(graph.nodes.index(name) for name in family) for family in graph.families()
        )
        return Request(
            algorithm=self.algorithm,
            rho=float(rho_of(Fraction(str(epsilon)), Fraction(DELTA))),
            rows=rows,
            seed=seed,
            sizes=study.sizes(graph.nodes),
            workload=cliques if self.families else (),
            max_size_mb=self.max_size_mb,
        )


def fingerprint(codes: Codes, request: Request) -> str:
    """Return a hash of everything that a run depends on, versions of its libraries included."""
    libraries = {name: _version(name) for name in ("opendp", "mbi", "jax")}
    text = json.dumps([asdict(request), codes.shape, libraries], sort_keys=True)
    return hashlib.sha256(text.encode() + codes.astype(np.uint8).tobytes()).hexdigest()


def read_run(path: Path, digest: str, limits: Limits) -> Run | None:
    """Return a kept run, None if there is none or it was another's.

    A stopped run counts as long as `limits` allow no more than it had.
    """
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as kept:
        about, rows = json.loads(str(kept["about"])), kept["rows"]
    had = Limits(**about["limits"])
    more = limits.cpu_seconds > had.cpu_seconds or limits.megabytes > had.megabytes
    if about["digest"] != digest or (about["stopped"] and more):
        return None
    found = None if about["stopped"] else rows
    return Run(found, about["cpu_seconds"], about["megabytes"], about["stopped"])


def write_run(path: Path, run: Run, digest: str, limits: Limits) -> None:
    """Keep a run."""
    about = {
        "digest": digest,
        "cpu_seconds": round(run.cpu_seconds, 2),
        "megabytes": round(run.megabytes, 1),
        "stopped": run.stopped,
        "limits": asdict(limits),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.zeros((0, 0), np.uint8) if run.rows is None else run.rows
    unfinished = path.with_suffix(".part.npz")
    np.savez_compressed(unfinished, rows=rows, about=json.dumps(about))
    unfinished.rename(path)


def _version(package: str) -> str:
    """Return the version of a package; "absent" where the extra `bench` is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def notes(folder: Path = FOLDER) -> list[str]:
    """Return one line per stopped run that is kept, to stand under the table."""
    found = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as kept:
            about = json.loads(str(kept["about"]))
        if about["stopped"]:
            found.append(f"{path.stem}: {about['stopped']}")
    return found


def run_apart(codes: Codes, request: Request, limits: Limits) -> Run:
    """Return what a process of its own made of the request, stopped at the limits.

    Raises:
        RuntimeError: the process failed by itself.
    """
    with TemporaryDirectory() as folder:
        job, log = Path(folder) / "job.npz", Path(folder) / "log"
        write_job(job, codes, request)
        command = [sys.executable, "-m", "bench.utility.synthesis", str(job)]
        with log.open("wb") as errors:
            process = subprocess.Popen(command, stderr=errors, env=_environment())
            try:
                seconds, peak, stopped = _watch(process, limits)
            finally:  # interrupted, too, nothing runs on
                process.kill()
                process.wait()
        if stopped:
            return Run(None, seconds, peak, stopped)
        if process.returncode:
            raise RuntimeError(f"{request.algorithm} failed: {log.read_text()[-2000:]}")
        with np.load(job.with_suffix(".rows.npz"), allow_pickle=False) as made:
            return Run(made["rows"], seconds, peak)


def _watch(process: subprocess.Popen[bytes], limits: Limits) -> tuple[float, float, str]:
    """Return CPU seconds, peak memory in MB, and at which limit it was stopped, if at one."""
    watched, seconds, peak = psutil.Process(process.pid), 0.0, 0.0
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            times = watched.cpu_times()
            seconds = times.user + times.system
            peak = max(peak, watched.memory_info().rss / 2**20)
        stopped = limit_reached(seconds, peak, limits)
        if stopped:
            return seconds, peak, stopped
        time.sleep(_GLANCE_S)
    return seconds, peak, ""


def limit_reached(cpu_seconds: float, megabytes: float, limits: Limits) -> str:
    """Return why a run has to stop, in words for the table; empty if it may go on."""
    spent = f"after {cpu_seconds / 60:.0f} minutes of CPU time"
    if cpu_seconds > limits.cpu_seconds:
        return f"stopped {spent}, the limit"
    if megabytes > limits.megabytes:
        return f"stopped {spent} at {megabytes:,.0f} MB, above the limit of memory"
    return ""


def _environment() -> dict[str, str]:
    """Return this environment with one thread for every library that asks."""
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return {**os.environ, **single, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}


def _no_answer(world: World, study: Study, seconds: float) -> Answer:
    unknown = np.full(len(world.contrasts), np.nan)
    families: Sequence[tuple[str, ...]] = study.causal_graph.families()
    marginals = [np.full(study.sizes(family), np.nan) for family in families]
    return Answer(unknown, unknown, unknown, marginals, seconds)


def main(
    algorithm: Annotated[str, typer.Argument(help=f"One of {', '.join(ALGORITHMS)}.")],
    world: Annotated[str, typer.Argument(help="A network of bench/utility/networks.py.")],
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "0,1,2,3,4",
    rows: int = 10_000,
    epsilon: float = 1.0,
    families: Annotated[bool, typer.Option(help="Tell AIM the graph.")] = False,
) -> None:
    """Make the runs of a peer on a network ahead of a benchmark, and print what each took."""
    arm, known = MarginalBased(algorithm, families), network(world)
    study = known.study(epsilon, CENTRAL)
    for seed in map(int, seeds.split(",")):
        run = arm.run(world, study, known.records(rows, seed).codes, epsilon, seed)
        took = f"{run.cpu_seconds:.0f} CPU s, {run.megabytes:.0f} MB {run.stopped}"
        print(f"{arm.name} {world} {rows} {epsilon:g} {seed}: {took}", flush=True)


if __name__ == "__main__":
    typer.run(main)
