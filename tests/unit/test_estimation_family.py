"""One mechanism from one noisy table, by both solvers."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray

from protocol.privacy.plan import compile_plan
from server.estimation import blend
from server.estimation.blend import table_posterior
from server.estimation.consistency import consistent_tables
from server.estimation.contrasts import coordinates_of, family_map, layout_of
from server.estimation.diagonal import diagonal_posterior
from server.estimation.family import (
    NoisyFamily,
    Posterior,
    base_distribution,
    dirichlet_like,
    nearest_distribution,
    to_simplex,
    widening,
)
from server.estimation.hierarchy import fits_in, hierarchical_posterior
from tests.support.networks import asia, release

Solver = Callable[[NoisyFamily], Posterior]
SOLVERS = pytest.mark.parametrize(
    "solver",
    [hierarchical_posterior, diagonal_posterior, table_posterior],
    ids=["hierarchy", "diagonal", "blend"],
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
        consistent=np.maximum(table, 0.0),
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


def test_every_row_is_taken_to_the_nearest_distribution() -> None:
    rows = np.array([[-1.0, -2.0, -9.0], [0.9, 0.1, 0.1], [0.2, 0.5, 0.3], [3.0, 3.0, 0.0]])
    expected = [[1.0, 0.0, 0.0], [0.9 - 1 / 30, 0.1 - 1 / 30, 0.1 - 1 / 30], [0.2, 0.5, 0.3]]
    found = nearest_distribution(rows)
    assert found[:3] == pytest.approx(np.array(expected))
    assert found[3].tolist() == [0.5, 0.5, 0.0]


def test_distributions_stay_as_they_are_and_no_other_is_nearer() -> None:
    generator = default_rng(3)
    rows = generator.normal(scale=0.7, size=(40, 5))
    nearest = nearest_distribution(rows)
    assert nearest_distribution(nearest) == pytest.approx(nearest)
    others = generator.dirichlet(np.ones(5), size=(500, 1))
    distance = ((rows - nearest) ** 2).sum(axis=-1)
    assert (((rows - others) ** 2).sum(axis=-1) >= distance - 1e-12).all()


def test_impossible_codes_have_no_part_in_the_nearest_distribution() -> None:
    possible = np.array([[True, False, True], [False, True, False]])
    rows = np.array([[[0.2, 9.0, 0.4], [5.0, -3.0, 5.0]]])
    assert nearest_distribution(rows, possible) == pytest.approx(
        np.array([[[0.4, 0.0, 0.6], [0.0, 1.0, 0.0]]])
    )


def deterministic_or(*, masked: bool) -> NoisyFamily:
    """Return `either` of asia with few persons in the rows of tuberculosis, and heavy noise."""
    truth = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    persons = np.array([[9350.0], [540.0], [98.0], [12.0]])
    table = truth * persons + default_rng(8).normal(scale=20.0, size=(4, 2))
    return NoisyFamily(
        table=table,
        totals=persons[:, 0],
        base=base_distribution(table.sum(axis=0), 400.0),
        parent_sizes=(2, 2),
        contrast_variance=400.0,
        total_variance=800.0,
        scores=None,
        consistent=np.maximum(table, 0.0),
        possible=truth > 0 if masked else None,
    )


@SOLVERS
def test_structural_zeros_are_exact_in_the_estimate_and_in_every_draw(solver: Solver) -> None:
    found = solver(deterministic_or(masked=True))
    impossible = np.array([[False, True], [True, False], [True, False], [True, False]])
    for rows in (found.mean, found.draw(20, default_rng(1))):
        assert (rows[..., impossible] == 0).all()
        assert rows[..., ~impossible] == pytest.approx(1.0)
    undeclared = solver(deterministic_or(masked=False))
    assert undeclared.draw(200, default_rng(1))[:, 3, 0].max() > 0.05


@SOLVERS
def test_impossible_codes_get_nothing_and_the_others_sum_to_one(solver: Solver) -> None:
    made = family(random_rows((2, 3), 4), (2, 3), persons=900.0, noise=100.0)
    possible = default_rng(5).random((6, 4)) < 0.6
    possible[:, 2] = True
    found = solver(replace(made, possible=possible))
    for rows in (found.mean, found.draw(30, default_rng(1))):
        assert (rows[..., ~possible] == 0).all()
        assert rows.sum(axis=-1) == pytest.approx(1.0)
    assert found.mean[:, 2].min() > 0


def test_well_counted_rows_move_to_the_consistent_table_and_drowned_ones_do_not() -> None:
    """A sharp row of 120 persons, and one of 3, among many like the child's own distribution."""
    persons = np.full((12, 1), 800.0)
    persons[:2, 0] = [120.0, 3.0]
    share = np.full(12, 0.2)
    share[:2] = 1.0
    table = np.stack([1 - share, share], axis=1) * persons
    made = NoisyFamily(
        table=table,
        totals=persons[:, 0],
        base=base_distribution(table.sum(axis=0), 900.0),
        parent_sizes=(3, 4),
        contrast_variance=900.0,
        total_variance=1800.0,
        scores=None,
        consistent=table,
    )
    moved = table_posterior(made).mean[:, 1] - hierarchical_posterior(made).mean[:, 1]
    assert moved[0] > 0.05
    assert abs(moved[1]) < 0.02


