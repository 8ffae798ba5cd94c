"""Sensitivity: tilts leave no trace in the data, and the truth is among what they allow."""

import json
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from protocol.errors import UsageError
from server.causal.answers.asking import Question
from server.causal.mechanisms.mechanism import TableMechanism
from server.causal.model import Model
from server.causal.sensitivity.alternatives import alternative_graphs
from server.causal.sensitivity.confounding import confounded_mean, unmeasured_confounder
from server.causal.sensitivity.contexts import contexts_of
from server.causal.sensitivity.e_values import e_value, e_values
from server.causal.sensitivity.missing import Missing, missing_not_at_random
from server.causal.sensitivity.tilts import tilted
from server.causal.sensitivity.tipping import tipping_point
from server.causal.worlds.interventions import policy
from tests.support.causal_models import (
    mixed_model,
    model_of,
    regression,
    study_of,
    table,
    visits_model,
)

BOOLEAN = 'kind = "boolean"'
ORDINAL = 'kind = "ordinal", levels = ["low", "middle", "high"]'
GENERATOR = np.random.default_rng(4)


def array_of(model: Model, node: str) -> NDArray[np.float64]:
    mechanism = model.mechanisms[node]
    assert isinstance(mechanism, TableMechanism)
    return mechanism.table


def mediated(spread: float = 0.0) -> Model:
    variables = {"c": BOOLEAN, "d": ORDINAL, "t": BOOLEAN, "m": ORDINAL, "y": ORDINAL}
    edges = ["c -> t", "d -> t", "c -> y", "t -> m", "m -> y", "t -> y"]
    return model_of(study_of(variables, edges), spread=spread)


# --- tilts ---


@pytest.mark.parametrize("levels", [2, 3, 6])
@pytest.mark.parametrize("gamma", [-3.0, 0.0, 0.7, 5.0])
def test_a_tilt_mixes_to_the_shares_that_it_is_of(levels: int, gamma: float) -> None:
    shares = GENERATOR.dirichlet(np.ones(levels), 400)
    present = GENERATOR.random(400)
    scores = np.linspace(0, 1, levels)
    found = tilted(shares, present, gamma, scores)
    mixed = (1 - present)[:, None] * found.absent + present[:, None] * found.present
    assert mixed == pytest.approx(shares, abs=1e-12)
    assert found.absent.sum(axis=1) == pytest.approx(1, abs=1e-9)
    odds = found.present[:, -1] / found.present[:, 0] / (found.absent[:, -1] / found.absent[:, 0])
    assert np.log(odds) == pytest.approx(gamma, abs=1e-6)
    assert (shares * found.share).sum(axis=1) == pytest.approx(present, abs=1e-9)


@pytest.mark.parametrize("present", [0.0, 1.0])
@pytest.mark.parametrize("levels", [2, 4])
def test_a_cause_that_all_or_none_have_tilts_nothing(present: float, levels: int) -> None:
    shares = GENERATOR.dirichlet(np.ones(levels), 20)
    found = tilted(shares, present, 2.0, np.linspace(0, 1, levels))
    seen = found.present if present else found.absent
    assert seen == pytest.approx(shares, abs=1e-9)
    assert np.isfinite(found.absent).all()


def test_a_level_without_a_share_stays_so() -> None:
    found = tilted(np.array([[0.0, 0.4, 0.6], [0.0, 0.0, 1.0]]), 0.5, 1.0, np.array([0, 0.5, 1]))
    assert (found.present[:, 0] == 0).all()
    assert np.isfinite(found.share).all()


# --- an unmeasured confounder ---


