"""Moments as a round releases them, on the scale of the bounds."""

import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray

from server.estimation.moments import NoisyMoments, Scale, natural, noisy_moments, scale_of
from tests.support.mixed_rounds import release_columns, simulated
from tests.support.reference_statistics import Record, reference_statistics

TEXT = """\
[variables]
stage = { kind = "ordinal", levels = ["I", "II"], missing = true }
stage_missing = { kind = "missingness", of = "stage" }
treated = { kind = "boolean" }
dose = { kind = "numeric", edges = [0, 5, 20] }
visits = { kind = "count", edges = [0, 2, 9] }
pressure = { kind = "numeric", edges = [80, 120, 200] }
[mechanisms]
pressure = "gaussian"
[graph]
edges = ["stage -> pressure", "treated -> pressure", "dose -> pressure", "visits -> pressure",
         "treated -> stage_missing"]
"""


def columns(persons: int, seed: int) -> dict[str, NDArray[np.float64]]:
    generator = default_rng(seed)
    hidden = generator.random(persons) < 0.2
    stage = np.where(hidden, 2, generator.integers(0, 2, persons))
    return {
        "stage": stage,
        "stage_missing": hidden.astype(np.int64),
        "treated": generator.integers(0, 2, persons),
        "dose": generator.uniform(-1, 22, persons),
        "visits": generator.poisson(3, persons).astype(np.float64),
        "pressure": generator.normal(130, 30, persons),
    }


def test_fast_rounds_of_the_tests_are_those_of_the_specification() -> None:
    study, plan = simulated(TEXT)
    made = columns(60, 1)
    records: list[Record] = [
        {
            "unit": person,
            "values": {
                "stage": ("I", "II", None)[int(made["stage"][person])],
                "treated": int(made["treated"][person]),
                "dose": float(made["dose"][person]),
                "visits": int(made["visits"][person]),
                "pressure": float(made["pressure"][person]),
            },
        }
        for person in range(60)
    ]
    expected = reference_statistics(plan, study, records)
    assert release_columns(study, plan, made, None).values.tolist() == expected.tolist()


def test_moments_without_noise_are_sums_over_the_persons_of_a_row() -> None:
    study, plan = simulated(TEXT)
    made = columns(5000, 2)
    family = study.family_of("pressure")
    assert family.rows == ("stage",)
    found = noisy_moments(study, family, [release_columns(study, plan, made, None)])
    assert found.rows == 2  # MISSING is no level of the model
    assert found.regressors == 3
    scaled = [
        np.clip((made[name] - scale.middle) / scale.half, -1, 1)
        for name in (*family.regressors, "pressure")
        for scale in [scale_of(study, name)]
    ]
    z = np.array([np.ones(5000), *scaled])
    for row in range(2):
        inside = z[:, made["stage"] == row]
        assert found.matrices[row] == pytest.approx(inside @ inside.T, abs=0.5)  # rounded
    assert found.pooled.matrices[0, 0, 0] == (made["stage"] < 2).sum()
    assert found.pooled.variance == pytest.approx(2 * found.variance)


def test_noise_has_the_stated_variance() -> None:
    study, plan = simulated(TEXT)
    made, family = columns(100, 3), study.family_of("pressure")
    exact = noisy_moments(study, family, [release_columns(study, plan, made, None)])
    errors, generator = [], default_rng(4)
    for _ in range(200):
        noisy = noisy_moments(study, family, [release_columns(study, plan, made, generator)])
        errors.append((noisy.matrices - exact.matrices)[:, *np.triu_indices(5)])
    assert np.var(errors) == pytest.approx(noisy.variance, rel=0.05)


def test_rounds_are_weighted_by_the_inverse_of_their_noise() -> None:
    study, plan = simulated(TEXT)
    made, family = columns(100, 5), study.family_of("pressure")
    sums = [release_columns(study, plan, made, default_rng(seed)) for seed in range(2)]
    one, other = (noisy_moments(study, family, [noisy]) for noisy in sums)
    both = noisy_moments(study, family, sums)
    assert both.variance == pytest.approx(one.variance / 2)
    assert both.matrices == pytest.approx((one.matrices + other.matrices) / 2)


def test_scales_map_bounds_to_minus_one_and_one() -> None:
    study, _ = simulated(TEXT)
    assert scale_of(study, "dose") == Scale(10.0, 10.0)
    assert scale_of(study, "visits") == Scale(4.5, 4.5)
    assert scale_of(study, "treated") == Scale(0.5, 0.5)


def test_natural_coefficients_give_the_same_line() -> None:
    scales, response = [Scale(10.0, 10.0), Scale(0.5, 0.5)], Scale(140.0, 60.0)
    scaled = np.array([[0.1, -0.3, 0.2]])
    found = natural(scaled, scales, response)[0]
    values = np.array([4.0, 1.0])
    inner = (values - [10, 0.5]) / [10, 0.5]
    expected = 140 + 60 * (scaled[0, 0] + scaled[0, 1:] @ inner)
    assert found[0] + found[1:] @ values == pytest.approx(expected)


def test_pooling_adds_rows_and_their_noise() -> None:
    moments = NoisyMoments(np.arange(32.0).reshape(2, 4, 4), 3.0)
    assert moments.pooled.matrices[0] == pytest.approx(moments.matrices.sum(axis=0))
    assert moments.pooled.variance == 6.0
