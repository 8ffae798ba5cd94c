"""Mechanisms of all kinds in one study, and what bad input comes to."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.study.document import parse_study
from protocol.study.study import Study
from server.causal.mechanisms.mechanism import RegressionMechanism, RuleMechanism, TableMechanism
from server.causal.model import Model
from server.estimation.evidence import NoisySum
from server.estimation.fit import fit
from tests.support.mixed_rounds import Columns, release_columns, simulated
from tests.support.studies import VISITS_TEXT, edited
from tests.support.tables_mixed import mixed_study

TEXT = """\
[variables]
stage = { kind = "ordinal", levels = ["I", "II", "III"] }
old = { kind = "boolean" }
crp = { kind = "numeric", edges = [0.1, 1, 10, 100], detail = 4, spacing = "log", missing = true }
crp_missing = { kind = "missingness", of = "crp" }
pressure = { kind = "numeric", edges = [60, 100, 140, 200] }
drug = { kind = "boolean" }
visits = { kind = "count", edges = [0, 1, 3, 10, 20] }
grade = { kind = "ordinal", levels = ["low", "high"] }
stay = { kind = "survival", edges = [0, 30, 90, 180] }
[mechanisms]
pressure = "gaussian"
drug = { kind = "logistic", statistic = "moments" }
visits = { kind = "poisson", statistic = "moments" }
grade = { kind = "rule", value = "where(pressure > 140, 'high', 'low')" }
stage = { kind = "ordinal", impossible = [{ old = 0, stage = "III" }] }
[graph]
edges = ["old -> stage", "stage -> crp", "old -> crp_missing", "old -> pressure",
         "stage -> pressure", "pressure -> drug", "old -> drug", "pressure -> visits",
         "drug -> visits", "pressure -> grade", "drug -> stay", "stage -> stay"]