def test_the_joint_distribution_of_what_is_measured_does_not_change() -> None:
    """Brute force over all nodes and the unmeasured cause, with the tilts of the analysis."""
    model, gamma, other, prevalence = mediated(), 1.3, -0.8, 0.3
    c, d, t, m, y = (array_of(model, node) for node in "cdtmy")
    scores = np.array([0.0, 0.5, 1.0])
    first = tilted(t, prevalence, gamma, np.array([0.0, 1.0]))
    # y reads c, t, m; its tilt knows d as well, by which the cause is more or less likely
    present = np.moveaxis(first.share, 1, 2)  # c, t, d
    law = np.broadcast_to(y[:, :, None], (2, 2, 3, 3, 3))  # c, t, d, m, y
    assert model.study.causal_graph.parents["y"] == ("c", "t", "m")
    second = tilted(law, np.broadcast_to(present[..., None], (2, 2, 3, 3)), other, scores)
    measured = np.einsum("c,d,cdt,tm,ctmy->cdtmy", c, d, t, m, y)
    joint = (1 - prevalence) * np.einsum(
        "c,d,cdt,tm,ctdmy->cdtmy", c, d, first.absent, m, second.absent
    ) + prevalence * np.einsum("c,d,cdt,tm,ctdmy->cdtmy", c, d, first.present, m, second.present)
    assert joint == pytest.approx(measured, abs=1e-12)
    do = [
        np.einsum("c,d,m,cdmy->y", c, d, m[level], y_mix)
        for level in (0, 1)
        for y_mix in [
            (1 - prevalence) * second.absent[:, level] + prevalence * second.present[:, level]
        ]
    ]
    found = [
        confounded_mean(
            contexts_of(model, "t", level, Question("y", event="high")), prevalence, gamma, 0.0
        )[0]
        for level in (0, 1)
    ]
    untilted = [float(np.einsum("c,m,cmy->y", c, m[level], y[:, level])[2]) for level in (0, 1)]
    assert found == pytest.approx(untilted, abs=1e-9)  # no tilt of the outcome: no confounding
    own = [
        confounded_mean(contexts_of(model, "t", level, Question("y")), prevalence, gamma, other)[0]
        for level in (0, 1)
    ]
    values = [float(score) for score in model.study.model_scores("y") if score is not None]
    assert own == pytest.approx([float(it @ np.array(values)) for it in do], abs=1e-9)


def test_without_strength_the_effect_is_the_models_own() -> None:
    model = mediated(0.1)
    found = unmeasured_confounder(model, "t", "y")
    own = model.effect("t", "y")
    first = found.frame.iloc[0]
    assert first["estimate"] == pytest.approx(own.estimate, abs=1e-9)
    assert (first["low"], first["high"]) == pytest.approx((own.low, own.high), abs=1e-9)


def test_at_the_true_strength_the_true_effect_is_recovered() -> None:
    """Of a cause with log odds 1.5 on the treatment and 2 on the outcome, whatever else acts."""
    gamma, other, prevalence = 1.5, 2.0, 0.4
    c, u = np.array([0.3, 0.7]), np.array([1 - prevalence, prevalence])
    t = expit(np.array([[-1.0, -1.0 + gamma], [0.4, 0.4 + gamma]]))  # P(t | c, u)
    y = expit(np.array([[-0.5, 0.2], [-1.5, 0.9]])[..., None] + np.array([0.0, other]))  # c, t, u
    joint = np.einsum("c,u,ctu,ctu->ctu", c, u, np.stack([1 - t, t], 1), np.ones((2, 2, 2)))
    study = study_of({"c": BOOLEAN, "t": BOOLEAN, "y": BOOLEAN}, ["c -> t", "c -> y", "t -> y"])
    treated = joint.sum(axis=2)
    risk = (joint * y).sum(axis=2) / treated
    tables = {
        "c": table(study, "c", c),
        "t": table(study, "t", treated / treated.sum(axis=1, keepdims=True)),
        "y": table(study, "y", np.stack([1 - risk, risk], axis=-1)),
    }
    model = model_of(study, tables)
    truth = np.einsum("c,u,cu->", c, u, y[:, 1]) - np.einsum("c,u,cu->", c, u, y[:, 0])
    assert model.effect("t", "y").estimate != pytest.approx(truth, abs=0.05)
    means = [
        confounded_mean(contexts_of(model, "t", level, Question("y")), prevalence, gamma, other)[0]
        for level in (1, 0)
    ]
    assert means[0] - means[1] == pytest.approx(truth, abs=1e-9)


