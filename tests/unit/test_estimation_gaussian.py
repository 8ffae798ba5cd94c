"""Conditional linear Gaussians from moments, with and without noise."""

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from server.estimation.gaussian import GaussianDraws, fit_gaussian, prior_deviations
from server.estimation.moments import NoisyMoments

Reals = NDArray[np.float64]


def numbers(rows: int, generator: Generator, spread: float = 0.3) -> Reals:
    """Return a constant and two correlated regressors."""
    shared = generator.standard_normal((rows, 1))
    x = spread * (generator.standard_normal((rows, 2)) + 0.5 * shared)
    return np.concatenate([np.ones((rows, 1)), x], axis=1)


def summed(x: Reals, y: Reals) -> Reals:
    z = np.concatenate([x, y[:, None]], axis=1)
    return np.asarray(z.T @ z)


def noise(size: int, deviation: float, generator: Generator) -> Reals:
    upper = np.triu(deviation * generator.standard_normal((size, size)))
    return np.asarray(upper + np.triu(upper, 1).T)


def fitted(matrices: Reals, deviation: float, seed: int = 1, draws: int = 100) -> GaussianDraws:
    moments = NoisyMoments(np.array(matrices), deviation**2)
    return fit_gaussian(moments, draws, default_rng(seed))


def test_without_noise_the_estimate_is_that_of_least_squares() -> None:
    generator = default_rng(1)
    x = numbers(4000, generator)
    y = x @ [0.1, 0.5, -0.4] + 0.2 * generator.standard_normal(4000)
    found = fitted(summed(x, y)[None], 1e-6)
    expected, (left,), _, _ = np.linalg.lstsq(x, y)
    assert found.coefficients[0, 0] == pytest.approx(expected, abs=2e-4)
    assert found.scale[0, 0] == pytest.approx(np.sqrt(left / 4000), rel=1e-2)
    assert found.support == pytest.approx([4000])


def test_without_noise_draws_spread_as_least_squares_says() -> None:
    generator = default_rng(2)
    x = numbers(4000, generator)
    y = x @ [0.1, 0.5, -0.4] + 0.2 * generator.standard_normal(4000)
    found = fitted(summed(x, y)[None], 1e-6, draws=2000)
    expected = 0.2 * np.sqrt(np.diag(np.linalg.inv(x.T @ x)))
    ratio = found.coefficients[1:, 0].std(axis=0) / expected
    assert ratio == pytest.approx(np.sqrt(1.2), rel=0.06)  # family.WIDENING


def test_rows_without_noise_have_least_squares_of_their_own() -> None:
    generator = default_rng(3)
    truths = np.array([[0.1, 0.5, -0.4], [-0.3, 0.1, 0.6], [0.2, -0.5, 0.0]])
    matrices, expected = [], []
    for truth in truths:
        x = numbers(20_000, generator)
        y = x @ truth + 0.2 * generator.standard_normal(len(x))
        matrices.append(summed(x, y))
        expected.append(np.linalg.lstsq(x, y)[0])
    found = fitted(np.array(matrices), 1e-6)
    assert found.coefficients[0] == pytest.approx(np.array(expected), abs=2e-3)


def test_rows_that_are_alike_are_drawn_together() -> None:
    generator = default_rng(4)
    x = numbers(40_000, generator)
    y = x @ [0.1, 0.5, -0.4] + 0.2 * generator.standard_normal(len(x))
    parts = [slice(0, 30_000), slice(30_000, 38_000), slice(38_000, 40_000)]
    exact = np.array([summed(x[part], y[part]) for part in parts])
    errors = []
    for seed in range(20):
        made = default_rng(seed)
        noisy = np.array([one + noise(4, 60.0, made) for one in exact])
        small = fitted(noisy, 60.0).coefficients[0, 2]
        alone = fitted(noisy[2:], 60.0).coefficients[0, 0]
        errors.append([np.abs(small - [0.1, 0.5, -0.4]), np.abs(alone - [0.1, 0.5, -0.4])])
    together, apart = np.mean(errors, axis=0)
    assert (together < 0.6 * apart).all()


