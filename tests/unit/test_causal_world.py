"""Worlds of mixed nodes: what is drawn has the distribution that the mechanism says."""

import numpy as np
import pytest
from scipy import stats

from server.causal.sampling.bins import Bins, placed
from server.causal.sampling.drawing import draw
from server.causal.sampling.nodes import RegressionNode, SurvivalNode
from server.causal.sampling.responses import counts_at
from server.causal.worlds.compilation import bins_of
from tests.support.causal_models import (
    mixed_model,
    model_of,
    placement,
    regression,
    study_of,
    table,
    visits_model,
)

UNIFORM = (np.arange(5000) + 0.5) / 5000
NUMBER = 'kind = "numeric", edges = [-8, -4, 0, 4, 8]'
BOOLEAN = 'kind = "boolean"'


@pytest.mark.parametrize("mean", [0.01, 0.7, 5.0, 60.0, 499.0, 501.0, 2000.0])
@pytest.mark.parametrize("size", [np.inf, 0.3, 5.0, 200.0])
def test_counts_are_the_quantiles_of_their_distribution(mean: float, size: float) -> None:
    poisson = np.isinf(size)
    law = stats.poisson(mean) if poisson else stats.nbinom(size, size / (size + mean))
    found = counts_at(np.full(5000, mean), np.full(5000, size), UNIFORM, 3000)
    assert (found == np.minimum(law.ppf(UNIFORM), 3000)).mean() > 0.999


def test_counts_above_the_most_are_the_most() -> None:
    found = counts_at(np.full(5000, 9.0), np.full(5000, np.inf), UNIFORM, 4)
    assert found.max() == 4
    assert (found == 4).mean() == pytest.approx(stats.poisson(9).sf(3), abs=1e-3)


def test_gaussian_values_have_their_mean_and_deviation_and_are_clamped() -> None:
    study = study_of({"x": NUMBER}, [], {"x": '"gaussian"'})
    model = model_of(study, {"x": regression(study, "x", np.array([1.5]), 3.0)})
    values = model.sample(100_000, seed=1)["x"]
    clipped = np.clip(stats.norm(1.5, 3.0).ppf(UNIFORM), -8, 8)
    assert values.mean() == pytest.approx(clipped.mean(), abs=0.04)
    assert values.std() == pytest.approx(clipped.std(), abs=0.04)
    assert (values.min(), values.max()) == (-8.0, 8.0)


def test_codes_of_numbers_are_their_bins_and_children_see_both() -> None:
    study = study_of(
        {"x": NUMBER, "low": BOOLEAN, "y": NUMBER},
        ["x -> low", "x -> y"],
        {"x": '"gaussian"', "y": '"gaussian"'},
    )
    model = model_of(
        study,
        {
            "x": regression(study, "x", np.array([0.0]), 3.0),
            "low": table(study, "low", np.array([[0, 1], [0, 1], [1, 0], [1, 0]])),
            "y": regression(study, "y", np.array([1.0, 0.5])),
        },
    )
    frame = model.sample(3000, seed=2)
    codes = model.codes(3000, seed=2)[model.study.causal_graph.nodes.index("x")]
    assert (codes == np.clip(np.floor(frame["x"] / 4) + 2, 0, 3)).all()
    assert (frame["low"] == (frame["x"] < 0)).all()
    assert frame["y"].to_numpy() == pytest.approx(1 + 0.5 * frame["x"].to_numpy())


def test_coefficients_differ_by_the_codes_of_rows() -> None:
    study = study_of(
        {"group": 'kind = "categorical", levels = ["a", "b"]', "t": BOOLEAN, "y": NUMBER},
        ["group -> y", "t -> y"],
        {"y": '"gaussian"'},
    )
    slopes = np.array([[1.0, 2.0], [-1.0, -2.0]])
    frame = model_of(study, {"y": regression(study, "y", slopes)}).sample(500, seed=3)
    sign = np.where(frame["group"] == "a", 1, -1)
    assert (frame["y"] == sign * (1 + 2 * frame["t"])).all()


def test_logistic_responses_follow_the_logit_and_are_monotone_in_the_noise() -> None:
    study = study_of(
        {"t": BOOLEAN, "y": BOOLEAN},
        ["t -> y"],
        {"y": '{ kind = "logistic", statistic = "moments" }'},
    )
    model = model_of(study, {"y": regression(study, "y", np.array([-1.0, 0.8]))})
    for t, logit in ((0, -1.0), (1, -0.2)):
        share = model.do({"t": t}).sample(100_000, seed=4)["y"].mean()
        assert share == pytest.approx(1 / (1 + np.exp(-logit)), abs=0.006)
    low, high = (model.do({"t": t}).sample(5000, seed=4)["y"] for t in (0, 1))
    assert (high >= low).all()


