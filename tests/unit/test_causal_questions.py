"""Questions beyond a mean: ratios, levels, persons, quantiles, doses, curves, comparisons."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from protocol.errors import UsageError
from server.causal.answers import answering, quantiles
from server.causal.answers.measures import Measure
from server.causal.model import Model
from server.causal.worlds.interventions import policy, randomised
from tests.support.causal_models import (
    mixed_model,
    model_of,
    placement,
    regression,
    study_of,
    table,
)
from tests.support.networks import asia, mixed

BOOLEAN = 'kind = "boolean"'
NUMBER = 'kind = "numeric", edges = [-50, 0, 50]'
BINS = 'kind = "numeric", edges = [0, 10, 20, 40]'


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no question to contraction."""
    monkeypatch.setattr(answering, "exact_distributions", lambda *_, **__: None)
    monkeypatch.setattr(quantiles, "exact_distributions", lambda *_, **__: None)


def two_by_two(spread: float = 0.0) -> Model:
    """s -> t, s -> y, t -> y, all boolean, with known parameters."""
    study = study_of({"s": BOOLEAN, "t": BOOLEAN, "y": BOOLEAN}, ["s -> t", "s -> y", "t -> y"])
    risks = np.array([[0.1, 0.3], [0.4, 0.8]])  # by s, then t
    given = {
        "s": table(study, "s", np.array([0.75, 0.25]), spread),
        "t": table(study, "t", np.array([[0.8, 0.2], [0.3, 0.7]]), spread),
        "y": table(study, "y", np.stack([1 - risks, risks], axis=-1), spread),
    }
    return model_of(study, given)


TREATED, UNTREATED = 0.75 * 0.3 + 0.25 * 0.8, 0.75 * 0.1 + 0.25 * 0.4
RATIOS: list[tuple[Measure, float]] = [
    ("risk-ratio", TREATED / UNTREATED),
    ("odds-ratio", TREATED / (1 - TREATED) * (1 - UNTREATED) / UNTREATED),
    ("risk", TREATED - UNTREATED),
]


@pytest.mark.parametrize(("measure", "expected"), RATIOS)
def test_measures_of_risks_follow_their_formulas(measure: Measure, expected: float) -> None:
    found = two_by_two(0.2).effect("t", "y", measure=measure)
    assert found.estimate == pytest.approx(expected, abs=1e-12)
    assert found.low < found.estimate < found.high
    assert (found.method, found.measure, found.rung) == ("exact", measure, "interventional")


@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize(("measure", "expected"), RATIOS)
def test_measures_of_risks_by_simulation_know_their_error(
    measure: Measure, expected: float
) -> None:
    found = two_by_two(0.2).effect("t", "y", measure=measure)
    assert 0 < found.monte_carlo_error < 0.1 * expected
    assert abs(found.estimate - expected) < 4 * found.monte_carlo_error


def test_intervals_of_ratios_are_made_on_their_logarithm() -> None:
    model = two_by_two(0.2)
    found = model.effect("t", "y", measure="risk-ratio")
    assert np.log(found.high / found.estimate) == pytest.approx(np.log(found.estimate / found.low))
    assert np.log(found.high / found.estimate) == pytest.approx(1.959964 * found.standard_error)


def test_effect_among_persons_is_that_of_their_row() -> None:
    model = two_by_two()
    assert model.effect("t", "y", given={"s": 1}).estimate == pytest.approx(0.4)
    assert model.effect("t", "y", given={"s": 0}).estimate == pytest.approx(0.2)
    assert model.effect("t", "y", given={"s": 1}).given == "s = 1"
    observed = model.mean("y", given={"t": 1}).estimate
    share = 0.25 * 0.7 / (0.25 * 0.7 + 0.75 * 0.2)
    assert observed == pytest.approx(share * 0.8 + (1 - share) * 0.3)


@pytest.mark.usefixtures("simulated")
def test_effect_among_persons_by_simulation_is_that_of_their_row() -> None:
    found = two_by_two().effect("t", "y", given={"s": 1})
    assert found.estimate == pytest.approx(0.4, abs=1e-12)  # rows that count are all alike
    observed = two_by_two().mean("y", given={"t": 1})
    share = 0.25 * 0.7 / (0.25 * 0.7 + 0.75 * 0.2)
    expected = share * 0.8 + (1 - share) * 0.3
    assert 0 < observed.monte_carlo_error < 0.01
    assert abs(observed.estimate - expected) < 4 * observed.monte_carlo_error
    known = two_by_two().mean("s", given={"y": 1})
    joint = 0.25 * (0.3 * 0.4 + 0.7 * 0.8)
    other = 0.75 * (0.8 * 0.1 + 0.2 * 0.3)
    assert abs(known.estimate - joint / (joint + other)) < 4 * known.monte_carlo_error


