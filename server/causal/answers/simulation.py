"""Means by simulation: the same persons in every world and for every parameter draw.

The estimate is made of POINT_ROWS rows, with a Monte Carlo error by the delta method that knows
that the worlds share their noise. Draws are made of the first DRAW_ROWS of the same rows: what
they vary by is then the parameters, hardly the rows. A node with a table is not drawn itself, its
mean given its parents is taken instead (Rao-Blackwell). The seed follows from the study, so that
everybody finds the same digits.

Notation. For row i and mean m: x_im the score of the outcome, or its mean given the parents, and
s_im whether it has one, or the probability; both are 0 for persons who are not asked about. Then
m = sum_i x_im / sum_i s_im, and Cov(m, v) = 1/n^2 sum_i (x_im - m s_im) (x_iv - v s_iv) /
(mean s_m mean s_v).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.study.expression_arrays import Levels
from protocol.study.study import Study
from server.causal.answers.asked import Asked
from server.causal.mechanisms.mechanism import WHOLE, Table, TableMechanism
from server.causal.sampling.drawing import Given, draw
from server.causal.sampling.engine import CHUNK_ROWS
from server.causal.sampling.nodes import Rows
from server.causal.sampling.tables import parent_row
from server.causal.worlds.compilation import reads_at
from server.causal.worlds.part import Part
from server.causal.worlds.settings import Law
from server.causal.worlds.world import World

POINT_ROWS = 200_000
DRAW_ROWS = 4_096
_PURPOSE = b"concause/1/simulation-seed\x00"
_SEED_BYTES = 6

Reals: TypeAlias = NDArray[Any]  # float64


def seed_of(study: Study) -> int:
    """Return the seed that effects on models of a study are simulated with."""
    return int.from_bytes(hashlib.sha256(_PURPOSE + study.hash).digest()[:_SEED_BYTES], "big")


def simulated_means(worlds: Sequence[World], asked: Asked) -> tuple[Reals, Reals]:
    """Return values and covariance as `answering.WorldMeans` has them; nan where none has one."""
    seed, draws = seed_of(worlds[0].study), worlds[0].draws
    count = 2 * len(worlds) * len(asked.scores)
    first, second = np.zeros(count), np.zeros((count, count))
    for features in _features(worlds, asked, None, (seed, POINT_ROWS)):
        first += features.sum(axis=1)
        second += features @ features.T
    values = np.empty((count // 2, 1 + draws))
    values[:, 0] = _ratios(first)
    for number in range(draws):
        parts = _features(worlds, asked, number, (seed, DRAW_ROWS))
        values[:, 1 + number] = _ratios(sum(part.sum(axis=1) for part in parts))
    return values, _covariance(first, second)


def simulated_shares(world: World, node: str) -> Reals:
    """Return P(node) by the point estimate, shape (levels,)."""
    levels = np.eye(len(world.study.model_labels(node)))
    return simulated_means([_at_the_estimate(world)], Asked(node, levels[:, None]))[0][:, 0]


def _at_the_estimate(world: World) -> World:
    """Return the world without its parameter draws."""
    return World(world.study, world.placements, 0, world.parts)


def drawn_worlds(
    worlds: Sequence[World], number: int | None, size: tuple[int, int]
) -> Iterator[list[Rows]]:
    """Yield the same persons in every world, chunk by chunk; `size` is the seed and the rows.

    What worlds have in common with the first is drawn once.
    """
    seed, count = size
    compiled = [world.compiled(number) for world in worlds]
    shared = [world.shared_with(worlds[0]) for world in worlds]
    for start in range(0, count, CHUNK_ROWS):
        rows = min(CHUNK_ROWS, count - start)
        found = [draw(compiled[0], seed, start, rows)]
        for nodes, places in zip(compiled[1:], shared[1:], strict=True):
            found.append(draw(nodes, seed, start, rows, given=Given(found[0], places)))
        yield found


def evaluated(world: World, law: Law) -> Reals:
    """Return what a law gives for POINT_ROWS persons of a world, at the point estimate."""
    needed = world.up_to(law.reads.values())
    reads = reads_at(world.study, law, needed.place)
    size = seed_of(world.study), POINT_ROWS
    pieces = []
    for rows in drawn_worlds([needed], None, size):
        columns = reads.columns(rows[0].codes, rows[0].values)
        found = law.function(columns, rows[0].codes.shape[1])
        assert not isinstance(found, Levels)  # noqa: S101 - scores are numbers
        pieces.append(found)
    return np.concatenate(pieces)


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """What is drawn for a question in one world, and how persons count.

    Places are positions among the parts of `world`: of the outcome, or of its parents, whose codes
    make the row.
    """

    world: World
    places: tuple[int, ...]
    sizes: tuple[int, ...]
    numbers: Reals  # shape (levels or rows, features)
    by_value: bool
    given: Mapping[int, int]  # codes that persons have, by place

    def features(self, rows: Rows) -> Reals:
        """Return x and s of every person and mean in turn, shape (2 K, rows)."""
        place = self.places[0] if self.by_value else -1
        if place in rows.values:
            own = rows.values[place]
            known = np.isfinite(own)
            found = np.stack([np.where(known, own, 0.0), known])
        else:
            found = np.asarray(self.numbers[parent_row(self.places, self.sizes, rows.codes)].T)
        for at, code in self.given.items():
            found = found * (rows.codes[at] == code)
        return found


def _target(world: World, asked: Asked, number: int | None) -> _Target:
    """Return how a question is answered in a world, by the estimate or by a parameter draw."""
    needed = world.up_to([asked.node, *asked.given])
    part, numbers = needed.by_name[asked.node], asked.numbers(number)
    table = _table(part, number)
    read = {parent for one in needed.parts for parent in one.parents}
    if table is not None and part.name not in read | set(asked.given):
        others = tuple(one for one in needed.parts if one is not part)
        averaged = World(world.study, world.placements, world.draws, others)
        return _Target(
            world=averaged,
            places=tuple(averaged.place[parent] for parent in part.parents),
            sizes=table.shape[:-1],
            numbers=table.reshape(-1, table.shape[-1]) @ numbers,
            by_value=False,
            given={averaged.place[node]: code for node, code in asked.given.items()},
        )
    return _Target(
        world=needed,
        places=(needed.place[asked.node],),
        sizes=(len(numbers),),
        numbers=numbers,
        by_value=asked.by_value,
        given={needed.place[node]: code for node, code in asked.given.items()},
    )


def _table(part: Part, number: int | None) -> Table | None:
    """Return the table that a part is drawn from; None if it is drawn otherwise."""
    if part.table is not None:
        return part.table
    if part.setting is not None or not isinstance(part.mechanism, TableMechanism):
        return None
    return part.mechanism.table if number is None else part.mechanism.parts[number] / WHOLE


def _features(
    worlds: Sequence[World], asked: Asked, number: int | None, size: tuple[int, int]
) -> Iterator[Reals]:
    """Yield x and s of every mean of every world, chunk by chunk, shape (2 K worlds, rows)."""
    targets = [_target(world, asked, number) for world in worlds]
    for found in drawn_worlds([target.world for target in targets], number, size):
        rows = zip(targets, found, strict=True)
        yield np.concatenate([target.features(drawn) for target, drawn in rows])


def _ratios(sums: Reals) -> Reals:
    score, known = sums[0::2], sums[1::2]
    return np.where(known > 0, score / np.where(known > 0, known, 1.0), np.nan)


def _covariance(first: Reals, second: Reals) -> Reals:
    """Return the covariance of the ratios of sums, shape (means, means)."""
    means, count = _ratios(first), len(first) // 2
    known = np.where(first[1::2] > 0, first[1::2], 1.0)
    influence = np.zeros((count, 2 * count))
    for at in range(count):
        influence[at, 2 * at] = 1.0 / known[at]
        influence[at, 2 * at + 1] = -np.nan_to_num(means[at]) / known[at]
    return np.asarray(influence @ second @ influence.T)