def test_at_the_tipping_points_nothing_is_left() -> None:
    model = mediated(0.1)
    found = unmeasured_confounder(model, "t", "y", prevalence=0.3)
    assert found.tipping is not None
    assert found.tipping_interval is not None
    assert 1 < found.tipping_interval < found.tipping
    at = unmeasured_confounder(model, "t", "y", prevalence=0.3, strengths=[1, found.tipping])
    assert at.frame["estimate"].iloc[-1] == pytest.approx(0, abs=1e-6)
    strengths = [1, found.tipping_interval]
    at = unmeasured_confounder(model, "t", "y", prevalence=0.3, strengths=strengths)
    last = at.frame.iloc[-1]
    assert min(abs(last["low"]), abs(last["high"])) == pytest.approx(0, abs=1e-6)
    steps = np.diff(found.frame["estimate"])
    assert (steps < 0).all() or (steps > 0).all()
    assert f"{found.tipping:.2f}-fold odds" in found.text


def test_a_weaker_cause_of_one_must_be_a_stronger_cause_of_the_other() -> None:
    found = unmeasured_confounder(mediated(), "t", "y").frontier
    assert len(found) > 2
    assert (np.diff(found["outcome"]) < 0).all()


def test_an_effect_that_nothing_up_to_the_last_strength_explains_is_said_to_be_so() -> None:
    found = unmeasured_confounder(mediated(), "t", "y", strengths=[1, 1.01])
    assert found.tipping is None
    assert "more than 1.01-fold odds of each would be needed" in found.text


def test_a_gaussian_outcome_is_shifted_and_keeps_its_means() -> None:
    number = 'kind = "numeric", edges = [-500, 0, 500]'
    study = study_of({"t": BOOLEAN, "y": number}, ["t -> y"], {"y": '{ kind = "gaussian" }'})
    given = {
        "t": table(study, "t", np.array([0.6, 0.4])),
        "y": regression(study, "y", np.array([10.0, 3.0]), 4.0),
    }
    model = model_of(study, given)
    found = unmeasured_confounder(model, "t", "y", strengths=[1, 2, 4])
    gamma = np.log(4)
    shares = tilted(np.array([0.6, 0.4]), 0.5, gamma, np.array([0.0, 1.0])).share
    # E[y | do(t)] = mean + gamma sd (.5 - P(u | t)); the effect loses gamma sd (r_1 - r_0)
    expected = 3.0 - gamma * 4.0 * (shares[1] - shares[0])
    assert found.frame["estimate"].iloc[-1] == pytest.approx(expected, abs=1e-6)


def test_simulated_contexts_agree_with_exact_ones() -> None:
    """The same laws as tables, and with a cause that is a number."""
    found = unmeasured_confounder(mixed_model(0.02), "treated", "stay", strengths=[1, 3])
    own = mixed_model(0.02).effect("treated", "stay")
    assert found.frame["estimate"].iloc[0] == pytest.approx(own.estimate, abs=1e-9)
    assert found.frame["estimate"].iloc[1] != pytest.approx(own.estimate, abs=1e-3)


