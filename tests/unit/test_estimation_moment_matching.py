"""Regressions matched to moments, against plain Newton fits on the records."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from scipy import special

from server.causal.mechanisms.mechanism import Response
from server.estimation.moment_matching import MatchedDraws, SimulatedParents, match_moments
from server.estimation.moments import NoisyMoments, Scale
from server.estimation.responses import boolean_moments, count_moments

Reals = NDArray[np.float64]
BOOLEAN, COUNT = Scale(0.5, 0.5), Scale(20.0, 20.0)  # counts up to 40
TRUTH = np.array([0.4, 0.8, -0.6])


def parents(persons: int, generator: Generator) -> Reals:
    shared = generator.standard_normal((persons, 1))
    x = 0.35 * (0.8 * generator.standard_normal((persons, 2)) + 0.6 * shared)
    return np.concatenate([np.ones((persons, 1)), np.clip(x, -1, 1)], axis=1)


def responses(kind: str, x: Reals, generator: Generator, truth: Reals = TRUTH) -> Reals:
    predictor = x @ truth
    if kind == "logistic":
        return (generator.random(len(x)) < special.expit(predictor)).astype(np.float64)
    frailty = generator.gamma(2.0, 0.5, len(x)) if kind == "negative-binomial" else 1.0
    return np.minimum(generator.poisson(np.exp(predictor) * frailty), 40).astype(np.float64)


def matrix(x: Reals, y: Reals, scale: Scale) -> Reals:
    z = np.concatenate([x, (y[:, None] - scale.middle) / scale.half], axis=1)
    return np.asarray(z.T @ z)


def matched(
    matrices: Reals,
    kind: Response,
    sample: SimulatedParents,
    *,
    deviation: float = 1e-6,
    scale: Scale | None = None,
    draws: int = 50,
) -> MatchedDraws:
    own = scale or (BOOLEAN if kind == "logistic" else COUNT)
    moments = NoisyMoments(matrices, deviation**2)
    return match_moments(moments, kind, sample, own, draws, default_rng(1))


def together(x: Reals) -> SimulatedParents:
    return SimulatedParents(np.zeros(len(x), dtype=np.intp), x)


def newton(x: Reals, y: Reals, mean: Callable[[Reals], tuple[Reals, Reals]]) -> Reals:
    """Return the maximum of the likelihood of a canonical link."""
    found = np.zeros(x.shape[1])
    for _ in range(30):
        expected, slope = mean(x @ found)
        found = found + np.linalg.solve((x.T * slope) @ x, x.T @ (y - expected))
    return found


@pytest.mark.parametrize("kind", ["logistic", "poisson"])
def test_without_noise_the_estimate_is_that_of_the_records(kind: Response) -> None:
    generator = default_rng(2)
    x = parents(20_000, generator)
    y = responses(kind, x, generator)
    means = {
        "logistic": lambda eta: (special.expit(eta), special.expit(eta) * special.expit(-eta)),
        "poisson": lambda eta: (np.exp(eta), np.exp(eta)),
    }
    expected = newton(x, y, means[kind])
    scale = BOOLEAN if kind == "logistic" else COUNT
    found = matched(matrix(x, y, scale)[None], kind, together(x))
    assert found.coefficients[0, 0] == pytest.approx(expected, abs=2e-3)
    assert found.mismatch == pytest.approx(0, abs=1e-6)
    assert (found.dispersion == 0).all()


def test_negative_binomial_has_the_dispersion_of_the_records() -> None:
    generator = default_rng(3)
    x = parents(100_000, generator)
    y = responses("negative-binomial", x, generator)
    found = matched(matrix(x, y, COUNT)[None], "negative-binomial", together(x[:20_000]))
    assert found.coefficients[0, 0] == pytest.approx(TRUTH, abs=0.04)
    assert found.dispersion[0, 0] == pytest.approx(0.5, abs=0.05)
    assert found.dispersion[1:, 0].std() < 0.05


@pytest.mark.parametrize("kind", ["poisson", "negative-binomial"])
def test_counts_that_are_clamped_are_matched_as_such(kind: Response) -> None:
    generator = default_rng(4)
    x = parents(200_000, generator)
    y = np.minimum(responses(kind, x, generator), 3)  # a third of the counts or more
    scale = Scale(1.5, 1.5)
    found = matched(matrix(x, y, scale)[None], kind, together(x[:10_000]), scale=scale)
    assert found.coefficients[0, 0] == pytest.approx(TRUTH, abs=0.06)


def test_sample_whose_parents_lie_elsewhere_hardly_matters_and_is_told() -> None:
    generator = default_rng(5)
    x = parents(100_000, generator)
    y = responses("logistic", x, generator)
    off = x + np.array([0.0, 0.1, -0.05])
    found = matched(matrix(x, y, BOOLEAN)[None], "logistic", together(off))
    assert found.coefficients[0, 0] == pytest.approx(TRUTH, abs=0.06)
    assert found.mismatch > 10


def test_rows_have_coefficients_of_their_own() -> None:
    generator = default_rng(6)
    x = parents(120_000, generator)
    row = generator.integers(0, 2, len(x))
    truths = np.array([TRUTH, [-0.2, 0.1, 0.5]])
    y = (generator.random(len(x)) < special.expit((x * truths[row]).sum(axis=1))).astype(float)
    matrices = np.array([matrix(x[row == r], y[row == r], BOOLEAN) for r in range(2)])
    found = matched(matrices, "logistic", SimulatedParents(row, x))
    assert found.coefficients[0] == pytest.approx(truths, abs=0.09)
    assert found.support == pytest.approx(np.bincount(row), rel=1e-6)


def test_row_that_the_sample_does_not_reach_is_fitted_with_the_parents_of_all() -> None:
    generator = default_rng(7)
    x = parents(40_000, generator)
    y = responses("logistic", x, generator)
    exact = matrix(x, y, BOOLEAN)
    sample = SimulatedParents(np.zeros(len(x), dtype=np.intp), x)
    found = matched(np.array([exact, exact]), "logistic", sample)
    assert np.isfinite(found.coefficients).all()
    assert found.support[1] == 0


@pytest.mark.parametrize("kind", ["logistic", "poisson", "negative-binomial"])
@pytest.mark.parametrize("deviation", [1e-9, 60.0])
@pytest.mark.parametrize("fill", ["nothing", "negative", "constant", "one person"])
def test_any_moments_give_finite_parameters(kind: Response, deviation: float, fill: str) -> None:
    person = np.outer([1, 0.2, -0.5, -0.9], [1, 0.2, -0.5, -0.9])
    matrices = {
        "nothing": np.zeros((1, 4, 4)),
        "negative": -np.diag([900.0, 50.0, 70.0, 20.0])[None],
        "constant": 900 * np.ones((1, 4, 4)),
        "one person": person[None],
    }
    found = matched(
        matrices[fill], kind, together(parents(2000, default_rng(8))), deviation=deviation
    )
    assert np.isfinite(found.coefficients).all()
    assert ((found.dispersion >= 0) & (found.dispersion <= 20)).all()


@pytest.mark.parametrize("kind", ["logistic", "poisson", "negative-binomial"])
def test_regressors_on_one_line_are_told_apart_by_the_prior(kind: Response) -> None:
    generator = default_rng(9)
    x = parents(20_000, generator)
    x[:, 2] = x[:, 1]
    y = responses(kind, x, generator)
    scale = BOOLEAN if kind == "logistic" else COUNT
    found = matched(matrix(x, y, scale)[None], kind, together(x))
    assert np.isfinite(found.coefficients).all()
    assert found.coefficients[0, 0, 1:].sum() == pytest.approx(0.2, abs=0.1)
    assert found.coefficients[1:, 0, 1].std() > 1


def test_moments_of_a_boolean() -> None:
    found = boolean_moments(np.array([-100.0, 0.0, 100.0]))
    assert found.mean == pytest.approx([0, 0.5, 1], abs=1e-9)
    assert found.variance == pytest.approx([0, 0.25, 0], abs=1e-9)


@pytest.mark.parametrize("dispersion", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("bounds", [(0.0, 4.0), (2.0, 7.0), (0.0, 400.0), (1.0, 600.0)])
def test_moments_of_clamped_counts_are_those_of_the_distribution(
    dispersion: float, bounds: tuple[float, float]
) -> None:
    predictor = np.log([0.2, 1.0, 3.0, 12.0])
    means = np.exp(predictor)
    counts = np.arange(3000)
    if dispersion == 0:
        chance = np.exp(
            special.xlogy(counts, means[:, None]) - means[:, None] - special.gammaln(counts + 1)
        )
    else:
        size = 1 / dispersion
        chance = np.exp(
            special.gammaln(counts + size)
            - special.gammaln(counts + 1)
            - special.gammaln(size)
            + size * np.log(size / (size + means[:, None]))
            + counts * np.log(means[:, None] / (size + means[:, None]))
        )
    clamped = np.clip(counts, *bounds)
    found = count_moments(predictor, dispersion, bounds)
    assert found.mean == pytest.approx(chance @ clamped, rel=1e-6)
    assert found.square == pytest.approx(chance @ clamped**2, rel=1e-6)
    step = 1e-5
    ahead = count_moments(predictor + step, dispersion, bounds).mean
    behind = count_moments(predictor - step, dispersion, bounds).mean
    assert found.slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-4, abs=1e-7)
