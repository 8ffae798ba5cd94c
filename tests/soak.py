"""Rounds over real processes with random faults: `python -m tests.soak [ROUNDS]`, or `make soak`.

Five hospitals, of which three must stay. In some rounds, at a random moment, a gate, a SuperNode or
the SuperLink is killed, and started again. After every round: it ended in a sum or a refusal; every
site's ledger holds what its rounds cost; no process holds more files or memory than once settled.
"""

import random
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from rich.console import Console
from rich.table import Table

from deploy.demo.consortium import Consortium, approve, command, make_consortium
from deploy.demo.nhefs import NHEFS
from deploy.demo.processes import (
    Processes,
    SiteChild,
    coordinator_children,
    running_consortium,
    site_child,
)
from protocol.errors import ExitCode
from protocol.privacy.plan import compile_plan
from protocol.study.document import parse_study
from server.rounds.coordinator_config import CoordinatorConfig, load_coordinator_config

ROUNDS = 20
COHORT = {"n_min": 3, "tolerated_colluders": 0, "threshold": 3}
BUDGET = {"rho": 1000}
FAULTS = ("", "", "gate", "gate", "supernode", "superlink")
SETTLED = 5  # rounds after which nothing may grow any more
MOST_GROWTH_MB, MOST_NEW_HANDLES = 40, 4
CHARGED = {"charged", "masked", "agreed", "revealed"}  # the steps of a site that cost
console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Held:
    """What the processes of one party hold together."""

    handles: int
    megabytes: float


@dataclass(frozen=True, slots=True)
class Fault:
    """What is killed in a round, of which site, so many seconds after its start; "" for nothing."""

    kind: str
    site: SiteChild
    after_s: float

    def __str__(self) -> str:
        whose = "" if self.kind == "superlink" else f" of {self.site.name}"
        return f"kill -9 {self.kind}{whose}" if self.kind else ""

    @property
    def restarts(self) -> set[str]:
        """Return the processes whose handles and memory begin anew."""
        return {"": set(), "superlink": {"superlink"}}.get(self.kind, {self.site.name})

    @property
    def expected(self) -> set[int]:
        """Return how the round may end: one machine that fails may not cost the sum."""
        lost = {ExitCode.INFRASTRUCTURE} if self.kind == "superlink" else set()
        return {ExitCode.OK, ExitCode.COHORT} | lost


def main(rounds: int) -> int:
    """Play the rounds; return 0 if nothing was left behind."""
    chance = random.Random(20261129)  # noqa: S311 - faults, not secrets
    with TemporaryDirectory(prefix="concause-soak-") as name:
        scenario = replace(NHEFS, budget=BUDGET)
        consortium = make_consortium(Path(name) / "run", 5, COHORT, scenario)
        config = load_coordinator_config(consortium.coordinator)
        with running_consortium(config, consortium.sites, Path(name) / "logs") as processes:
            for site in consortium.sites:
                approve(site, consortium.study, "--rho-cap", "1000")
            return _soak(consortium, config, processes, chance, rounds)


def _soak(
    consortium: Consortium,
    config: CoordinatorConfig,
    processes: Processes,
    chance: random.Random,
    rounds: int,
) -> int:
    table = Table("round", "fault", "ended", "s", "handles", "MB", title="Soak")
    settled: Mapping[str, Held] = {}
    wrong: list[str] = []
    restarted: set[str] = set()
    for number in range(1, rounds + 1):
        began = time.monotonic()
        fault = Fault(chance.choice(FAULTS), chance.choice(consortium.sites), chance.uniform(2, 12))
        code = _round(consortium, config, processes, fault)
        held = _held(processes)
        if number == SETTLED:
            settled, restarted = held, set()
        restarted |= fault.restarts
        wrong += _grown(settled, held, restarted)
        if code not in fault.expected:
            wrong.append(f"round {number} ended with exit code {code}")
        everything = sum(one.handles for one in held.values())
        table.add_row(
            *(str(number), str(fault), ExitCode(code).name),
            *(f"{time.monotonic() - began:.0f}", str(everything)),
            f"{sum(one.megabytes for one in held.values()):.0f}",
        )
    console.print(table)
    wrong += _budgets(consortium, config)
    for text in wrong:
        console.print(f"wrong: {text}")
    console.print(f"{rounds} rounds, {len(wrong)} faults of ours")
    return 1 if wrong else 0


def _round(
    consortium: Consortium, config: CoordinatorConfig, processes: Processes, fault: Fault
) -> int:
    argv = [sys.executable, "-m", "concause", "round", "start", str(consortium.study)]
    argv += ["--config", str(consortium.coordinator), "--json"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as running:
        if fault.kind:
            time.sleep(fault.after_s)
            _strike(config, processes, fault)
        said, _ = running.communicate()
    if running.returncode:
        console.print(said.decode(errors="replace"))
    return running.returncode


def _strike(config: CoordinatorConfig, processes: Processes, fault: Fault) -> None:
    """Kill what the fault says, and start it again; a SuperNode is started again by its gate."""
    name = fault.site.name
    if fault.kind == "supernode":
        for child in psutil.Process(processes.pids()[name]).children(recursive=True):
            child.kill()
        return
    child = site_child(fault.site) if fault.kind == "gate" else coordinator_children(config)[0]
    processes.kill(child.name)
    time.sleep(1)
    processes.start(child)
    processes.wait_ready(child)


def _held(processes: Processes) -> dict[str, Held]:
    found = {}
    for name, pid in processes.pids().items():
        family = [psutil.Process(pid)]
        if (
            name != "superexec"
        ):  # whose children drive a round each, the last of which may be ending
            family += family[0].children(recursive=True)
        handles, size = 0, 0
        for one in family:
            try:
                handles, size = handles + one.num_fds(), size + one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        found[name] = Held(handles, size / 2**20)
    return found


def _grown(settled: Mapping[str, Held], held: Mapping[str, Held], restarted: set[str]) -> list[str]:
    return [
        f"{name} grew from {before} to {held[name]}"
        for name, before in settled.items()
        if name not in restarted
        and (
            held[name].handles > before.handles + MOST_NEW_HANDLES
            or held[name].megabytes > before.megabytes + MOST_GROWTH_MB
        )
    ]


def _budgets(consortium: Consortium, config: CoordinatorConfig) -> list[str]:
    """Return what is wrong with the sites' ledgers, by their own account."""
    issued = len(list(config.rounds.glob("*/")))
    rho = compile_plan(parse_study(consortium.study.read_text(encoding="utf-8"))).rho
    wrong = []
    for site in consortium.sites:
        status = command("site", "status", "--config", site.config)
        charged = [one for one in status["rounds"] if one["step"] in CHARGED]
        if Fraction(status["budget"]["charged"]) != len(charged) * rho:
            wrong.append(f"{site.name}: {status['budget']['charged']} for {len(charged)} rounds")
        if len(status["rounds"]) > issued:
            wrong.append(f"{site.name} was in more rounds than were issued")
    return wrong


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
