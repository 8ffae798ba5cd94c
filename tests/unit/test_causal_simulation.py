"""Effects by simulation and by contraction, against each other and against formulas."""

from typing import Any

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy import stats

from protocol.errors import UsageError
from server.causal.answers import answering, simulation
from server.causal.answers.measures import Measure
from server.causal.model import Model
from tests.support.causal_models import (
    mixed_model,
    model_of,
    placement,
    regression,
    study_of,
    table,
    visits_model,
)
from tests.support.networks import asia, mixed, weights

BOOLEAN = 'kind = "boolean"'
NUMBER = 'kind = "numeric", edges = [-50, 0, 50]'


def simulated(patch: pytest.MonkeyPatch) -> None:
    """Leave no question to contraction."""
    patch.setattr(answering, "exact_distributions", lambda *_, **__: None)


@pytest.mark.parametrize(
    ("model", "question"),
    [
        (asia().model(), ("smoke", "dyspnoea", 1, 0)),
        (asia().model(), ("lung", "xray", 1, 0)),
        (weights().model(), ("quitting", "change", 1, 0)),
        (weights().model(), ("age", "change", 30, 50)),
        (mixed().model(), ("blood", "event", "A", "B")),
    ],
)
def test_simulation_meets_contraction_within_its_error(
    model: Model, question: tuple[str, str, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = model.effect(*question)
    simulated(monkeypatch)
    found = model.effect(*question)
    assert (exact.method, found.method) == ("exact", "simulation")
    assert exact.monte_carlo_error == 0
    assert abs(found.estimate - exact.estimate) < 4 * found.monte_carlo_error
    assert found.standard_error == pytest.approx(exact.standard_error, rel=0.25)


def test_monte_carlo_error_is_that_of_repeated_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    model = asia().model()
    simulated(monkeypatch)
    monkeypatch.setattr(simulation, "POINT_ROWS", 2000)
    monkeypatch.setattr(simulation, "DRAW_ROWS", 8)
    found = []
    for seed in range(60):
        monkeypatch.setattr(simulation, "seed_of", lambda _, seed=seed: seed)
        found.append(model.effect("smoke", "dyspnoea"))
    seen = np.std([effect.estimate for effect in found])
    assert np.mean([effect.monte_carlo_error for effect in found]) == pytest.approx(seen, rel=0.3)


def gaussian_chain(spread: float = 0.0) -> Model:
    """a -> x -> y, a -> y, all linear."""
    study = study_of(
        {"a": BOOLEAN, "x": NUMBER, "y": NUMBER},
        ["a -> x", "a -> y", "x -> y"],
        {"x": '"gaussian"', "y": '"gaussian"'},
    )
    given = {
        "x": regression(study, "x", np.array([1.0, 2.0]), 1.5, spread),
        "y": regression(study, "y", np.array([0.5, -1.0, 0.75]), 2.0, spread),
    }
    return model_of(study, given)


def test_effects_in_a_linear_gaussian_model_are_products_of_slopes() -> None:
    model = gaussian_chain()
    total = model.effect("a", "y")
    assert total.estimate == pytest.approx(-1.0 + 0.75 * 2.0, abs=1e-9)
    direct = model.do({"x": 3}).effect("a", "y")
    assert direct.estimate == pytest.approx(-1.0, abs=1e-9)
    through = model.effect("x", "y", 4.5, 2.5)
    assert through.estimate == pytest.approx(0.75 * 2.0, abs=1e-9)
    assert (through.treated, through.reference) == ("4.5", "2.5")


def test_intervals_of_a_linear_effect_carry_the_draws_of_its_slopes() -> None:
    model = gaussian_chain(spread=0.1)
    x, y = (model.mechanisms[node].coefficients for node in ("x", "y"))  # type: ignore[union-attr]
    totals = y[:, 1] + y[:, 2] * x[:, 1]
    assert model.effect("a", "y").standard_error == pytest.approx(totals[1:].std(), rel=1e-6)


def test_means_by_simulation_have_the_values_not_the_middles_of_bins() -> None:
    found = gaussian_chain().do({"a": 1}).mean("y")
    assert found.method == "simulation"
    assert abs(found.estimate - (0.5 - 1.0 + 0.75 * 3.0)) < 4 * found.monte_carlo_error
    assert found.monte_carlo_error == pytest.approx(
        np.hypot(2.0, 0.75 * 1.5) / np.sqrt(simulation.POINT_ROWS), rel=0.02
    )


@pytest.mark.parametrize("kind", ["logistic", "poisson", "negative-binomial"])
def test_means_of_responses_agree_with_numerical_integration(kind: str) -> None:
    own = BOOLEAN if kind == "logistic" else 'kind = "count", edges = [0, 1, 1000]'
    study = study_of(
        {"x": NUMBER, "y": own},
        ["x -> y"],
        {"x": '"gaussian"', "y": f'{{ kind = "{kind}", statistic = "moments" }}'},
    )
    given = {
        "x": regression(study, "x", np.array([0.5]), 0.8),
        "y": regression(study, "y", np.array([0.2, 0.6]), 0.4),
    }
    found = model_of(study, given).mean("y")
    nodes, weights_ = hermegauss(60)
    predictor = 0.2 + 0.6 * (0.5 + 0.8 * nodes)
    means = 1 / (1 + np.exp(-predictor)) if kind == "logistic" else np.exp(predictor)
    expected = weights_ @ means / weights_.sum()
    assert abs(found.estimate - expected) < 4 * found.monte_carlo_error


def survival_model(spread: float = 0.0) -> Model:
    study = study_of(
        {"t": BOOLEAN, "stay": 'kind = "survival", edges = [0, 1, 3, 6], unit = "days"'},
        ["t -> stay"],
    )
    shares = np.array([[0.1, 0.2, 0.3, 0.4], [0.05, 0.1, 0.25, 0.6]])
    return model_of(study, {"stay": table(study, "stay", shares, spread)})


def test_survival_measures_follow_their_formulas() -> None:
    model = survival_model(0.1)
    risk, days, ratio = (
        model.effect("t", "stay", measure=measure)
        for measure in ("risk", "restricted-mean", "hazard-ratio")
    )
    assert risk.estimate == pytest.approx(0.4 - 0.6)
    middles = np.array([0.5, 2.0, 4.5, 6.0])
    assert days.estimate == pytest.approx(middles @ [-0.05, -0.1, -0.05, 0.2])
    assert ratio.estimate == pytest.approx(np.log(0.6) / np.log(0.4))
    assert {risk.method, days.method, ratio.method} == {"exact"}
    mechanism = model.mechanisms["stay"]
    survival = mechanism.draws[..., -1]  # type: ignore[union-attr]
    logs = np.log(np.log(survival[:, 1]) / np.log(survival[:, 0]))
    assert ratio.standard_error == pytest.approx(logs.std(), rel=1e-6)
    assert ratio.low == pytest.approx(ratio.estimate * np.exp(-1.959964 * logs.std()), rel=1e-6)
    assert (risk.measure, days.measure, ratio.measure) == (
        "risk",
        "restricted-mean",
        "hazard-ratio",
    )


@pytest.mark.parametrize("measure", ["risk", "restricted-mean", "hazard-ratio"])
def test_survival_measures_by_simulation_meet_the_exact_ones(
    measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(
        {"s": BOOLEAN, "t": BOOLEAN, "stay": 'kind = "survival", edges = [0, 1, 3, 6]'},
        ["s -> t", "s -> stay", "t -> stay"],
    )
    model = model_of(study, spread=0.2)
    exact = model.effect("t", "stay", measure=measure)
    simulated(monkeypatch)
    found = model.effect("t", "stay", measure=measure)
    assert 0 < found.monte_carlo_error < 0.05
    assert abs(found.estimate - exact.estimate) < 4 * found.monte_carlo_error
    assert found.standard_error == pytest.approx(exact.standard_error, rel=0.25)


def test_risk_of_a_survival_node_is_its_mean() -> None:
    model = survival_model().do({"t": 1})
    assert model.mean("stay").estimate == model.mean("stay", measure="risk").estimate == 0.4
    assert model.mean("stay", measure="restricted-mean").high <= 6


def test_hazard_ratio_without_events_is_wide_and_not_refused() -> None:
    model = survival_model()
    shares = np.array([[0.0, 0.0, 0.0, 1.0], [0.2, 0.2, 0.2, 0.4]])
    given = {"stay": table(model.study, "stay", shares)}
    found = model_of(model.study, given).effect("t", "stay", measure="hazard-ratio")
    assert found.estimate > 1e5
    assert np.isfinite([found.low, found.high]).all()


def test_risks_in_data_without_censoring_are_those_of_the_model() -> None:
    frame = survival_model().do({"t": 0}).sample(50_000, seed=1)
    assert frame["stay_event"].mean() == pytest.approx(0.6, abs=0.01)
    assert np.minimum(frame["stay"], 6).mean() == pytest.approx(
        np.array([0.5, 2.0, 4.5, 6.0]) @ [0.1, 0.2, 0.3, 0.4], abs=0.04
    )


@pytest.mark.parametrize("measure", ["restricted-mean", "hazard-ratio"])
def test_measure_of_times_on_another_outcome_is_refused(measure: Measure) -> None:
    with pytest.raises(UsageError) as refusal:
        asia().model().effect("smoke", "xray", measure=measure)
    assert refusal.value.code == "measure-does-not-fit"


def test_a_measure_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        survival_model().effect("t", "stay", measure="hr")  # type: ignore[arg-type]
    assert refusal.value.code == "unknown-measure"
    with pytest.raises(UsageError) as refusal:
        survival_model().mean("stay", measure="hr")  # type: ignore[arg-type]
    assert refusal.value.code == "unknown-measure"


def test_the_mean_of_a_time_to_an_event_is_said_to_be_its_risk() -> None:
    assert survival_model().effect("t", "stay").measure == "risk"


def test_hazard_ratio_of_one_world_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        survival_model().mean("stay", measure="hazard-ratio")
    assert refusal.value.code == "measure-does-not-fit"


def test_means_of_bins_follow_the_placement_by_draw() -> None:
    study = study_of(
        {"a": BOOLEAN, "x": 'kind = "numeric", edges = [0, 10, 20], detail = 2'}, ["a -> x"]
    )
    placements = {"x": placement(study, "x", np.array([[0.8, 0.2], [0.5, 0.5]]), 0.3)}
    given = {"x": table(study, "x", np.array([[1.0, 0.0], [0.0, 1.0]]))}
    found = model_of(study, given, placements).effect("a", "x")
    assert found.estimate == pytest.approx(15.0 - (0.8 * 2.5 + 0.2 * 7.5))
    means = (placements["x"].shares * np.array([[2.5, 7.5], [12.5, 17.5]])).sum(axis=-1)
    assert found.standard_error == pytest.approx((means[1:, 1] - means[1:, 0]).std())


def test_means_of_log_spaced_bins_are_those_of_a_log_even_spread() -> None:
    study = study_of({"x": 'kind = "numeric", edges = [1, 100, 200], spacing = "log"'}, [])
    model = model_of(study, {"x": table(study, "x", np.array([1.0, 0.0]))})
    assert model.mean("x").estimate == pytest.approx(99 / np.log(100))
    assert model.sample(50_000, seed=3)["x"].mean() == pytest.approx(99 / np.log(100), rel=0.02)


def test_outcome_that_is_set_to_a_number_has_that_mean() -> None:
    assert weights().model().do({"change": 7.25}).mean("change").estimate == 7.25
    assert gaussian_chain().do({"y": -3}).mean("y").estimate == -3


def test_marginals_of_regressions_and_rules_are_shares_of_their_bins() -> None:
    model = gaussian_chain().do({"a": 0})
    law = stats.norm(1.0, 1.5)
    assert model.marginal("x").to_numpy() == pytest.approx([law.cdf(0), law.sf(0)], abs=0.005)
    assert list(model.marginal("x").index) == ["[-50, 0)", "[0, 50]"]
    fitted = mixed_model()
    seen = np.histogram(fitted.sample(100_000, seed=1)["dose"], bins=[0, 5, 10])[0] / 100_000
    assert fitted.marginal("dose").to_numpy() == pytest.approx(seen, abs=0.01)


def test_marginal_below_a_regression_is_the_mean_of_its_rows() -> None:
    model = visits_model()
    assert model.marginal("drug[1]").sum() == pytest.approx(1.0)
    seen = model.sample(50_000, seed=1)["drug[1]"].mean()
    assert model.marginal("drug[1]")["1"] == pytest.approx(seen, abs=0.01)


def test_treatment_without_a_visit_is_set_at_all_of_them() -> None:
    model = visits_model()
    found = model.effect("drug", "dead[2]")
    each = {f"drug[{visit}]": 1 for visit in range(3)}
    always = model.do(each).mean("dead[2]")
    never = model.do(dict.fromkeys(each, 0)).mean("dead[2]")
    assert found.estimate == pytest.approx(always.estimate - never.estimate, abs=1e-12)
    assert (found.treatment, found.treated, found.method) == ("drug", "1", "exact")


@pytest.mark.parametrize("outcome", ["drug", "drug[1]"])
def test_visit_of_the_treatment_as_outcome_is_refused(outcome: str) -> None:
    with pytest.raises(UsageError) as refusal:
        visits_model().effect("drug", outcome)
    assert refusal.value.code == ("unknown-node" if outcome == "drug" else "treatment-is-outcome")


def test_feedback_is_simulated_alike_every_time() -> None:
    first, second = (visits_model().effect("drug", "load[2]") for _ in range(2))
    assert first == second
    assert first.method == "simulation"


def test_simulation_leaves_missing_outcomes_out() -> None:
    study = study_of(
        {"x": NUMBER, "y": BOOLEAN + ", missing = true"}, ["x -> y"], {"x": '"gaussian"'}
    )
    given = {
        "x": regression(study, "x", np.array([0.0]), 1.0),
        "y": table(study, "y", np.array([[0.2, 0.3, 0.5], [0.3, 0.6, 0.1]])),
    }
    found = model_of(study, given).mean("y")
    assert abs(found.estimate - 0.9 / 1.4) < 4 * found.monte_carlo_error


def test_effect_upstream_is_exactly_zero_by_simulation() -> None:
    found = gaussian_chain().effect("y", "x", 1, 0)
    assert (found.estimate, found.low, found.high, found.monte_carlo_error) == (0, 0, 0, 0)
