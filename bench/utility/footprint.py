"""Time and memory of one fit, in a fresh process that does nothing else.

`python -m bench.utility.footprint ROUND.npz` compiles the plan, fits once, and prints seconds of
the fit and the peak memory of the process in MB, imports included.
"""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.harness import own_peak
from bench.utility.rounds import release
from bench.utility.world import TEN_SITES, World
from protocol.privacy.plan import compile_plan
from protocol.study.document import study_from_canonical
from server.estimation.evidence import NoisySum
from server.estimation.fit import fit

ROWS = 10_000
SEED = 1


def footprint(world: World) -> tuple[float, float]:
    """Return (seconds, MB) of fitting one round of ten sites over ROWS persons at epsilon 1."""
    study = world.study(1.0, TEN_SITES)
    codes = world.records(ROWS, SEED).codes
    contributors = TEN_SITES.contributors
    generator = np.random.default_rng(SEED)
    noisy = release(study, compile_plan(study), codes, contributors, generator)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "round.npz"
        document = np.frombuffer(study.canonical, dtype=np.uint8)
        np.savez(path, study=document, values=noisy.values, contributors=contributors)
        command = [sys.executable, "-m", "bench.utility.footprint", str(path)]
        found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds, peak = map(float, found.stdout.split())
    return seconds, peak


def _fit_once(path: Path) -> float:
    with np.load(path, allow_pickle=False) as stored:
        study = study_from_canonical(stored["study"].tobytes())
        values, contributors = stored["values"], int(stored["contributors"])
    plan = compile_plan(study)
    noisy = NoisySum(plan, values, contributors)
    start = time.perf_counter()
    fit(study, plan, noisy, seed=SEED)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(_fit_once(Path(sys.argv[1])), own_peak())
