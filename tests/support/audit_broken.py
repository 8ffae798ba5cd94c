"""Mechanisms that are broken on purpose: an audit that does not catch them can catch nothing.

Each comes with the epsilon that its makers would claim, the attack on it, and the same attack on
the mechanism as it should be.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.random import Generator, default_rng

from protocol.privacy.conversion import epsilon_of
from protocol.privacy.moments import STEPS
from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.study.document import parse_study
from protocol.study.study import Study
from tests.support.audit import Finding, Game, Integers, Reals
from tests.support.audit_games import gaussian_game, plan_game
from tests.support.audit_noise import discrete_gaussian, fast_noise, scales_of
from tests.support.reference_statistics import Record, Recorded, reference_statistics
from tests.support.studies import measured_study

RHO = "rho = 0.05"
PUBLIC_SEED = 20_301_231  # what a generator seeded by a date, or by the round, comes down to
ROW: Mapping[str, Recorded] = {"a": "v2", "b": "v1"}

_HEAD = f"""
format = "concause-study/1"
name = "made"
title = "Made"
author = "A"
expires = 2030-12-31
trust = {{ aggregation = "masking" }}
budget = {{ {RHO} }}
cohort = {{ n_min = 3, tolerated_colluders = 0, threshold = 3 }}
"""
_NUMBERS = """
[variables]
dose = { kind = "numeric", edges = [0, 5, 10] }
pressure = { kind = "numeric", edges = [80, 120, 160] }

[mechanisms]
pressure = "gaussian"

[graph]
edges = ["dose -> pressure"]
"""
_VISITS = """
[time]
visits = 4

[variables]
drug = { kind = "boolean" }
ill = { kind = "boolean" }

[graph]
edges = ["drug[0] -> ill[0]", "ill[t-1] -> drug[t]", "drug[t-1] -> ill[t]", "ill[t-1] -> ill[t]"]
"""


Attack: TypeAlias = Literal["likelihood", "exact"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A broken mechanism under attack, what it claims, and the sound one under the same attack.

    A likelihood attack is on Gaussian noise that is too small; an exact one needs no law of noise.
    """

    claim: float  # epsilon at `delta`
    delta: float
    broken: Game
    sound: Game
    attack: Attack

    def proved(self, finding: Finding) -> float:
        """Return the epsilon that the attack proves."""
        return finding.epsilon if self.attack == "exact" else finding.gaussian_epsilon


def _tables(*, rows: int = 1, n_min: int = 3, colluders: int = 0) -> Study:
    return measured_study(
        {"a": 3, "b": 2}, ["a -> b"], budget=RHO, rows=rows, n_min=n_min, colluders=colluders
    )


def _too_little_noise(plan: StatisticsPlan, broken: Game, sound: Game) -> Fault:
    return Fault(plan.epsilon, float(plan.delta), broken, sound, "likelihood")


def _wrong_law(plan: StatisticsPlan, broken: Game, sound: Game, rounds: int = 1) -> Fault:
    claim = epsilon_of(rounds * plan.rho, plan.delta)
    return Fault(claim, float(plan.delta), broken, sound, "exact")


def _person(values: Mapping[str, Recorded], rows: int = 1) -> list[Record]:
    return [Record(unit="new", values=values) for _ in range(rows)]


def colluders_forgotten() -> Fault:
    """The noise of all five sites is counted on, but three of them subtract theirs."""
    study = _tables(n_min=5, colluders=3)
    plan, careless = compile_plan(study), compile_plan(_tables(n_min=5))
    move = reference_statistics(plan, study, _person(ROW))
    left = gaussian_game(0 * move, move, scales_of(careless), plan.noise_shares)
    return _too_little_noise(careless, left, plan_game(plan, 0 * move, move))


def rows_without_bound() -> Fault:
    """A person has two rows, all are counted, and the noise is that for one."""
    study = _tables(rows=2)
    plan, careless = compile_plan(study), compile_plan(_tables())
    move = reference_statistics(plan, study, _person(ROW, rows=2))
    return _too_little_noise(
        careless, plan_game(careless, 0 * move, move), plan_game(plan, 0 * move, move)
    )


def numbers_unclamped() -> Fault:
    """A pressure of 240, outside its edges (80, 160), goes into the moments as it is."""
    study = parse_study(_HEAD + _NUMBERS)
    plan = compile_plan(study)
    move = reference_statistics(plan, study, _person({"dose": 10, "pressure": 240}))
    z = STEPS * np.array([1, 1, 3])  # 240 is three half widths above the middle
    [block] = [block for block in plan.blocks if block.kind == "moments"]
    wide = move.copy()
    wide[block.span] = np.outer(z, z)[np.triu_indices(3)]
    broken, sound = (plan_game(plan, 0 * move, one) for one in (wide, move))
    return _too_little_noise(plan, broken, sound)