"""


@cache
def planned() -> tuple[Study, StatisticsPlan]:
    return simulated(TEXT)


VISITS_MECHANISMS = """\
load = "gaussian"
drug = { kind = "logistic", statistic = "moments" }"""


def persons(count: int, generator: Generator) -> dict[str, NDArray[Any]]:
    """Return columns of a population whose mechanisms are those of the study."""
    old = (generator.random(count) < 0.4).astype(np.int64)
    stage = np.where(old == 1, generator.integers(0, 3, count), generator.integers(0, 2, count))
    hidden = generator.random(count) < 0.1 + 0.2 * old
    crp = np.clip(np.exp(generator.normal(0.5 + 0.6 * stage, 1.0)), 0.1, 100)
    pressure = 120 + 8 * old + 4 * stage + 14 * generator.standard_normal(count)
    drug = generator.random(count) < 1 / (1 + np.exp(-0.06 * (pressure - 125) - 0.5 * old))
    visits = generator.poisson(np.exp(0.2 + 0.01 * (pressure - 120) + 0.4 * drug))
    event = generator.exponential(np.where(drug, 300, 150) / (1 + 0.3 * stage))
    end = generator.exponential(400, count)
    end = np.where(end < 90, end, 200.0)  # who stays that long is seen to the end
    interval = np.minimum(np.searchsorted([30, 90], np.minimum(event, end), side="right"), 2)
    seen = (event <= end) & (event <= 180)
    return {
        "old": old,
        "stage": stage,
        "crp": np.where(hidden, np.nan, crp),
        "crp_missing": hidden.astype(np.int64),
        "pressure": np.clip(pressure, 60, 200),
        "drug": drug.astype(np.int64),
        "visits": np.minimum(visits, 20).astype(np.float64),
        "grade": (pressure > 140).astype(np.int64),
        "stay": np.where(seen, interval, 3 + interval),
    }


def fitted(columns: Columns, generator: Generator | None, draws: int = 40) -> Model:
    study, plan = planned()
    noisy = release_columns(study, plan, columns, generator)
    return fit(study, plan, noisy, draws=draws, seed=1)


def table(model: Model, node: str) -> TableMechanism:
    found = model.mechanisms[node]
    assert isinstance(found, TableMechanism)
    return found


def regression(model: Model, node: str) -> RegressionMechanism:
    found = model.mechanisms[node]
    assert isinstance(found, RegressionMechanism)
    return found


def codes(model: Model) -> set[tuple[str, str]]:
    return {(caution.node, caution.code) for caution in model.cautions}


@cache
def without_noise() -> Model:
    return fitted(persons(300_000, default_rng(1)), None)


def test_every_mechanism_of_many_persons_is_the_true_one() -> None:
    model = without_noise()
    pressure = regression(model, "pressure")
    assert (pressure.rows, pressure.regressors) == (("stage",), ("old",))
    expected = np.array([[120.0, 8], [124, 8]])  # nobody young is in the third stage
    assert pressure.coefficients[0, :2] == pytest.approx(expected, abs=0.3)
    assert pressure.scale[0] == pytest.approx(np.full(3, 14.0), abs=0.3)


def test_regressions_on_moments_have_the_true_slopes() -> None:
    model = without_noise()
    drug, visits = regression(model, "drug"), regression(model, "visits")
    by_name = dict(zip(drug.regressors, drug.coefficients[0, 1:], strict=True))
    assert by_name["pressure"] == pytest.approx(0.06, abs=0.004)
    assert by_name["old"] == pytest.approx(0.5, abs=0.06)
    by_name = dict(zip(visits.regressors, visits.coefficients[0, 1:], strict=True))
    assert by_name["pressure"] == pytest.approx(0.01, abs=0.001)
    assert by_name["drug"] == pytest.approx(0.4, abs=0.03)


def test_hidden_variable_has_no_level_missing_and_is_fitted_to_what_is_known() -> None:
    model = without_noise()
    crp = table(model, "crp")
    columns = persons(300_000, default_rng(1))
    known = ~np.isnan(columns["crp"])
    for stage in range(3):
        inside = columns["crp"][known & (columns["stage"] == stage)]
        counts = np.histogram(inside, [0.1, 1, 10, 100])[0]
        assert crp.table[stage] == pytest.approx(counts / counts.sum(), abs=0.01)
    assert table(model, "crp_missing").table[:, 1] == pytest.approx([0.1, 0.3], abs=0.01)


def test_survival_of_many_persons_is_that_of_the_event_alone() -> None:
    stay = table(without_noise(), "stay")
    assert stay.censoring is not None
    place = {name: axis for axis, name in enumerate(stay.parents)}
    for drug, stage in ((0, 0), (1, 1), (0, 2)):
        at = {"drug": drug, "stage": stage}
        row = stay.table[tuple(at[name] for name in sorted(at, key=place.__getitem__))]
        rate = (1 + 0.3 * stage) / (300 if drug else 150)
        survival = np.exp(-rate * np.array([30.0, 90.0, 180.0]))
        assert 1 - np.cumsum(row)[:3] == pytest.approx(survival, abs=0.02)


def test_rule_is_taken_from_the_study() -> None:
    grade = without_noise().mechanisms["grade"]
    assert isinstance(grade, RuleMechanism)
    assert "pressure" in grade.value


def test_impossible_cells_have_probability_zero_in_estimate_and_draws() -> None:
    model = fitted(persons(2000, default_rng(2)), default_rng(3))
    stage = table(model, "stage")
    assert stage.table[0, 2] == 0
    assert (stage.parts[:, 0, 2] == 0).all()
    assert stage.table[1, 2] > 0.1


def test_good_data_have_no_caution() -> None:
    assert without_noise().cautions == ()


@pytest.mark.parametrize("fill", [0, -100_000, 100_000], ids=["nobody", "negative", "constant"])
def test_any_sum_gives_a_model_that_can_be_drawn(fill: int) -> None:
    for study in (planned()[0], mixed_study()):
        plan = compile_plan(study)
        noisy = NoisySum(plan, np.full(plan.length, fill, dtype=np.int64), 10)
        model = fit(study, plan, noisy, draws=20, seed=1)
        assert len(model.sample(50, seed=1)) == 50


def test_nobody_at_all_gives_wide_intervals_and_a_caution_for_every_measured_node() -> None:
    model = fitted(persons(0, default_rng(4)), default_rng(5), draws=100)
    doubted = {node for node, _ in codes(model)}
    assert doubted >= {"old", "stage", "crp", "crp_missing", "pressure", "drug", "visits", "stay"}
    pressure = regression(model, "pressure")
    assert (pressure.coefficients[1:, ..., 0].std(axis=0) > 20).all()
    assert table(model, "stay").draws[..., -1].std(axis=0).max() > 0.1
    assert len(model.sample(50, seed=1)) == 50


def test_survival_without_events_is_doubted() -> None:
    columns = persons(20_000, default_rng(6))
    columns["stay"] = np.full(20_000, 5)
    model = fitted(columns, default_rng(7))
    assert ("stay", "few-events") in codes(model)
    stay = table(model, "stay")
    assert stay.table[..., -1].min() > 0.8
    assert (stay.draws[..., -1] < 1).any()


def test_values_that_are_clamped_draw_slopes_in_and_are_told() -> None:
    columns = persons(100_000, default_rng(8))
    high = np.quantile(columns["pressure"], 0.9)
    shifted = columns["pressure"] + (200 - high)
    assert (shifted > 200).mean() == pytest.approx(0.1, abs=0.01)
    model = fitted(columns | {"pressure": np.clip(shifted, 60, 200)}, default_rng(9))
    assert ("pressure", "values-beyond-bounds") in codes(model)
    assert (regression(model, "pressure").coefficients[0, :2, 1] < 7.6).all()  # 8 in truth


def test_values_that_pile_up_at_the_outer_edge_are_told() -> None:
    columns = persons(50_000, default_rng(10))
    known = columns["crp"][~np.isnan(columns["crp"])]
    beyond = np.where(columns["crp"] > np.quantile(known, 0.9), 1e6, columns["crp"])
    model = fitted(columns | {"crp": beyond}, default_rng(11))
    assert ("crp", "values-at-the-edge") in codes(model)


def test_regressors_that_never_move_are_told() -> None:
    columns = persons(50_000, default_rng(12)) | {"pressure": np.full(50_000, 130.0)}
    model = fitted(columns, default_rng(13))
    assert {("drug", "moments-below-noise"), ("visits", "moments-below-noise")} <= codes(model)
    drug = regression(model, "drug")
    slope = drug.coefficients[1:, 1 + drug.regressors.index("pressure")]
    assert slope.std() > 0.05  # per unit; the scale of the bounds is 70


def test_causes_that_the_graph_has_as_independent_but_are_not_are_told() -> None:
    study, plan = simulated(
        """\