def test_draws_lie_around_the_blended_estimate() -> None:
    truth = random_rows((3, 3), 3)
    made = family(truth, (3, 3), persons=5000.0, noise=400.0)
    noisy = made.table + default_rng(2).normal(scale=20.0, size=made.table.shape)
    found = table_posterior(replace(made, table=noisy, consistent=np.maximum(noisy, 0.0)))
    draws = found.draw(2000, default_rng(1))
    assert draws.mean(axis=0) == pytest.approx(found.mean, abs=0.03)


@pytest.mark.parametrize("change", ["many codes", "no consistent table"])
def test_unbiased_table_alone_decides_where_the_other_has_nothing_to_say(change: str) -> None:
    codes = blend.MOST_TRUSTED_CODES + 1 if change == "many codes" else 3
    made = family(random_rows((4,), codes), (4,), persons=400.0, noise=25.0)
    made = made if change == "many codes" else replace(made, consistent=None)
    assert table_posterior(made).mean.tolist() == hierarchical_posterior(made).mean.tolist()


def test_variances_are_widened_more_where_noise_rules_many_codes() -> None:
    truth = random_rows((3,), 10)
    factors = [
        widening(family(truth, (3,), persons=3000.0, noise=noise), truth)
        for noise in (1e-6, 1e2, 1e9)
    ]
    assert factors == sorted(factors)
    assert factors[0] == pytest.approx(1.2, abs=1e-3)
    assert factors[2] == pytest.approx(1.84, abs=1e-3)


@SOLVERS
@pytest.mark.parametrize("persons", [0.0, 40.0], ids=["no persons", "fewer persons than rows"])
def test_rows_below_the_noise_are_wide_and_near_the_childs_own_distribution(
    solver: Solver, persons: float
) -> None:
    sizes = (4, 4, 4)
    noise = default_rng(6).normal(scale=30.0, size=(64, 2))
    table = np.full((64, 2), [0.3, 0.7]) * persons / 64 + noise
    made = NoisyFamily(
        table=table,
        totals=np.full(64, persons / 64),
        base=base_distribution(np.array([0.3, 0.7]) * persons, 64 * 900.0),
        parent_sizes=sizes,
        contrast_variance=900.0,
        total_variance=1800.0,
        scores=None,
        consistent=np.maximum(table, 0.0),
    )
    found = solver(made)
    assert np.abs(found.mean - made.base).mean() < 0.25
    assert found.draw(300, default_rng(1))[:, :, 1].std(axis=0).min() > 0.15


def test_consistent_tables_keep_declared_zeros_and_still_agree() -> None:
    """`either` of asia: what its table knows of lung and tub is what their own tables know."""
    made = asia(budget="epsilon = 1.0, delta = 1e-6")
    generator = default_rng(4)
    noisy = release(compile_plan(made.study), made.records(4000, generator), made.study, generator)
    graph = made.study.causal_graph
    layout = layout_of(noisy, dict.fromkeys(graph.nodes, 2))
    maps = [family_map(graph.family(node), layout) for node in ("either", "lung", "tub")]
    possible = made.tables["either"] > 0
    either, lung, tub = consistent_tables(
        maps, *coordinates_of(noisy, layout), [possible, None, None]
    )
    assert (either[~possible] == 0).all()
    order = graph.parents["either"]
    total = either.sum()
    assert (
        np.abs(either.sum(axis=(1 - order.index("lung"), 2)) - lung.sum(axis=0)).sum() < total / 1e3
    )
    assert (
        np.abs(either.sum(axis=(1 - order.index("tub"), 2)) - tub.sum(axis=0)).sum() < total / 1e3
    )


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