def test_an_analysis_is_drawn_and_written() -> None:
    found = unmeasured_confounder(mediated(0.1), "t", "y")
    root = ET.fromstring(found.svg())  # noqa: S314 - our own
    assert root.tag.endswith("svg")
    assert "no effect" in found.svg()
    document = json.loads(json.dumps(found.to_json()))
    assert document["curve"][0]["strength"] == 1.0
    assert document["tipping"] == found.tipping


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda m: unmeasured_confounder(m, "treatd", "stay"), "unknown-node"),
        (lambda m: unmeasured_confounder(m, "treated", "stayy"), "unknown-node"),
        (lambda m: unmeasured_confounder(m, "treated", "treated"), "treatment-is-outcome"),
        (lambda m: unmeasured_confounder(m, "treated", "stay", 7), "value-outside-domain"),
        (lambda m: unmeasured_confounder(m, "treated", "sex"), "no-mean"),
        (lambda m: unmeasured_confounder(m, "treated", "sex", event="mal"), "unknown-level"),
        (lambda m: unmeasured_confounder(m, "treated", "stay", prevalence=0), "share-out-of-range"),
        (
            lambda m: unmeasured_confounder(m, "treated", "stay", strengths=[2, 1]),
            "strengths-not-rising",
        ),
        (
            lambda m: unmeasured_confounder(m, "treated", "stay", strengths=[0.5, 1]),
            "strengths-not-rising",
        ),
        (
            lambda m: unmeasured_confounder(m, "treated", "stay", strengths=[1, np.nan]),
            "strengths-not-rising",
        ),
        (
            lambda m: unmeasured_confounder(m.do({"sex": "male"}), "treated", "stay"),
            "intervened-model",
        ),
        (
            lambda m: unmeasured_confounder(m, "treated", "stay", policy("age < 50")),
            "not-a-level",
        ),
        (lambda m: unmeasured_confounder(m, "dose", "stay", 5, 1), "no-tilt"),
        (lambda m: unmeasured_confounder(m, "sex", "dose", "male", "female"), "no-tilt"),
        (lambda m: e_values(m, "treated", "sex"), "no-mean"),
        (lambda m: missing_not_at_random(m, "stage"), "no-indicator"),
        (lambda m: missing_not_at_random(m, "crp", deltas=[1, 0]), "deltas-not-rising"),
        (lambda m: missing_not_at_random(m, "crp", "crp"), "treatment-is-outcome"),
        (lambda m: alternative_graphs({"one": m}, "treated", "stay"), "too-few-models"),
    ],
)
def test_questions_that_cannot_be_are_refused(ask: object, code: str) -> None:
    with pytest.raises(UsageError) as refusal:
        ask(mixed_model())  # type: ignore[operator]
    assert refusal.value.code == code


def test_a_treatment_at_several_visits_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        unmeasured_confounder(visits_model(), "drug", "cd4[2]")
    assert refusal.value.code == "several-treatments"


def test_a_study_that_draws_unmeasured_causes_is_refused() -> None:
    study = study_of({"t": BOOLEAN, "m": BOOLEAN, "y": BOOLEAN}, ["t -> m", "m -> y", "t <-> y"])
    with pytest.raises(UsageError) as refusal:
        unmeasured_confounder(model_of(study), "t", "y")
    assert refusal.value.code == "unmeasured-causes"


# --- E-values ---


@pytest.mark.parametrize(
    ("ratio", "expected"), [(3.9, 7.263), (1 / 3.9, 7.263), (1.0, 1.0), (2.0, 3.414), (0.8, 1.809)]
)
def test_e_values_are_those_of_the_paper(ratio: float, expected: float) -> None:
    assert e_value(ratio) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("nan"), float("inf")])
def test_a_ratio_that_is_none_is_refused(ratio: float) -> None:
    with pytest.raises(UsageError) as refusal:
        e_value(ratio)
    assert refusal.value.code == "ratio-out-of-range"


def test_e_values_of_an_effect_are_of_its_risk_ratio_and_its_interval() -> None:
    model = model_of(
        study_of({"t": BOOLEAN, "y": BOOLEAN}, ["t -> y"]),
        spread=0.1,
    )
    found = e_values(model, "t", "y")
    ratio = model.effect("t", "y", measure="risk-ratio", event="1")
    assert found.ratio == pytest.approx(ratio.estimate)
    assert found.estimate == pytest.approx(e_value(ratio.estimate))
    nearer = min(ratio.low, ratio.high, key=lambda it: abs(np.log(it)))
    nearer = 1.0 if ratio.low < 1 < ratio.high else nearer
    assert found.interval == pytest.approx(e_value(nearer))
    assert not found.approximate
    assert "risk ratio" in found.text


