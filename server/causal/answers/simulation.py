"""Means by simulation: the same persons in every world and for every parameter draw.

The estimate is made of POINT_ROWS rows, with a Monte Carlo error by the delta method that knows
that the worlds share their noise. Draws are made of the first DRAW_ROWS of the same rows: what
they vary by is then the parameters, hardly the rows. A node with a table is not drawn itself, its
mean given its parents is taken instead (Rao-Blackwell). The seed follows from the study, so that
everybody finds the same digits.

Notation. For row i and world w: x_iw the score of the outcome, or its mean given the parents, and
s_iw whether it has one, or the probability. m_w = sum_i x_iw / sum_i s_iw, and
Cov(m_w, m_v) = 1/n^2 sum_i (x_iw - m_w s_iw) (x_iv - m_v s_iv) / (mean s_w mean s_v).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.study.study import Study
from server.causal.answers.effects import WorldMeans
from server.causal.answers.scores import Scores
from server.causal.mechanisms.mechanism import WHOLE, Table, TableMechanism
from server.causal.sampling.world import CHUNK_ROWS, Rows, WorldNode, draw_world
from server.causal.worlds.question_world import QuestionWorld

POINT_ROWS = 200_000
DRAW_ROWS = 4_096
_PURPOSE = b"concause/1/simulation-seed\x00"
_SEED_BYTES = 6

Reals: TypeAlias = NDArray[Any]  # float64


def seed_of(study: Study) -> int:
    """Return the seed that effects on models of a study are simulated with."""
    return int.from_bytes(hashlib.sha256(_PURPOSE + study.hash).digest()[:_SEED_BYTES], "big")


def simulated_means(worlds: Sequence[QuestionWorld], outcome: str, scores: Scores) -> WorldMeans:
    """Return the mean of a node in worlds of one model; nan where it is always missing."""
    seed, draws = seed_of(worlds[0].study), worlds[0].draws
    first, second = np.zeros(2 * len(worlds)), np.zeros((2 * len(worlds), 2 * len(worlds)))
    for features in _features(worlds, outcome, scores, None, (seed, POINT_ROWS)):
        first += features.sum(axis=1)
        second += features @ features.T
    values = np.empty((len(worlds), 1 + draws))
    values[:, 0] = _ratios(first)
    for draw in range(draws):
        parts = _features(worlds, outcome, scores, draw, (seed, DRAW_ROWS))
        values[:, 1 + draw] = _ratios(sum(part.sum(axis=1) for part in parts))
    return WorldMeans(values, _covariance(first, second), "simulation")


def simulated_shares(world: QuestionWorld, node: str) -> Reals:
    """Return P(node) by the point estimate, shape (levels,)."""
    seed = seed_of(world.study)
    target = _target(world, node, np.eye(len(world.study.model_labels(node))), None)
    found = np.zeros(target.numbers.shape[-1])
    for start, rows in _chunks(POINT_ROWS):
        drawn = draw_world(target.nodes, seed, start, rows)
        counts = np.bincount(target.levels(drawn), minlength=len(target.numbers))
        found += counts @ target.numbers
    return found / POINT_ROWS


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """What is drawn for an outcome, and what its levels, or rows of its parents, count for.

    Places are positions among `nodes`: of the outcome, or of the parents whose codes make the row.
    """

    nodes: tuple[WorldNode, ...]
    places: tuple[int, ...]
    sizes: tuple[int, ...]
    numbers: Reals  # shape (levels or rows, features)
    own: bool  # whether the outcome itself is drawn

    def levels(self, rows: Rows) -> NDArray[np.intp]:
        """Return the row of `numbers` that counts for each person."""
        found = np.zeros(rows.codes.shape[1], dtype=np.intp)
        for place, size in zip(self.places, self.sizes, strict=True):
            found = found * size + rows.codes[place]
        return found

    def features(self, rows: Rows) -> Reals:
        """Return x and s of every person, shape (2, rows)."""
        place = self.places[0] if self.own else -1
        if place in rows.values:
            own = rows.values[place]
            known = np.isfinite(own)
            return np.stack([np.where(known, own, 0.0), known])
        return np.asarray(self.numbers[self.levels(rows)].T)


def _target(world: QuestionWorld, outcome: str, numbers: Reals, draw: int | None) -> _Target:
    """Return how an outcome is drawn; `numbers` are what each of its levels counts for."""
    nodes, mechanism = world.ancestry(outcome), world.mechanisms[outcome]
    if isinstance(mechanism, TableMechanism) and outcome not in world.assignments:
        nodes = nodes[:-1]
        table = mechanism.table if draw is None else mechanism.parts[draw] / WHOLE
        return _Target(
            nodes=world.compiled(nodes, draw),
            places=tuple(nodes.index(parent) for parent in mechanism.parents),
            sizes=world.study.model_sizes(mechanism.parents),
            numbers=_expected(table, numbers),
            own=False,
        )
    size = len(world.study.model_labels(outcome))
    return _Target(world.compiled(nodes, draw), (len(nodes) - 1,), (size,), numbers, own=True)


def _expected(table: Table, numbers: Reals) -> Reals:
    return np.asarray(table.reshape(-1, table.shape[-1]) @ numbers)


def _features(
    worlds: Sequence[QuestionWorld],
    outcome: str,
    scores: Scores,
    draw: int | None,
    size: tuple[int, int],
) -> Iterator[Reals]:
    """Yield x and s of every world, chunk by chunk, shape (2 worlds, rows)."""
    own = scores[0 if draw is None or len(scores) == 1 else 1 + draw]
    numbers = np.stack([np.nan_to_num(own), ~np.isnan(own)], axis=1)
    targets = [_target(world, outcome, numbers, draw) for world in worlds]
    seed, count = size
    for start, rows in _chunks(count):
        drawn = [target.features(draw_world(target.nodes, seed, start, rows)) for target in targets]
        yield np.concatenate(drawn)


def _chunks(rows: int) -> Iterator[tuple[int, int]]:
    for start in range(0, rows, CHUNK_ROWS):
        yield start, min(CHUNK_ROWS, rows - start)


def _ratios(sums: Reals) -> Reals:
    score, known = sums[0::2], sums[1::2]
    return np.where(known > 0, score / np.where(known > 0, known, 1.0), np.nan)


def _covariance(first: Reals, second: Reals) -> Reals:
    """Return the covariance of the ratios of sums, shape (worlds, worlds)."""
    means, worlds = _ratios(first), len(first) // 2
    known = np.where(first[1::2] > 0, first[1::2], 1.0)
    influence = np.zeros((worlds, 2 * worlds))
    for world in range(worlds):
        influence[world, 2 * world] = 1.0 / known[world]
        influence[world, 2 * world + 1] = -np.nan_to_num(means[world]) / known[world]
    return np.asarray(influence @ second @ influence.T)
