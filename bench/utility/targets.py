"""What the benchmark has to show, as measurements beside what was found.

Ratios are of means over the seeds that both sides have. A comparison that was not run is left out.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bench.harness import Measurement
from bench.utility.equal_noise import EQUAL_NOISE
from bench.utility.grid import AIM, LARGE, MST, SIZES, SMALL, TARGET_EPSILON
from bench.utility.measures import Score, average
from bench.utility.ours import NO_NOISE, ONE_CURATOR, TEN
from bench.utility.results import Cell, Results
from bench.utility.sites_alone import SITES_ALONE

SMALL_NETWORKS = ("asia", "sachs")  # up to 20 nodes
LARGE_NETWORKS = ("alarm", "hailfinder")

Measure = Callable[[Score], float]


def measurements(results: Results) -> list[Measurement]:
    """Return every comparison that the results allow, in the order of the issue."""
    return [
        *_against(results, "family tables", _family, EQUAL_NOISE.name, 0.7, LARGE_NETWORKS),
        *_marginal_based(results),
        *_against(results, "effects", _effect, NO_NOISE.name, 1.3, SMALL_NETWORKS),
        *_against(results, "effects", _effect, ONE_CURATOR.name, 1.25, worlds_of(results)),
        *_many_persons(results),
        *_coverage(results),
        *_against(results, "effects", _effect, SITES_ALONE.name, 0.5, worlds_of(results)),
    ]


def worlds_of(results: Results) -> tuple[str, ...]:
    """Return the worlds of the results, each once, in their order."""
    return tuple(dict.fromkeys(cell.world for cell in results))


def found(results: Results, cell: Cell) -> dict[int, Score]:
    """Return the scores of a place by seed; the seed of `cell` is ignored."""
    place = (cell.world, cell.rows, cell.epsilon, cell.arm)
    return {
        one.seed: score
        for one, score in results.items()
        if (one.world, one.rows, one.epsilon, one.arm) == place
    }


def _effect(score: Score) -> float:
    return score.effect_error


def _family(score: Score) -> float:
    return score.family_error


def _against(
    results: Results,
    what: str,
    measure: Measure,
    peer: str,
    target: float | None,
    worlds: Sequence[str],
) -> Iterator[Measurement]:
    """Yield our error beside a peer's on each world at SMALL, where both have the same seeds."""
    for world in worlds:
        sides = _both(results, world, TEN.name, peer)
        if sides is None:
            continue
        ours, theirs = (float(np.mean([measure(score) for score in side])) for side in sides)
        yield Measurement(
            name=f"{what}, {world}, {_place(SMALL)}",
            value=ours,
            unit="error",
            peer=peer,
            peer_value=theirs,
            target=target,
            at_least=False,
        )


def _both(
    results: Results, world: str, ours: str, theirs: str
) -> tuple[list[Score], list[Score]] | None:
    mine, other = (
        found(results, Cell(world, SMALL, TARGET_EPSILON, arm, 0)) for arm in (ours, theirs)
    )
    seeds = [seed for seed in mine if seed in other and not np.isnan(other[seed].effect_error)]
    return ([mine[seed] for seed in seeds], [other[seed] for seed in seeds]) if seeds else None


def _marginal_based(results: Results) -> Iterator[Measurement]:
    """Yield ours against the better of MST and AIM: each network, and the mean ratio."""
    best = []
    for world in worlds_of(results):
        peers = [
            one
            for arm in (MST, AIM)
            for one in _against(results, "effects", _effect, arm.name, 0.8, (world,))
        ]
        best += sorted(peers, key=lambda one: -(one.ratio or 0.0))[:1]
    yield from best
    if best:
        yield Measurement(
            name=f"effects, mean ratio to the better of {' and '.join(sorted(_peers(results)))}",
            value=float(np.mean([one.ratio for one in best if one.ratio])),
            unit="",
            target=0.5,
            targets_ratio=False,
            at_least=False,
        )


def _peers(results: Results) -> set[str]:
    return {cell.arm for cell in results} & {MST.name, AIM.name}


def _many_persons(results: Results) -> Iterator[Measurement]:
    for world in ("alarm", "sachs"):
        scores = found(results, Cell(world, LARGE, TARGET_EPSILON, TEN.name, 0))
        if scores:
            yield Measurement(
                name=f"effects, {world}, {_place(LARGE)}",
                value=average(scores.values()).effect_error,
                unit="error",
                target=0.004,
                targets_ratio=False,
                at_least=False,
            )


def _coverage(results: Results) -> Iterator[Measurement]:
    for world in worlds_of(results):
        for rows in SIZES:
            scores = found(results, Cell(world, rows, TARGET_EPSILON, TEN.name, 0))
            if scores:
                yield Measurement(
                    name=f"coverage of 95 % intervals, {world}, {_place(rows)}",
                    value=average(scores.values()).coverage,
                    unit="",
                    target=0.92,
                    targets_ratio=False,
                    target_most=0.98,
                )


def _place(rows: int) -> str:
    return f"epsilon {TARGET_EPSILON:g}, N = {rows // 1000}k"
