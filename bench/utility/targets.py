"""What the benchmark has to show, as measurements beside what was found.

Ratios are of means over the seeds that both sides have. A comparison that was not run is left out.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.harness import Measurement
from bench.utility.directed import DIRECTED
from bench.utility.equal_noise import EQUAL_NOISE
from bench.utility.grid import AIM, ASKED, LARGE, MST, NETWORKS, SIZES, SMALL, TARGET_EPSILON
from bench.utility.measures import Score, average
from bench.utility.ours import NO_NOISE, ONE_CURATOR, TEN
from bench.utility.results import Results
from bench.utility.sites_alone import SITES_ALONE

SMALL_NETWORKS = ("asia", "sachs")  # up to 20 nodes
LARGE_NETWORKS = ("alarm", "hailfinder")
COVERED = (0.92, 0.98)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One arm's error over another's, at SMALL and TARGET_EPSILON."""

    what: str
    measure: Callable[[Score], float]
    peer: str
    target: float  # the most that the ratio may be
    arm: str = TEN.name


def _effect(score: Score) -> float:
    return score.effect_error


def _family(score: Score) -> float:
    return score.family_error


TABLES = Comparison("family tables", _family, EQUAL_NOISE.name, 0.7)
SAMPLING = Comparison("effects", _effect, NO_NOISE.name, 1.3)
FEDERATION = Comparison("effects", _effect, ONE_CURATOR.name, 1.25)
POOLING = Comparison("effects", _effect, SITES_ALONE.name, 0.5)
DIRECTION = Comparison("asked effects", _effect, TEN.name, 0.65, arm=DIRECTED.name)
PEERS = tuple(Comparison("effects", _effect, peer.name, 0.8) for peer in (MST, AIM))
MOST_ON_AVERAGE = 0.5  # to the better of PEERS, averaged over networks


def measurements(results: Results) -> list[Measurement]:
    """Return every comparison that the results allow, in the order of the issue."""
    return [
        *compared(results, TABLES, LARGE_NETWORKS),
        *_marginal_based(results),
        *compared(results, DIRECTION, ASKED),
        *compared(results, SAMPLING, SMALL_NETWORKS),
        *compared(results, FEDERATION, NETWORKS),
        *_many_persons(results),
        *_coverage(results, NETWORKS),
        *compared(results, POOLING, NETWORKS),
    ]


def compared(
    results: Results, comparison: Comparison, worlds: Sequence[str]
) -> Iterator[Measurement]:
    """Yield a comparison on each world where both arms have answered from the same records."""
    for world in worlds:
        mine, other = (
            _by_seed(results, world, SMALL, arm) for arm in (comparison.arm, comparison.peer)
        )
        seeds = [seed for seed in mine if seed in other and np.isfinite(other[seed].effect_error)]
        if seeds:
            yield Measurement(
                name=f"{comparison.what}, {world}, {_place(SMALL)}",
                value=float(np.mean([comparison.measure(mine[seed]) for seed in seeds])),
                unit="error",
                peer=comparison.peer,
                peer_value=float(np.mean([comparison.measure(other[seed]) for seed in seeds])),
                target=comparison.target,
                at_least=False,
            )


def _by_seed(results: Results, world: str, rows: int, arm: str) -> dict[int, Score]:
    place = (world, rows, TARGET_EPSILON, arm)
    return {
        cell.seed: score
        for cell, score in results.items()
        if (cell.world, cell.rows, cell.epsilon, cell.arm) == place
    }


def _marginal_based(results: Results) -> Iterator[Measurement]:
    """Yield ours against the better of MST and AIM: on each network, and the mean ratio."""
    best = []
    for world in NETWORKS:
        peers = [one for peer in PEERS for one in compared(results, peer, (world,))]
        best += sorted(peers, key=lambda one: -(one.ratio or 0.0))[:1]
    yield from best
    if best:
        run = [peer.peer for peer in PEERS if any(cell.arm == peer.peer for cell in results)]
        yield Measurement(
            name=f"effects, mean ratio to the better of {' and '.join(run)}, {_place(SMALL)}",
            value=float(np.mean([one.ratio for one in best if one.ratio])),
            unit="",
            target=MOST_ON_AVERAGE,
            targets_ratio=False,
            at_least=False,
        )


def _many_persons(results: Results) -> Iterator[Measurement]:
    for world in ("alarm", "sachs"):
        if scores := _by_seed(results, world, LARGE, TEN.name):
            yield Measurement(
                name=f"effects, {world}, {_place(LARGE)}",
                value=average(scores.values()).effect_error,
                unit="error",
                target=0.004,
                targets_ratio=False,
                at_least=False,
            )


def _coverage(results: Results, worlds: Sequence[str]) -> Iterator[Measurement]:
    for world in worlds:
        for rows in SIZES:
            if scores := _by_seed(results, world, rows, TEN.name):
                yield Measurement(
                    name=f"coverage of 95 % intervals, {world}, {_place(rows)}",
                    value=average(scores.values()).coverage,
                    unit="",
                    target=COVERED[0],
                    targets_ratio=False,
                    target_most=COVERED[1],
                )


def _place(rows: int) -> str:
    return f"epsilon {TARGET_EPSILON:g}, N = {rows // 1000}k"