def test_slopes_between_wide_bounds_are_not_shrunk() -> None:
    generator = default_rng(5)
    x = numbers(50_000, generator, spread=0.01)
    y = x @ [0.1, 12.0, -9.0] + 0.05 * generator.standard_normal(len(x))
    found = fitted(summed(x, y)[None], 0.1)
    assert found.coefficients[0, 0] == pytest.approx([0.1, 12.0, -9.0], rel=0.02)


def test_noise_of_the_equations_has_the_stated_covariance() -> None:
    from server.estimation.gaussian import _noise  # noqa: PLC0415

    generator, b = default_rng(6), np.array([0.2, -1.0, 0.7])
    drawn = [noise(4, 1.0, generator) for _ in range(40_000)]
    errors = np.array([one[:3, 3] - one[:3, :3] @ b for one in drawn])
    expected = _noise(b[None], np.zeros((1, 3, 3)))[0]
    assert np.cov(errors.T) == pytest.approx(expected, abs=0.06)


def test_slopes_that_noise_hides_have_draws_as_wide_as_the_prior() -> None:
    generator = default_rng(7)
    x = numbers(500, generator, spread=0.1)
    y = x @ [0.1, 0.5, -0.4] + 0.2 * generator.standard_normal(500)
    found = fitted(summed(x, y)[None] + noise(4, 60.0, generator), 60.0)
    assert (found.coefficients[1:, 0, 1:].std(axis=0) > 0.8).all()


DEGENERATE = {
    "nothing": np.zeros((2, 4, 4)),
    "negative totals": np.tile(-np.diag([900.0, 50.0, 70.0, 20.0]), (2, 1, 1)),
    "not positive": np.tile(np.full((4, 4), 500.0) - 900 * np.eye(4)[::-1], (2, 1, 1)),
    "one person": np.tile(np.outer([1, 0.2, -0.5, 0.9], [1, 0.2, -0.5, 0.9]), (2, 1, 1)),
    "a regressor that never moves": np.tile(
        summed(np.tile([1.0, 0.3, 0.3], (900, 1)), np.full(900, 0.5)), (2, 1, 1)
    ),
}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("deviation", [1e-9, 60.0])
@pytest.mark.parametrize("rows", [1, 2])
def test_any_moments_give_finite_parameters(name: str, deviation: float, rows: int) -> None:
    found = fitted(DEGENERATE[name][:rows], deviation)
    assert np.isfinite(found.coefficients).all()
    assert ((found.scale > 0) & (found.scale <= 1)).all()
    assert (found.support > 0).all()


def test_mechanism_without_regressors_is_a_mean_and_a_deviation() -> None:
    generator = default_rng(8)
    y = 0.3 + 0.2 * generator.standard_normal((2, 10_000))
    ones = np.ones((10_000, 1))
    found = fitted(np.array([summed(ones, one) for one in y]), 1e-6)
    assert found.coefficients[0, :, 0] == pytest.approx(y.mean(axis=1), abs=1e-3)
    assert found.scale[0] == pytest.approx(y.std(axis=1), rel=0.02)


def test_seed_changes_draws_but_no_estimate() -> None:
    generator = default_rng(9)
    x = numbers(3000, generator)
    matrices = np.array([summed(x, x[:, 1]) + noise(4, 30.0, generator) for _ in range(3)])
    one, other = fitted(matrices, 30.0, seed=1), fitted(matrices, 30.0, seed=2)
    assert (one.coefficients[0] == other.coefficients[0]).all()
    assert (one.coefficients[1:] != other.coefficients[1:]).any()
    again = fitted(matrices, 30.0, seed=1)
    assert (one.coefficients == again.coefficients).all()
    assert (one.scale == again.scale).all()


def test_prior_lets_a_regressor_move_the_response_over_its_own_range() -> None:
    x = numbers(10_000, default_rng(10), spread=0.01) + np.array([0.0, 0.5, 0.0])
    y = 10 * (x[:, 1] - 0.5)
    root = prior_deviations(NoisyMoments(summed(x, y)[None], 1.0))
    covariance = root @ root.T
    assert covariance[1, 1] > 10**2
    at_the_means = np.array([1.0, *x[:, 1:].mean(axis=0)])
    assert at_the_means @ covariance @ at_the_means == pytest.approx(1.0, rel=0.01)