def transitions_unweighted() -> Fault:
    """Each of three transitions counts as much as a person: S, and not S / T."""
    study = parse_study(_HEAD + _VISITS)
    plan = compile_plan(study)
    values: Mapping[str, Recorded] = {"drug": 1, "ill": 1}
    whole = [Record(unit="new", visit=visit, values=values) for visit in range(4)]
    pairs = [
        Record(unit=last, visit=visit, values=values)
        for last in (1, 2, 3)
        for visit in (last - 1, last)
    ]
    move, heavy = (reference_statistics(plan, study, records) for records in (whole, pairs))
    return _too_little_noise(
        plan, plan_game(plan, 0 * move, heavy), plan_game(plan, 0 * move, move)
    )


def noise_used_twice() -> Fault:
    """A block has the same noise in two rounds, between which a record was corrected."""
    study = _tables()
    plan = compile_plan(study)
    before, after = (
        reference_statistics(plan, study, _person(values)) for values in (ROW, {**ROW, "b": "v0"})
    )
    both = np.concatenate([before, after])
    sound = gaussian_game(0 * both, both, np.tile(scales_of(plan), 2), plan.noise_shares)
    block = plan.block(("b",))
    first = np.arange(plan.length)[block.span]
    second = first + plan.length

    def release(vector: Integers, runs: int, source: Generator) -> Integers:
        released = sound.release(vector, runs, source)
        released[:, second] = vector[second] + (released - vector)[:, first]
        return released

    def difference(releases: Integers) -> Reals:
        found = releases[:, second] - releases[:, first]
        return _equal(found, both[second] - both[first])

    attacked = replace(sound, score=difference)
    return _wrong_law(plan, replace(attacked, release=release), attacked, rounds=2)


def noise_from_a_known_seed() -> Fault:
    """The attacker draws the noise again, and subtracts it."""
    study = _tables()
    plan = compile_plan(study)
    move = reference_statistics(plan, study, _person(ROW))
    scales = scales_of(plan)

    def known(runs: int) -> Integers:
        return fast_noise(scales, plan.noise_shares, runs, default_rng(PUBLIC_SEED))

    def release(vector: Integers, runs: int, _: Generator) -> Integers:
        return vector + known(runs)

    def subtracted(releases: Integers) -> Reals:
        return _equal(releases - known(len(releases)), move)

    sound = replace(plan_game(plan, 0 * move, move), score=subtracted)
    return _wrong_law(plan, replace(sound, release=release), sound)


def noise_in_steps() -> Fault:
    """Noise is drawn in persons, then multiplied: sums keep the remainders of the records."""
    study = parse_study(_HEAD + _NUMBERS)
    plan = compile_plan(study)
    move = reference_statistics(plan, study, _person({"dose": 7.3, "pressure": 100}))
    steps = np.concatenate([np.full(b.size, b.unit, np.int64) for b in plan.blocks])
    scales = scales_of(plan) / steps

    def release(vector: Integers, runs: int, source: Generator) -> Integers:
        drawn: Integers = steps * fast_noise(scales, plan.noise_shares, runs, source)
        return vector + drawn

    sound = replace(
        plan_game(plan, 0 * move, move), score=lambda found: _equal(found % steps, move % steps)
    )
    return _wrong_law(plan, replace(sound, release=release), sound)


def noise_shared_by_a_block() -> Fault:
    """One draw is added to all elements of a block: differences between them are exact."""
    study = _tables()
    plan = compile_plan(study)
    move = reference_statistics(plan, study, _person(ROW))
    block = plan.block(("a",))

    def release(vector: Integers, runs: int, source: Generator) -> Integers:
        released = sound.release(vector, runs, source)
        drawn = discrete_gaussian(np.full((runs, 1), float(block.site_scale)), source)
        released[:, block.span] = vector[block.span] + drawn
        return released

    sound = replace(
        plan_game(plan, 0 * move, move),
        score=lambda found: _equal(np.diff(found[:, block.span]), np.diff(move[block.span])),
    )
    return _wrong_law(plan, replace(sound, release=release), sound)


def _equal(found: Integers, expected: Integers) -> Reals:
    """Return 1 for every row that is as it would be with the unit, else 0."""
    matches: Reals = (found == expected).all(axis=1).astype(np.float64)
    return matches


FAULTS: Mapping[str, Callable[[], Fault]] = {
    fault.__name__.replace("_", " "): fault
    for fault in (
        colluders_forgotten,
        rows_without_bound,
        numbers_unclamped,
        transitions_unweighted,
        noise_used_twice,
        noise_from_a_known_seed,
        noise_in_steps,
        noise_shared_by_a_block,
    )
}