def test_probability_of_a_level_is_its_share() -> None:
    made = mixed()
    model = made.model()
    marginal = made.marginal("blood")
    assert model.mean("blood", event="A").estimate == pytest.approx(marginal[0])
    assert model.mean("blood", event=["A", "B"]).estimate == pytest.approx(marginal[:2].sum())
    found = model.effect("dose", "blood", "high", "low", event="A", measure="risk-ratio")
    assert found.event == "A"


def test_missing_values_count_for_no_level_unless_they_are_asked_for() -> None:
    model = mixed_model().do({"sex": "male"})
    shares = model.marginal("stage")
    known = shares["I"] + shares["II"]
    assert model.mean("stage", event="I").estimate == pytest.approx(shares["I"] / known)


def bins_model(spread: float = 0.0) -> Model:
    study = study_of({"a": BOOLEAN, "x": BINS + ", detail = 2"}, ["a -> x"])
    shares = np.array([[0.8, 0.2], [0.5, 0.5], [0.25, 0.75]])
    given = {"x": table(study, "x", np.array([[0.5, 0.3, 0.2], [0.1, 0.4, 0.5]]), spread)}
    return model_of(study, given, {"x": placement(study, "x", shares, spread)})


@pytest.mark.parametrize(
    ("quantile", "expected"),
    [(0.25, 3.125), (0.4, 5.0), (0.5, 10.0), (0.65, 15.0), (0.9, 33.333333)],
)
def test_quantiles_of_bins_follow_their_placement(quantile: float, expected: float) -> None:
    found = bins_model().do({"a": 0}).mean("x", measure="quantile", quantile=quantile)
    assert found.estimate == pytest.approx(expected)
    assert found.method == "exact"
    frame = bins_model().do({"a": 0}).sample(200_000, seed=1)
    assert np.quantile(frame["x"], quantile) == pytest.approx(expected, abs=0.2)


@pytest.mark.usefixtures("simulated")
def test_quantiles_by_simulation_meet_the_exact_ones() -> None:
    found = bins_model(0.1).do({"a": 0}).mean("x", measure="quantile", quantile=0.25)
    assert found.method == "simulation"
    assert 0 < found.monte_carlo_error < 0.05
    assert abs(found.estimate - 3.125) < 4 * found.monte_carlo_error


def test_median_of_a_normal_outcome_is_its_mean() -> None:
    study = study_of(
        {"a": BOOLEAN, "x": NUMBER, "y": NUMBER},
        ["a -> x", "x -> y"],
        {"x": '"gaussian"', "y": '"gaussian"'},
    )
    given = {
        "x": regression(study, "x", np.array([1.0, 2.0]), 1.5),
        "y": regression(study, "y", np.array([0.5, 0.75]), 2.0),
    }
    model = model_of(study, given)
    median = model.effect("a", "y", measure="quantile")
    assert abs(median.estimate - 1.5) < 4 * median.monte_carlo_error
    upper = model.do({"a": 0}).mean("y", measure="quantile", quantile=0.975)
    expected = stats.norm(0.5 + 0.75, np.hypot(2.0, 0.75 * 1.5)).ppf(0.975)
    assert abs(upper.estimate - expected) < 4 * upper.monte_carlo_error


def stay_model() -> Model:
    study = study_of(
        {"t": BOOLEAN, "stay": 'kind = "survival", edges = [0, 1, 3, 6], unit = "days"'},
        ["t -> stay"],
    )
    shares = np.array([[0.1, 0.2, 0.3, 0.4], [0.05, 0.1, 0.25, 0.6]])
    return model_of(study, {"stay": table(study, "stay", shares, 0.1)})


def test_survival_falls_by_the_risks_of_the_intervals() -> None:
    curve = stay_model().do({"t": 0}).survival("stay")
    assert list(curve.index) == [0.0, 1.0, 3.0, 6.0]
    assert curve["estimate"].to_numpy() == pytest.approx([1.0, 0.9, 0.7, 0.4])
    assert (curve["low"] <= curve["estimate"]).all()
    assert (curve["high"] >= curve["estimate"]).all()
    assert (curve["high"] - curve["low"])[1:].min() > 0
    assert set(curve["method"]) == {"exact"}


