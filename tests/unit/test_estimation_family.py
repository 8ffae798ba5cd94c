"""One mechanism from one noisy table, by both solvers."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray

from server.estimation.diagonal import diagonal_posterior
from server.estimation.family import (
    NoisyFamily,
    Posterior,
    base_distribution,
    dirichlet_like,
    to_simplex,
)
from server.estimation.hierarchy import fits_in, hierarchical_posterior

Solver = Callable[[NoisyFamily], Posterior]
SOLVERS = pytest.mark.parametrize(
    "solver", [hierarchical_posterior, diagonal_posterior], ids=["hierarchy", "diagonal"]
)
SCORES = (-2.0, 0.0, 1.0, 4.0, None)


def family(
    truth: NDArray[np.float64],
    parent_sizes: tuple[int, ...],
    *,
    persons: float = 1e7,
    noise: float = 1.0,
    scores: tuple[float | None, ...] | None = None,
) -> NoisyFamily:
    """Return exact expected counts of equally frequent rows; the noise is only claimed."""
    rows, codes = truth.shape
    table = truth * persons / rows
    return NoisyFamily(
        table=table,
        totals=table.sum(axis=1),
        base=base_distribution(table.sum(axis=0), noise),
        parent_sizes=parent_sizes,
        contrast_variance=noise,
        total_variance=codes * noise,
        scores=scores,
    )


def random_rows(parent_sizes: tuple[int, ...], codes: int) -> NDArray[np.float64]:
    return default_rng(1).dirichlet(np.ones(codes), size=int(np.prod(parent_sizes, dtype=int)))


SHAPES = [((), 2), ((), 5), ((2,), 2), ((3,), 5), ((2, 3), 2), ((2, 3), 5), ((2, 2, 3), 4)]


@SOLVERS
@pytest.mark.parametrize(("parent_sizes", "codes"), SHAPES)
@pytest.mark.parametrize("scored", [False, True])
def test_large_counts_with_little_noise_give_the_truth(
    solver: Solver, parent_sizes: tuple[int, ...], codes: int, scored: bool
) -> None:
    truth = random_rows(parent_sizes, codes)
    scores = (*SCORES[-codes:-1], None) if scored and codes > 2 else None
    found = solver(family(truth, parent_sizes, scores=scores))
    assert found.mean == pytest.approx(truth, abs=2e-3)
    draws = found.draw(50, default_rng(2))
    assert draws.mean(axis=0) == pytest.approx(truth, abs=5e-3)


@SOLVERS
@pytest.mark.parametrize("table", [0.0, -500.0, 80.0], ids=["empty", "negative", "equal"])
def test_every_table_gives_probabilities(solver: Solver, table: float) -> None:
    made = replace(
        family(random_rows((2, 3), 4), (2, 3), noise=100.0, scores=(0.0, 1.0, 2.0, None)),
        table=np.full((6, 4), table),
        totals=np.zeros(6),
        base=base_distribution(np.zeros(4), 100.0),
    )
    found = solver(made)
    for rows in (found.mean, found.draw(30, default_rng(1))):
        assert (rows >= 0).all()
        assert rows.sum(axis=-1) == pytest.approx(1.0)


@SOLVERS
def test_table_of_noise_alone_leaves_wide_draws(solver: Solver) -> None:
    noise = default_rng(4).normal(scale=20.0, size=(6, 2))
    made = NoisyFamily(
        table=noise,
        totals=np.zeros(6),
        base=base_distribution(np.zeros(2), 400.0),
        parent_sizes=(2, 3),
        contrast_variance=400.0,
        total_variance=800.0,
        scores=None,
    )
    draws = solver(made).draw(400, default_rng(1))
    assert draws[:, :, 1].std(axis=0).min() > 0.2


def test_row_below_its_noise_follows_what_the_other_rows_say() -> None:
    """Two parents add up on the mean; the last row has no persons, only noise."""
    first, second = np.indices((3, 4)).reshape(2, 12)
    share = 0.1 + 0.15 * first + 0.1 * second
    truth = np.stack([1 - share, share], axis=1)
    persons = np.full((12, 1), 2000.0)
    persons[-1] = 0.0
    table = truth * persons
    table[-1] = [60.0, -60.0]  # noise that clipping would read as certainty
    made = NoisyFamily(
        table=table,
        totals=persons[:, 0],
        base=base_distribution(table.sum(axis=0), 400.0),
        parent_sizes=(3, 4),
        contrast_variance=400.0,
        total_variance=800.0,
        scores=None,
    )
    found = hierarchical_posterior(made).mean
    assert found[-1, 1] == pytest.approx(0.7, abs=0.06)
    assert found[:-1] == pytest.approx(truth[:-1], abs=0.03)


def test_effect_on_the_mean_is_not_shrunk_away() -> None:
    """A shift of 0.4 standard deviations, in rows as small as those of NHEFS."""
    scores = np.arange(10.0)
    group, stratum = np.indices((2, 12)).reshape(2, 24)
    centre = 4.0 + 0.1 * (stratum - 5.5) + 0.8 * group
    weights = np.exp(-0.5 * ((scores - centre[:, None]) / 2.0) ** 2)
    truth = weights / weights.sum(axis=1, keepdims=True)
    made = family(truth, (2, 12), persons=24 * 60.0, noise=6.0, scores=tuple(scores))
    found = hierarchical_posterior(made).mean @ scores
    effect = (found[12:] - found[:12]).mean()
    exact = (truth[12:] @ scores - truth[:12] @ scores).mean()
    assert effect == pytest.approx(exact, rel=0.05)


@SOLVERS
def test_draws_are_those_of_the_generator(solver: Solver) -> None:
    found = solver(family(random_rows((2, 3), 4), (2, 3), persons=600.0, noise=9.0))
    once, again = (found.draw(20, default_rng(5)) for _ in range(2))
    assert once.tobytes() == again.tobytes()
    assert once.tobytes() != found.draw(20, default_rng(6)).tobytes()


def test_draws_are_wider_with_more_noise() -> None:
    truth = random_rows((2, 3), 4)
    spreads = [
        hierarchical_posterior(family(truth, (2, 3), persons=3000.0, noise=noise))
        .draw(200, default_rng(1))
        .std(axis=0)
        .mean()
        for noise in (1.0, 100.0, 2500.0)
    ]
    assert spreads == sorted(spreads)
    assert spreads[2] > 2 * spreads[0]


@pytest.mark.parametrize(
    ("parent_sizes", "codes", "expected"),
    [
        ((), 2, True),
        ((4, 3, 4, 3), 4, True),
        ((2,) * 16, 2, True),
        ((), 65, False),
        ((40, 40), 40, False),
        ((9, 9, 9, 9), 40, False),
    ],
)
def test_exact_solver_is_left_to_families_that_it_can_hold(
    parent_sizes: tuple[int, ...], codes: int, *, expected: bool
) -> None:
    rows = int(np.prod(parent_sizes, dtype=int))
    made = NoisyFamily(
        np.zeros((rows, codes)), np.zeros(rows), np.ones(codes), parent_sizes, 1.0, 1.0, None
    )
    assert fits_in(made) == expected


def test_base_is_the_childs_own_where_counts_rule_and_equal_where_noise_does() -> None:
    weights = np.array([300.0, 100.0])
    assert base_distribution(weights, 1e-9) == pytest.approx([0.75, 0.25])
    assert base_distribution(weights, 1e12) == pytest.approx([0.5, 0.5])
    assert base_distribution(np.zeros(4), 1.0) == pytest.approx([0.25] * 4)


def test_rows_without_any_positive_part_become_the_base() -> None:
    base = np.array([0.2, 0.8])
    rows = np.array([[-1.0, -2.0], [-1.0, 3.0], [2.0, 2.0]])
    assert to_simplex(rows, base).tolist() == [[0.2, 0.8], [0.0, 1.0], [0.5, 0.5]]


def test_dirichlet_draws_have_the_mean_and_variance_asked_for() -> None:
    mean = np.broadcast_to([0.1, 0.6, 0.3], (200_000, 3))
    found = dirichlet_like(mean, np.full(200_000, 0.05), default_rng(1))
    assert found.mean(axis=0) == pytest.approx(mean[0], abs=2e-3)
    assert found.var(axis=0).sum() == pytest.approx(0.05, rel=0.02)


def test_dirichlet_draws_without_variance_are_the_mean() -> None:
    mean = np.array([[0.1, 0.9], [1.0, 0.0]])
    assert dirichlet_like(mean, np.zeros(2), default_rng(1)).tolist() == mean.tolist()
