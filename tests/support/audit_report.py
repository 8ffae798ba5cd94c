"""The audit at length: `python -m tests.support.audit_report`, tables for docs/privacy-audit.md.

A quarter of an hour of one core; noise from a seed repeats exactly, that of sites does not.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.random import Generator, default_rng

from protocol.privacy.plan import StatisticsPlan
from tests.support.audit import (
    BATCH,
    Finding,
    Integers,
    Reals,
    epsilon_of_gaussian,
    play,
    prove,
)
from tests.support.audit_broken import FAULTS
from tests.support.audit_games import site_game, worth
from tests.support.audit_noise import fast_noise, scales_of
from tests.support.audit_units import audited_studies

SEED = 20_260_501
SITE_BATCH = 200


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Audit the noise of whole plans at length.")
    parser.add_argument("--runs", type=int, default=400_000, help="releases of each data set")
    parser.add_argument("--site-runs", type=int, default=4_000, help="the same, noise as at a site")
    chosen = parser.parse_args(arguments)
    for lines in (plan_rows(chosen.runs, chosen.site_runs), fault_rows(chosen.runs // 4)):
        for cells in lines:
            sys.stdout.write(f"| {' | '.join(cells)} |\n")
            sys.stdout.flush()
        sys.stdout.write("\n")


def plan_rows(runs: int, site_runs: int) -> Iterator[Sequence[str]]:
    """Yield a row per plan, and one more with the noise that sites add."""
    yield "plan", "claimed", "real", "proved", "any mechanism", "blocks"
    yield ("---",) * 6
    for name, audited in audited_studies().items():
        plan = audited.plan
        with TemporaryDirectory() as folder:
            absent, present = audited.vectors(Path(folder))
        rho = sum(worth(plan, block, absent, present) for block in plan.blocks)
        real = f"{epsilon_of_gaussian((2 * rho) ** 0.5, float(plan.delta)):.2f}"
        found = plan_findings(plan, absent, present, runs)
        most = max(
            one.rho / float(block.rho) for one, block in zip(found[1:], plan.blocks, strict=True)
        )
        yield name, f"{plan.epsilon:.2f}", real, *_proved(found[0]), f"{most:.2f}"
        game = site_game(plan, absent, present)
        site = play(game, site_runs, float(plan.delta), default_rng(SEED), batch=SITE_BATCH)
        yield f"{name}, as at a site", f"{plan.epsilon:.2f}", real, *_proved(site), ""


def fault_rows(runs: int) -> Iterator[Sequence[str]]:
    """Yield a row per broken mechanism, and what the same attack proves of the sound one."""
    yield "broken", "claimed", "proved", "of the sound twin"
    yield ("---",) * 4
    for name, make in FAULTS.items():
        fault = make()
        broken, sound = (
            fault.proved(play(game, runs, fault.delta, default_rng(SEED)))
            for game in (fault.broken, fault.sound)
        )
        yield name, f"{fault.claim:.2f}", f"{broken:.2f}", f"{sound:.2f}"


def plan_findings(
    plan: StatisticsPlan, absent: Integers, present: Integers, runs: int
) -> list[Finding]:
    """Return what the same releases prove of the plan, then of each of its blocks."""
    scales, source = scales_of(plan), default_rng(SEED)
    weights = (present - absent) / (plan.noise_shares * scales**2)
    columns = np.zeros((plan.length, 1 + len(plan.blocks)))
    columns[:, 0] = weights
    for place, block in enumerate(plan.blocks, start=1):
        columns[block.span, place] = weights[block.span]
    without, with_unit = (
        _scores(plan, vector - absent, columns, runs, source) for vector in (absent, present)
    )
    return [
        prove(without[:, column], with_unit[:, column], float(plan.delta))
        for column in range(columns.shape[1])
    ]


def _scores(
    plan: StatisticsPlan, move: Integers, columns: Reals, runs: int, source: Generator
) -> Reals:
    """Return the scores of every attack, shape (runs, attacks)."""
    batch, scales = BATCH // plan.length, scales_of(plan)
    parts = []
    for start in range(0, runs, batch):
        drawn = fast_noise(scales, plan.noise_shares, min(batch, runs - start), source)
        parts.append((move + drawn).astype(np.float64) @ columns)
    return np.concatenate(parts)


def _proved(found: Finding) -> tuple[str, str]:
    return f"{found.gaussian_epsilon:.2f}", f"{found.epsilon:.2f}"


if __name__ == "__main__":
    main()