@pytest.mark.usefixtures("simulated")
def test_survival_by_simulation_is_the_exact_one() -> None:
    curve = stay_model().do({"t": 0}).survival("stay")
    assert curve["estimate"].to_numpy() == pytest.approx([1.0, 0.9, 0.7, 0.4], abs=0.005)
    assert set(curve["method"]) == {"simulation"}


def test_median_time_lies_in_its_interval_or_is_not_reached() -> None:
    model = stay_model()
    found = model.do({"t": 0}).mean("stay", measure="quantile")
    assert found.estimate == pytest.approx(3 + 3 * (0.5 - 0.3) / 0.3)
    with pytest.raises(UsageError, match="fewer in one") as refusal:
        model.effect("t", "stay", measure="quantile")
    assert refusal.value.code == "quantile-not-reached"
    assert model.effect("t", "stay", measure="quantile", quantile=0.1).estimate == pytest.approx(
        1.0
    )


def test_outcome_by_dose_has_a_line_a_level() -> None:
    made = mixed()
    model = made.model()
    found = model.dose_response("dose", "event")
    assert list(found.index) == ["none", "low", "high"]
    assert found.index.name == "dose"
    for dose in found.index:
        expected = model.do({"dose": dose}).mean("event")
        assert found["estimate"][dose] == pytest.approx(expected.estimate)
        assert found["low"][dose] == pytest.approx(expected.low)
    numbers = mixed_model().dose_response("dose", "pressure", [1, 5.5, 9])
    assert list(numbers.index) == [1, 5.5, 9]
    assert set(numbers["method"]) == {"simulation"}


def test_value_of_a_policy_is_compared_with_what_happens_without_it() -> None:
    model = two_by_two(0.1)
    found = model.compare("y", {"t": policy("s")})
    natural = 0.75 * (0.8 * 0.1 + 0.2 * 0.3) + 0.25 * (0.3 * 0.4 + 0.7 * 0.8)
    assert found.estimate == pytest.approx(0.75 * 0.1 + 0.25 * 0.8 - natural)
    assert (found.treatment, found.treated, found.reference) == ("t", "s", "as it is")
    other = model.compare("y", {"t": policy("s")}, {"t": randomised(0.5)})
    assert other.estimate == pytest.approx(0.275 - 0.5 * (TREATED + UNTREATED))
    assert other.reference == "randomised"
    assert model.compare("y", {"s": 1, "t": 1}, {"s": 0, "t": 0}).estimate == pytest.approx(0.7)
    assert model.compare("y", {}).estimate == 0


def test_effect_of_one_policy_against_another_may_be_asked_for_as_an_effect() -> None:
    found = two_by_two().effect("t", "y", treated=policy("s"), reference=0)
    assert found.estimate == pytest.approx(0.25 * 0.4)


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("x", {"measure": "risk-ratio"}, "measure-does-not-fit"),
    ("x", {"measure": "hazard-ratio"}, "measure-does-not-fit"),
    ("x", {"measure": "median"}, "unknown-measure"),
    ("a", {"measure": "quantile"}, "no-quantiles"),
    ("x", {"measure": "quantile", "quantile": 1.0}, "quantile-out-of-range"),
    ("x", {"event": "[0, 11)"}, "unknown-level"),
    ("x", {"given": {"b": 1}}, "unknown-node"),
    ("x", {"given": {"a": 2}}, "value-outside-domain"),
    ("xx", {}, "unknown-node"),
]


@pytest.mark.parametrize(("outcome", "more", "code"), BAD)
def test_questions_without_a_meaning_are_refused(
    outcome: str, more: dict[str, Any], code: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        bins_model().mean(outcome, **more)
    assert refusal.value.code == code


def test_persons_who_are_told_apart_by_what_the_treatment_changes_are_refused() -> None:
    for given in ({"either": 1}, {"smoke": 1}):
        with pytest.raises(UsageError) as refusal:
            asia().model().effect("smoke", "xray", given=given)
        assert refusal.value.code == "given-is-changed"


def test_curves_of_something_else_are_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        mixed_model().survival("pressure")
    assert refusal.value.code == "not-survival"
    assert "'stay'" in refusal.value.remedy
    with pytest.raises(UsageError) as refusal:
        asia().model().dose_response("smoke", "smoke")
    assert refusal.value.code == "treatment-is-outcome"


def test_nobody_like_that_has_no_mean() -> None:
    model = asia().model().do({"tub": 0})
    with pytest.raises(UsageError) as refusal:
        model.mean("xray", given={"tub": 1})
    assert refusal.value.code == "undefined-mean"
