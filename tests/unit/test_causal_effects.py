import networkx as nx
import numpy as np
import pytest

from protocol.errors import UsageError
from protocol.study.variables import Value
from server.causal.answers import contraction
from server.causal.answers.effects import summarise
from server.causal.answers.means import score_means
from server.causal.model import Model
from server.causal.worlds.assignment import Assignment
from tests.support.networks import BOOLEAN, asia, mixed, network, weights, yes

ASIA_EFFECTS = [
    ("tub", "xray"),
    ("smoke", "dyspnoea"),
    ("lung", "dyspnoea"),
    ("asia", "either"),
    ("bronchitis", "dyspnoea"),
]


@pytest.mark.parametrize(("treatment", "outcome"), ASIA_EFFECTS)
def test_effect_agrees_with_brute_force(treatment: str, outcome: str) -> None:
    made = asia()
    found = made.model().effect(treatment, outcome)
    assert found.estimate == pytest.approx(made.effect(treatment, outcome), abs=1e-12)
    assert found.low <= found.estimate <= found.high
    assert (found.treated, found.reference) == ("1", "0")


def test_effect_on_a_binned_number_is_in_its_unit() -> None:
    made = weights()
    found = made.model().effect("quitting", "change", treated=True, reference=False)
    assert found.estimate == pytest.approx(made.effect("quitting", "change"), abs=1e-12)
    assert 3 < found.estimate < 4


def test_effect_leaves_missing_outcomes_out() -> None:
    made = mixed()
    found = made.model().effect("blood", "dose", treated="AB", reference="OTHER")
    expected = made.mean("dose", {"blood": 2}) - made.mean("dose", {"blood": 3})
    assert found.estimate == pytest.approx(expected, abs=1e-12)


def test_effect_upstream_is_exactly_zero() -> None:
    found = asia().model().effect("xray", "smoke")
    assert (found.estimate, found.low, found.high) == (0.0, 0.0, 0.0)


def test_effect_in_an_intervened_world_holds_the_intervention() -> None:
    made = asia()
    world = made.model().do({"tub": 1})
    expected = made.mean("xray", {"tub": 1, "lung": 1}) - made.mean("xray", {"tub": 1, "lung": 0})
    assert world.effect("lung", "xray").estimate == pytest.approx(expected, abs=1e-12)


def test_effect_as_json_holds_the_question_and_the_interval() -> None:
    found = asia().model().effect("tub", "xray", level=0.9)
    document = found.to_json()
    assert document["treatment"] == "tub"
    assert document["level"] == 0.9
    assert document["low"] == found.low


def test_interval_is_the_estimate_and_normal_quantiles_of_the_draws() -> None:
    draws = np.array([2.0, 1.0, 3.0, 0.0, 4.0])
    found = summarise(np.array([2.0, *draws]), 0.95, (-10.0, 10.0))
    assert found.standard_error == pytest.approx(draws.std())
    assert found.high - 2.0 == pytest.approx(1.959964 * draws.std(), rel=1e-6)
    assert found.low == pytest.approx(4.0 - found.high)


def test_interval_ends_where_the_quantity_ends() -> None:
    found = summarise(np.array([0.9, 0.5, 1.0]), 0.95, (-1.0, 1.0))
    assert found.high == 1.0


