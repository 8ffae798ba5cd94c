"""`make demo`: a consortium of hospitals makes synthetic data from NHEFS, with real processes."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.demo.consortium import Consortium, approve, command, make_consortium
from deploy.demo.nhefs import NHEFS
from deploy.demo.processes import Processes, aggregation_children, running_consortium
from protocol.errors import ConcauseError, UsageError
from server.commands.output import shown
from server.rounds.coordinator_config import load_coordinator_config
from server.rounds.folder import RoundFolder

THREE = {"n_min": 3, "tolerated_colluders": 1, "threshold": 3}
FIVE = {"n_min": 4, "tolerated_colluders": 1, "threshold": 4}  # one of five may drop out
MARKER = ".concause-demo"  # only a folder with it is ever deleted
_LOOK_S = 0.05
console = Console(highlight=False)


def main(
    run: Annotated[Path, typer.Option(help="The run folder, made anew.")] = Path("build/demo"),
    *,
    drop: Annotated[
        bool, typer.Option("--drop", help="Five sites; kill one in the middle of the round.")
    ] = False,
    aggregators: Annotated[
        int, typer.Option(help="Add up by so many operators, 2 or 3, in place of masks.")
    ] = 0,
) -> None:
    """Play a whole study on this machine, from records to release."""
    try:
        code = play(run.absolute(), drop=drop, aggregators=aggregators)
    except ConcauseError as error:
        console.print(f"error ({error.code}): {error.cause}\nwhat to do: {error.remedy}")
        code = int(error.exit_code)
    raise typer.Exit(code)


def play(run: Path, *, drop: bool, aggregators: int = 0) -> int:
    """Return the exit code of the round; every process has ended by then."""
    began = time.monotonic()
    cohort = FIVE if drop else THREE
    hospitals = 5 if drop else 3
    _make_fresh(run)
    with _step(f"Making a consortium of {hospitals} hospitals, dealing 1,566 persons out to them"):
        consortium = make_consortium(run, hospitals, cohort, NHEFS, aggregators=aggregators)
    config = load_coordinator_config(consortium.coordinator)
    console.print("Starting SuperLink, executor, and a gate with its SuperNode for each hospital")
    adders = aggregation_children(consortium.coordinator, config, consortium.aggregators)
    with running_consortium(
        config, consortium.sites, run / "logs", _say_started, adders
    ) as processes:
        for site in consortium.sites:
            with _step(f"Steward and privacy officer of {site.name} approve the study"):
                approve(site, consortium.study)
        code = _round(consortium, processes, config.rounds, drop=drop)
    console.print("All processes have ended.")
    if code == 0:
        _verify(run)
    console.print(f"{time.monotonic() - began:.0f} seconds.")
    return code


def _round(consortium: Consortium, processes: Processes, rounds: Path, *, drop: bool) -> int:
    argv = [sys.executable, "-m", "concause", "round", "start", str(consortium.study)]
    argv += ["--config", str(consortium.coordinator)]
    argv += ["--release", str(consortium.folder / "release")]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as running:
        if drop:
            victim = consortium.sites[-1].name
            if _await_shares(running, rounds, victim):
                processes.kill(victim)
                console.print(f"  kill -9: {victim} is gone, after it shared its keys")
        return running.wait()


def _await_shares(running: "subprocess.Popen[bytes]", rounds: Path, victim: str) -> bool:
    """Return True once the victim's shares are in, False if the round ends before."""
    while running.poll() is None:
        for folder in rounds.glob("*/"):
            with suppress(ConcauseError, OSError):
                status = RoundFolder(folder).read_status()
                if status is not None and status.step in {"share", "mask"}:
                    states = {site.name: site.state for site in status.sites}
                    if status.step == "mask" or states[victim] == "answered":
                        return True
        time.sleep(_LOOK_S)
    return False


def _verify(run: Path) -> None:
    release, roster = run / "release", run / "coordinator" / "roster.json"
    document = command("release", "verify", release, "--roster", roster)
    checks = document["checks"]
    console.print(f"Release verified: {len(checks)} of {len(checks)} checks hold.")
    console.print(f"Open {shown(release / 'report.html')}, or in Python:\n  import concause")
    console.print(f"  m = concause.load({json.dumps(shown(release))})")
    console.print('  m.do({"qsmk": 1}).sample(10_000, seed=1)')


def _make_fresh(run: Path) -> None:
    if run.exists() and any(run.iterdir()):
        if not (run / MARKER).exists():
            raise UsageError(
                "not-a-demo-folder",
                f"Expected a new folder or one of an earlier demo, found {run} with other files.",
                "Choose another one: make demo RUN=path.",
            )
        shutil.rmtree(run)
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    (run / MARKER).touch()


@contextmanager
def _step(what: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    began = time.monotonic()
    console.print(what, end=" ")
    yield
    console.print(f"({time.monotonic() - began:.0f} s)")


def _say_started(name: str) -> None:
    console.print(f"  {name} is up")


if __name__ == "__main__":
    typer.run(main)