@pytest.mark.parametrize(("kind", "scale"), [("poisson", 0.0), ("negative-binomial", 0.7)])
def test_counts_have_the_mean_and_variance_of_their_regression(kind: str, scale: float) -> None:
    study = study_of(
        {"t": BOOLEAN, "y": 'kind = "count", edges = [0, 1, 5, 2000]'},
        ["t -> y"],
        {"y": f'{{ kind = "{kind}", statistic = "moments" }}'},
    )
    coefficients = np.array([0.5, 0.7])
    model = model_of(study, {"y": regression(study, "y", coefficients, scale)})
    values = model.do({"t": 1}).sample(100_000, seed=5)["y"]
    mean = np.exp(1.2)
    assert values.dtype == np.int64
    assert values.mean() == pytest.approx(mean, abs=0.05)
    assert values.var() == pytest.approx(mean + scale * mean**2, rel=0.04)


def test_placements_spread_values_over_the_parts_of_their_bin() -> None:
    study = study_of({"x": 'kind = "numeric", edges = [0, 10, 20], detail = 2'}, [])
    shares = np.array([[0.9, 0.1], [0.25, 0.75]])
    placements = {"x": placement(study, "x", shares)}
    model = model_of(study, {"x": table(study, "x", np.array([0.5, 0.5]))}, placements)
    values = model.sample(40_000, seed=6)["x"]
    counted = np.histogram(values, bins=[0, 5, 10, 15, 20])[0] / 40_000
    assert counted == pytest.approx([0.45, 0.05, 0.125, 0.375], abs=0.012)


def test_log_spacing_is_even_in_the_logarithm() -> None:
    study = study_of({"x": 'kind = "numeric", edges = [1, 100, 1000], spacing = "log"'}, [])
    bins = bins_of(study.variables["x"], None, None)
    assert isinstance(bins, Bins)
    values = placed(bins, np.zeros(5000, dtype=np.int16), UNIFORM)
    assert np.log(values) == pytest.approx(UNIFORM * np.log(100))
    assert (bins.codes_of(values) == 0).all()


def test_counts_in_a_bin_are_every_whole_number_of_it() -> None:
    study = study_of({"n": 'kind = "count", edges = [0, 1, 4, 6]'}, [])
    bins = bins_of(study.variables["n"], None, None)
    assert isinstance(bins, Bins)
    found = [
        sorted(set(placed(bins, np.full(5000, code, dtype=np.int16), UNIFORM))) for code in range(3)
    ]
    assert found == [[0], [1, 2, 3], [4, 5, 6]]


def test_events_and_ends_of_observation_are_drawn_apart() -> None:
    model = mixed_model()
    (node,) = (one for one in model.world.compiled(None) if isinstance(one, SurvivalNode))
    assert node.censoring is None
    frame = model.sample(2000, seed=7)
    assert set(frame["stay_event"]) == {0, 1}
    assert (frame["stay"][frame["stay_event"] == 0] == 90).all()  # all are observed to the end
    assert (frame["stay"] <= 90).all()


def test_parameter_draws_move_regressions() -> None:
    model = mixed_model(spread=0.5)
    nodes = [model.world.compiled(draw) for draw in (None, 3)]
    regressions = [
        [one.coefficients for one in each if isinstance(one, RegressionNode)] for each in nodes
    ]
    assert all((a != b).any() for a, b in zip(*regressions, strict=True))


def test_rules_compute_from_what_was_drawn_at_every_visit() -> None:
    frame = visits_model().sample(500, seed=8)
    for visit in range(3):
        assert (frame[f"low[{visit}]"] == (frame[f"load[{visit}]"] < 2)).all()
    dose = mixed_model().sample(500, seed=8)
    factor = np.where(dose["sex"] == "male", 0.1, 0.05)
    assert dose["dose"].to_numpy() == pytest.approx(factor * dose["age"].to_numpy())


def test_rules_without_a_result_have_the_first_code_unless_they_may_be_missing() -> None:
    edges = 'kind = "numeric", edges = [-9, -1, 0, 1, 9]'
    names = ["plain", "open", "level", "whole"]
    study = study_of(
        {
            "x": edges,
            "plain": edges,
            "open": edges + ", missing = true",
            "level": 'kind = "ordinal", levels = ["a", "b"]',
            "whole": 'kind = "count", edges = [0, 1, 9]',
            "child": BOOLEAN,
        },
        [*(f"x -> {name}" for name in names), *(f"{name} -> child" for name in names)],
        {
            "plain": '{ kind = "rule", value = "log(x)" }',
            "open": '{ kind = "rule", value = "log(x)" }',
            "level": """{ kind = "rule", value = "where(log(x) > 0, 'b', 'a')" }""",
            "whole": '{ kind = "rule", value = "round(sqrt(x))" }',
        },
    )
    model = model_of(study)
    frame = model.sample(300, seed=1)
    codes = dict(zip(study.causal_graph.nodes, model.codes(300, seed=1), strict=True))
    without = (frame["x"] < 0).to_numpy()
    assert (codes["plain"][without] == 0).all()
    assert (codes["open"][without] == 4).all()
    assert (codes["level"][without] == 0).all()
    assert frame["open"][without].isna().all()
    assert (frame["whole"][without] == 0).all()


def test_no_rows_of_a_mixed_world_are_no_rows() -> None:
    model = mixed_model()
    rows = draw(model.world.compiled(None), 1, 5, 0)
    assert rows.codes.shape == (11, 0)
    assert len(model.sample(0, seed=1)) == 0