def test_wider_level_gives_a_wider_interval() -> None:
    model = weights().model()
    narrow, wide = (model.effect("quitting", "change", level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("node", ["asia", "either", "dyspnoea", "xray"])
def test_marginal_agrees_with_brute_force(node: str) -> None:
    made = asia()
    found = made.model().marginal(node)
    assert list(found.index) == ["0", "1"]
    assert found.to_numpy() == pytest.approx(made.marginal(node), abs=1e-12)


def test_marginal_of_a_set_node_is_certain() -> None:
    found = mixed().model().do({"dose": "high"}).marginal("dose")
    assert found.to_numpy().tolist() == [0.0, 0.0, 1.0, 0.0]


def test_mean_agrees_with_brute_force() -> None:
    made = weights()
    found = made.model().do({"quitting": 0}).mean("change")
    assert found.estimate == pytest.approx(made.mean("change", {"quitting": 0}), abs=1e-12)
    assert found.low < found.estimate < found.high


def test_graph_has_no_arrows_into_set_nodes() -> None:
    model = asia().model()
    assert nx.is_directed_acyclic_graph(model.graph)
    assert model.graph.number_of_edges() == 8
    assert list(model.do({"either": 1}).graph.predecessors("either")) == []


def test_model_is_not_changed_by_an_intervention() -> None:
    model = asia().model()
    model.do({"smoke": 1})
    assert model.interventions == {}


def test_later_intervention_on_a_node_replaces_the_earlier() -> None:
    world = asia().model().do({"smoke": 1, "tub": 0}).do({"smoke": 0})
    assert world.interventions == {"smoke": Assignment(0, None), "tub": Assignment(0, None)}


REFUSALS: list[tuple[str, str, str, Value, float, str]] = [
    ("smok", "xray", "unknown-node", 1, 0.95, "'smoke'"),
    ("smoke", "x-ray", "unknown-node", 1, 0.95, "'xray'"),
    ("smoke", "xray", "value-outside-domain", 2, 0.95, "declared domain"),
    ("smoke", "smoke", "treatment-is-outcome", 1, 0.95, "two different"),
    ("smoke", "xray", "level-out-of-range", 1, 1.0, "between 0 and 1"),
    ("smoke", "xray", "level-out-of-range", 1, 0.0, "between 0 and 1"),
]


@pytest.mark.parametrize(("treatment", "outcome", "code", "treated", "level", "words"), REFUSALS)
def test_question_without_an_answer_is_refused(
    treatment: str, outcome: str, code: str, treated: Value, level: float, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as refusal:
        asia().model().effect(treatment, outcome, treated=treated, level=level)
    assert refusal.value.code == code


def test_intervention_on_an_unknown_node_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        asia().model().do({"smoking": 1})
    assert refusal.value.code == "unknown-node"


def test_intervention_with_an_unknown_level_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        mixed().model().do({"blood": "C"})
    assert refusal.value.code == "value-outside-domain"


@pytest.mark.parametrize("value", [1, True, "1", 1.0, np.int64(1), np.True_, np.float64(1)])
def test_every_way_to_write_a_level_is_the_same_intervention(value: Value) -> None:
    assert mixed().model().do({"event": value}).interventions["event"] == Assignment(1, None)


@pytest.mark.parametrize("value", [np.float64(38.5), np.float32(38.5), 38.5, "38.5"])
def test_every_way_to_write_a_number_is_the_same_intervention(value: Value) -> None:
    found = mixed().model().do({"fever": value}).interventions["fever"]
    assert isinstance(found, Assignment)
    assert found.value == 38.5


def test_intervention_with_something_else_than_a_value_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        mixed().model().do({"fever": None})  # type: ignore[dict-item]
    assert refusal.value.code == "value-outside-domain"


def test_mean_of_a_nominal_outcome_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        mixed().model().mean("blood")
    assert refusal.value.code == "no-mean"


def test_mean_of_an_outcome_that_is_always_missing_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        mixed().model().do({"dose": "MISSING"}).mean("dose")
    assert refusal.value.code == "undefined-mean"


def test_mean_of_a_draw_without_scored_mass_is_undefined() -> None:
    scores = np.array([[np.nan, 1.0, np.nan]])
    found = score_means(np.array([[0.0, 0.0, 1.0], [0.5, 0.5, 0.0]]), scores)
    assert np.isnan(found[0])
    assert found[1] == 1.0


def test_network_that_is_too_wide_is_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = asia().model().effect("smoke", "dyspnoea")
    monkeypatch.setattr(contraction, "MOST_CELLS", 7)
    found = asia().model().effect("smoke", "dyspnoea")
    assert (exact.method, found.method) == ("exact", "simulation")
    assert found.estimate == pytest.approx(exact.estimate, abs=4 * found.monte_carlo_error)
    assert 0 < found.monte_carlo_error < 0.002


def test_contraction_in_pieces_is_the_contraction(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Model = asia().model()
    whole = model.effect("smoke", "dyspnoea")
    monkeypatch.setattr(contraction, "MOST_CELLS", 24)  # 3 draws at a time
    assert model.effect("smoke", "dyspnoea").standard_error == pytest.approx(
        whole.standard_error, rel=1e-12
    )


def test_node_that_nothing_touches_does_not_change_an_effect() -> None:
    alone = network({"a": BOOLEAN, "b": BOOLEAN}, ["a -> b"], {"a": yes(0.4), "b": yes(0.2, 0.7)})
    assert alone.model().effect("a", "b").estimate == pytest.approx(0.5)