def test_e_values_of_a_mean_are_of_its_difference_in_deviations() -> None:
    found = e_values(mediated(0.1), "t", "y")
    assert found.approximate
    shares = mediated().marginal("y").to_numpy()
    scores = np.array([float(it or 0) for it in mediated().study.model_scores("y")])
    deviation = np.sqrt(shares @ (scores - shares @ scores) ** 2)
    difference = mediated(0.1).effect("t", "y").estimate
    assert found.ratio == pytest.approx(np.exp(0.91 * difference / deviation), rel=1e-6)
    assert json.loads(json.dumps(found.to_json()))["approximate"] is True


# --- missing values ---

MISSING = {
    "c": BOOLEAN,
    "t": BOOLEAN,
    "y": 'kind = "ordinal", levels = ["low", "middle", "high"], missing = true',
    "y_missing": 'kind = "missingness", of = "y"',
}


def estimate_at(found: Missing, delta: float) -> float:
    return float(dict(zip(found.frame.index, found.frame["estimate"], strict=True))[delta])


def with_missing(spread: float = 0.0) -> Model:
    return model_of(
        study_of(MISSING, ["c -> t", "c -> y", "t -> y", "t -> y_missing"]), spread=spread
    )


def test_a_mean_moves_with_how_the_missing_differ() -> None:
    model = with_missing(0.1)
    found = missing_not_at_random(model, "y")
    assert estimate_at(found, 0.0) == pytest.approx(model.mean("y").estimate, abs=1e-9)
    assert (np.diff(found.frame["estimate"]) > 0).all()
    c, t, y, q = (array_of(model, node) for node in ("c", "t", "y", "y_missing"))
    factor = np.exp(3.0 * np.array([0, 0.5, 1]))
    tilt = y * factor / (y * factor).sum(axis=-1, keepdims=True)
    mixed = (1 - q[:, 1])[None, :, None] * y + q[:, 1][None, :, None] * tilt
    scores = np.array([float(it) for it in model.study.model_scores("y") if it is not None])
    expected = np.einsum("c,ct,cty,y->", c, t, mixed, scores)
    assert estimate_at(found, 3.0) == pytest.approx(expected, abs=1e-9)


def test_an_effect_tips_where_the_missing_differ_enough() -> None:
    model = with_missing(0.05)
    found = missing_not_at_random(model, "y", "t", deltas=list(np.linspace(-8, 8, 17)))
    own = model.effect("t", "y").estimate
    assert estimate_at(found, 0.0) == pytest.approx(own, abs=1e-9)
    for delta in found.tipping:
        at = missing_not_at_random(model, "y", "t", deltas=sorted([0.0, delta]))
        assert estimate_at(at, delta) == pytest.approx(0.0, abs=1e-6)
    document = json.loads(json.dumps(found.to_json()))
    assert document["share_missing"] == pytest.approx(model.marginal("y_missing").iloc[1])
    assert "are missing" in found.text


# --- alternative graphs ---


def test_models_of_several_graphs_stand_side_by_side() -> None:
    variables = {"c": BOOLEAN, "t": BOOLEAN, "y": BOOLEAN}
    models = {
        "adjusted": model_of(study_of(variables, ["c -> t", "c -> y", "t -> y"]), spread=0.02),
        "crude": model_of(study_of(variables, ["c -> t", "t -> y"]), spread=0.02),
    }
    found = alternative_graphs(models, "t", "y")
    assert list(found.frame.index) == ["adjusted", "crude"]
    for name, model in models.items():
        assert found.effects[name].estimate == model.effect("t", "y").estimate
    assert "by 2 models" in found.text
    assert found.agree == (" agree on" in found.text and "not agree" not in found.text)
    with pytest.raises(UsageError, match="Of the model 'crude'") as refusal:
        alternative_graphs({"adjusted": models["adjusted"], "crude": mixed_model()}, "t", "y")
    assert refusal.value.code == "unknown-node"


def test_a_distance_is_halved_where_it_changes_sign() -> None:
    assert tipping_point(lambda x: 3.3 - x, [1, 2, 3, 4, 5]) == pytest.approx(3.3)
    assert tipping_point(lambda x: 3.3 - x, [1, 2]) is None
    assert tipping_point(lambda x: -x, [1, 2]) == 1