[variables]
a = { kind = "numeric", edges = [-3, 0, 3] }
b = { kind = "numeric", edges = [-3, 0, 3] }
y = { kind = "boolean" }
[mechanisms]
a = "gaussian"
b = "gaussian"
y = { kind = "logistic", statistic = "moments" }
[graph]
edges = ["a -> y", "b -> y"]
"""
    )
    generator = default_rng(14)
    a = generator.standard_normal(50_000)
    b = 0.8 * a + 0.6 * generator.standard_normal(50_000)
    y = generator.random(50_000) < 1 / (1 + np.exp(-0.5 * a - 0.5 * b))
    noisy = release_columns(study, plan, {"a": a, "b": b, "y": y.astype(np.int64)}, generator)
    model = fit(study, plan, noisy, draws=40, seed=1)
    assert ("y", "parents-mismatch") in codes(model)
    slopes = regression(model, "y").coefficients[0, 1:]
    assert slopes == pytest.approx([0.5, 0.5], abs=0.1)  # what follows from the released moments


def test_mechanisms_of_all_later_visits_are_one_with_parents_of_their_own() -> None:
    text = edited('load = "gaussian"', VISITS_MECHANISMS, VISITS_TEXT)
    study = parse_study(text)
    plan = compile_plan(study)
    noisy = NoisySum(plan, np.zeros(plan.length, dtype=np.int64), 3)
    model = fit(study, plan, noisy, draws=20, seed=1)
    load = [regression(model, f"load[{visit}]") for visit in range(3)]
    assert set(load[2].regressors) == {"load[1]", "drug[1]"}
    assert load[1].coefficients is load[2].coefficients
    drug = regression(model, "drug[1]")  # matched with parents drawn at the first two visits
    assert drug.response == "logistic"
    assert set(drug.regressors) == {"cd4[0]", "low[1]"}
    assert np.isfinite(drug.coefficients).all()


def test_two_rounds_are_narrower_than_one() -> None:
    study, plan = planned()
    columns = persons(5000, default_rng(15))
    sums = [release_columns(study, plan, columns, default_rng(seed)) for seed in (16, 17)]
    alone = fit(study, plan, sums[0], draws=200, seed=1)
    both = fit(study, plan, sums[0], earlier=[sums[1]], draws=200, seed=1)
    spread = [
        regression(one, "drug").coefficients[1:].std(axis=0)[1:].mean() for one in (alone, both)
    ]
    assert spread[1] < 0.9 * spread[0]


def test_curves_are_fitted_through_rules_that_bend_a_cause() -> None:
    study, plan = simulated(
        """\
[variables]
x = { kind = "numeric", edges = [-1, 0, 1] }
bent = { kind = "numeric", edges = [0, 0.5, 1] }
y = { kind = "numeric", edges = [-1, 0, 1] }
[mechanisms]
x = "gaussian"
bent = { kind = "rule", value = "x ** 2" }
y = "gaussian"
[graph]
edges = ["x -> bent", "x -> y", "bent -> y"]
"""
    )
    generator = default_rng(18)
    x = np.clip(0.4 * generator.standard_normal(100_000), -1, 1)
    y = np.clip(0.7 * x**2 + 0.1 * x - 0.3 + 0.15 * generator.standard_normal(100_000), -1, 1)
    noisy = release_columns(study, plan, {"x": x, "bent": x**2, "y": y}, generator)
    model = fit(study, plan, noisy, draws=100, seed=1)
    for treated, reference in ((0.6, 0.0), (-0.6, 0.0), (0.6, -0.6)):
        found = model.effect("x", "y", treated=treated, reference=reference)
        truth = 0.7 * (treated**2 - reference**2) + 0.1 * (treated - reference)
        assert found.estimate == pytest.approx(truth, abs=0.02)
        assert found.low < truth < found.high


def test_rounds_of_moments_alone_by_other_numbers_of_sites_are_not_combined() -> None:
    study, plan = simulated(
        '[variables]\nx = { kind = "numeric", edges = [0, 1, 2] }\n[mechanisms]\nx = "gaussian"\n'
        "[graph]\nedges = []\n"
    )
    values = np.zeros(plan.length, dtype=np.int64)
    with pytest.raises(UsageError) as refusal:
        fit(study, plan, NoisySum(plan, values, 9), earlier=[NoisySum(plan, values, 10)], seed=1)
    assert refusal.value.code == "other-survivors"
