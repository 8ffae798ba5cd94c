"""Policies, lotteries, agents and capacities: what they set, and how bad ones are refused."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.errors import UsageError
from server.causal.model import Model
from server.causal.worlds.interventions import (
    Intervention,
    agent,
    capacity,
    policy,
    randomised,
    shift,
)
from server.causal.worlds.resolution import document_of
from tests.support.causal_models import mixed_model, model_of, regression, study_of, visits_model
from tests.support.networks import asia, mixed, weights

GUIDELINE = Path(__file__).parents[1] / "support" / "guidelines" / "guideline.py"
ROWS = 4000
BOOLEAN = 'kind = "boolean"'
NUMBER = 'kind = "numeric", edges = [-50, 0, 50]'


def refused(model: Model, interventions: dict[str, Intervention]) -> UsageError:
    with pytest.raises(UsageError) as refusal:
        model.do(interventions).sample(500, seed=1)
    return refusal.value


def test_a_policy_sets_each_person_by_what_it_reads() -> None:
    frame = mixed_model().do({"treated": policy("age < 50 and sex == 'male'")}).sample(ROWS, seed=1)
    expected = (frame["age"] < 50) & (frame["sex"] == "male")
    assert (frame["treated"] == expected).all()
    assert 0 < expected.mean() < 1


def test_a_policy_changes_descendants_only_and_of_them_only_those_it_reaches() -> None:
    model = mixed_model()
    before, after = (
        model.sample(ROWS, seed=1),
        model.do({"treated": policy("treated")}).sample(ROWS, seed=1),
    )
    assert after.equals(before)  # what it would have been
    moved = model.do({"treated": policy("treated or age < 30")}).sample(ROWS, seed=1)
    same = moved["treated"] == before["treated"]
    assert moved[same].equals(before[same])
    assert 0 < same.mean() < 1


def test_a_shift_moves_a_number_from_what_it_would_have_been_within_its_edges() -> None:
    model = mixed_model()
    before, after = (
        model.sample(ROWS, seed=1),
        model.do({"pressure": shift(-12.5)}).sample(ROWS, seed=1),
    )
    assert after["pressure"].to_numpy() == pytest.approx(
        np.clip(before["pressure"] - 12.5, 80, 160)
    )
    scaled = model.do({"pressure": shift("-0.1 * pressure")}).sample(ROWS, seed=1)
    assert scaled["pressure"].to_numpy() == pytest.approx(
        np.clip(before["pressure"] * 0.9, 80, 160)
    )


def test_a_shift_of_a_linear_cause_moves_the_outcome_by_its_slope() -> None:
    study = study_of({"x": NUMBER, "y": NUMBER}, ["x -> y"], {"x": '"gaussian"', "y": '"gaussian"'})
    given = {
        "x": regression(study, "x", np.array([1.0]), 1.5, 0.1),
        "y": regression(study, "y", np.array([0.5, 0.75]), 2.0, 0.1),
    }
    found = model_of(study, given).compare("y", {"x": shift(2)})
    assert found.estimate == pytest.approx(1.5, abs=1e-9)
    slopes = given["y"].coefficients[1:, 1]  # type: ignore[union-attr]
    assert found.standard_error == pytest.approx(2 * slopes.std(), rel=1e-6)
    assert (found.treated, found.reference) == ("x + 2", "as it is")


def test_a_policy_of_codes_alone_is_answered_exactly() -> None:
    made = mixed()
    model = made.model()
    rule = {"dose": policy("where(blood == 'A', 'high', 'low')")}
    found = model.do(rule).mean("event")
    assert found.method == "exact"
    frame = model.do(rule).sample(200_000, seed=3)
    assert frame["event"].mean() == pytest.approx(found.estimate, abs=0.005)


def by_hand(model: Model, outcome: str, treatment: str, share: float) -> float:
    """Return the mean if a share of persons is treated by lot."""
    one, none = (model.do({treatment: value}).mean(outcome).estimate for value in (1, 0))
    return share * one + (1 - share) * none


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_lottery_is_the_mixture_of_its_levels(share: float) -> None:
    model = asia().model()
    found = model.do({"smoke": randomised(share)}).mean("dyspnoea")
    assert found.method == "exact"
    assert found.estimate == pytest.approx(by_hand(model, "dyspnoea", "smoke", share), abs=1e-12)


def test_a_lottery_does_not_know_what_would_have_been() -> None:
    frame = asia().model().do({"lung": randomised(0.4)}).sample(200_000, seed=2)
    assert frame["lung"].mean() == pytest.approx(0.4, abs=0.006)
    by_smoking = frame.groupby("smoke")["lung"].mean()
    assert by_smoking[0] == pytest.approx(by_smoking[1], abs=0.012)


def test_probabilities_of_a_lottery_may_be_rules() -> None:
    model = mixed_model()
    rule = {"treated": randomised("clip((age - 25) / 50, 0, 1)")}
    frame = model.do(rule).sample(200_000, seed=2)
    shares = frame.groupby(np.floor(frame["age"] / 10))["treated"].mean()
    expected = ((frame["age"] - 25) / 50).groupby(np.floor(frame["age"] / 10)).mean()
    assert shares.to_numpy() == pytest.approx(expected.to_numpy(), abs=0.02)
    coded = asia().model().do({"lung": randomised("where(smoke, 0.5, 0.1)")})
    assert coded.mean("lung").method == "exact"
    smokers = asia().model().mean("smoke").estimate
    assert coded.mean("lung").estimate == pytest.approx(0.1 + 0.4 * smokers)


def test_levels_of_any_kind_are_drawn_with_their_probabilities() -> None:
    shares: dict[str, float | str] = {"[25, 50)": 0.25, "[50, 75]": "0.75"}
    frame = mixed_model().do({"age": randomised(shares)}).sample(100_000, seed=5)
    assert (frame["age"] < 50).mean() == pytest.approx(0.25, abs=0.006)
    model = mixed_model().do({"sex": randomised({"male": 0.2, "OTHER": 0.8})})
    assert model.marginal("sex").to_dict() == pytest.approx(
        {"female": 0, "male": 0.2, "OTHER": 0.8}
    )


def test_policies_over_time_read_their_own_visit_and_the_one_before() -> None:
    model = visits_model()
    frame = model.do({"drug": policy("low[t] or dead[t]")}).sample(ROWS, seed=1)
    for visit in range(3):
        expected = (frame[f"low[{visit}]"] == 1) | (frame[f"dead[{visit}]"] == 1)
        assert (frame[f"drug[{visit}]"] == expected).all()
    lagged = model.do({"drug": policy("load[t-1] < 3"), "drug[0]": 1}).sample(ROWS, seed=1)
    assert (lagged["drug[0]"] == 1).all()
    for visit in (1, 2):
        assert (lagged[f"drug[{visit}]"] == (lagged[f"load[{visit - 1}]"] < 3)).all()


def test_a_dynamic_policy_agrees_with_the_g_formula_by_hand() -> None:
    model = visits_model(0.0)
    found = model.do({"drug": policy("dead[t] == 0 and sex")}).mean("dead[2]")
    assert found.method == "exact"
    tables = {node: model.mechanisms[node].table for node in ("sex", "dead[0]", "dead[1]")}  # type: ignore[union-attr]
    drug_first = model.study.causal_graph.parents["dead[1]"][0] == "drug[0]"
    expected = 0.0
    for sex, first, second in product((0, 1), repeat=3):
        share = tables["sex"][sex] * tables["dead[0]"][first]
        for before, after in ((first, second), (second, 1)):
            drug = int(before == 0 and sex == 1)
            row = (drug, before) if drug_first else (before, drug)
            share *= tables["dead[1]"][(*row, after)]
        expected += share
    assert found.estimate == pytest.approx(expected, abs=1e-12)


def test_several_nodes_may_be_set_in_different_ways_at_once() -> None:
    model = mixed_model()
    ways: dict[str, Intervention] = {
        "smoker": 1,
        "dose": policy("min(age / 10, 6)"),
        "treated": randomised(0.5),
        "pressure": shift(5),
    }
    frame = model.do(ways).sample(ROWS, seed=4)
    assert (frame["smoker"] == 1).all()
    assert frame["dose"].to_numpy() == pytest.approx(np.minimum(frame["age"] / 10, 6))
    assert frame["treated"].mean() == pytest.approx(0.5, abs=0.04)
    graph = model.do(ways).graph
    assert sorted(graph.predecessors("dose")) == ["age"]
    assert list(graph.predecessors("treated")) == []
    assert sorted(graph.predecessors("pressure")) == sorted(model.graph.predecessors("pressure"))


def test_a_policy_may_read_what_another_sets() -> None:
    frame = mixed_model().do({"dose": 9, "treated": policy("dose > 5")}).sample(50, seed=1)
    assert (frame["treated"] == 1).all()


def test_a_policy_may_read_what_does_not_cause_its_node_in_the_graph() -> None:
    model = asia().model()
    frame = model.do({"smoke": policy("tub or asia")}).sample(ROWS, seed=1)
    assert (frame["smoke"] == (frame["tub"] | frame["asia"])).all()
    assert sorted(model.do({"smoke": policy("tub or asia")}).graph.predecessors("smoke")) == [
        "asia",
        "tub",
    ]


@pytest.mark.parametrize("rule", ["dyspnoea", "lung or xray"])
def test_a_policy_that_reads_what_its_node_causes_is_refused(rule: str) -> None:
    error = refused(asia().model(), {"smoke": policy(rule)})
    assert error.code == "cyclic-policy"
    assert "smoke" in error.cause
    assert " -> " in error.cause


def test_policies_that_read_one_another_are_refused() -> None:
    error = refused(asia().model(), {"tub": policy("lung"), "lung": policy("tub")})
    assert error.code == "cyclic-policy"


BAD: list[tuple[Model, dict[str, Intervention], str, str]] = [
    (mixed_model(), {"treated": policy("agee < 50")}, "unknown-node", "'age'"),
    (mixed_model(), {"treated": policy("age <")}, "policy-invalid", "a rule"),
    (mixed_model(), {"treated": policy("age")}, "policy-invalid", "condition"),
    (mixed_model(), {"treated": policy("sex == 'mal'")}, "policy-invalid", "'male'"),
    (mixed_model(), {"treated": policy("stay > 3")}, "policy-invalid", ""),
    (mixed_model(), {"sex": policy("'unknown'")}, "policy-invalid", ""),
    (mixed_model(), {"treated": policy("smoker")}, "policy-invalid", "missing"),
    (mixed_model(), {"stay": policy("3")}, "policy-invalid", "time to an event"),
    (mixed_model(), {"stay": randomised(0.5)}, "policy-invalid", "time to an event"),
    (mixed_model(), {"treated": shift(1)}, "policy-invalid", "number"),
    (mixed_model(), {"sex": randomised(0.5)}, "policy-invalid", "each level"),
    (mixed_model(), {"sex": randomised({"mal": 1.0})}, "policy-invalid", "'male'"),
    (mixed_model(), {"treated": randomised(1.5)}, "policy-invalid", "from 0 to 1"),
    (mixed_model(), {"treated": randomised({"1": 0.5, "0": 0.4})}, "policy-invalid", "0.9"),
    (mixed_model(), {"treated": randomised("sex")}, "policy-invalid", "number"),
    (mixed_model(), {"treated": randomised("age - 60")}, "no-shares", "at least 0"),
    (mixed_model(), {"treated": policy("log(age - 60) > 1")}, "policy-undefined", "everybody"),
    (mixed_model(), {"nobody": policy("1 == 1")}, "unknown-node", ""),
    (visits_model(), {"drug": policy("load[t-1] < 3")}, "policy-before-first-visit", "'drug[0]'"),
    (visits_model(), {"drug": policy("load < 3")}, "policy-invalid", "'load[t]'"),
    (visits_model(), {"drug": policy("load[9] < 3")}, "unknown-node", "'load["),
    (mixed_model(), {"treated": capacity(1.2, "age")}, "share-out-of-range", "between 0 and 1"),
    (mixed_model(), {"treated": capacity(0.2, "sex")}, "policy-invalid", "number"),
    (mixed_model(), {"age": capacity(0.2, "dose")}, "policy-invalid", "boolean"),
    (asia().model(), {"lung": capacity(0.1, "smoke")}, "capacity-takes-nobody", "apart"),
]


@pytest.mark.parametrize(("model", "ways", "code", "words"), BAD)
def test_interventions_that_cannot_be_are_refused(
    model: Model, ways: dict[str, Intervention], code: str, words: str
) -> None:
    error = refused(model, ways)
    assert error.code == code
    assert words in str(error)


def test_a_policy_says_what_happens_to_missing_values() -> None:
    rule = policy("where(is_missing(smoker), 0, smoker)")
    frame = mixed_model().do({"treated": rule}).sample(ROWS, seed=1)
    assert (frame["treated"] == frame["smoker"].fillna(0)).all()
    kept = mixed_model().do({"smoker": policy("smoker")}).sample(ROWS, seed=1)
    assert kept["smoker"].isna().any()


def test_a_capacity_takes_those_with_the_highest_score_and_no_more() -> None:
    model = mixed_model()
    view = model.do({"treated": capacity(0.2, "age + dose")})
    frame = view.sample(100_000, seed=3)
    assert frame["treated"].mean() == pytest.approx(0.2, abs=0.006)
    score = frame["age"] + frame["dose"]
    assert score[frame["treated"] == 1].min() >= score[frame["treated"] == 0].max()
    ties = weights().model().do({"quitting": capacity(0.9, "age > 40")})
    share = ties.mean("quitting").estimate
    assert share <= 0.9
    assert share == pytest.approx((ties.sample(50_000, seed=1)["age"] > 40).mean(), abs=0.01)


def named(function: str, **reads: str) -> Intervention:
    return agent(GUIDELINE, function, reads or None)


def test_an_agent_is_asked_for_whole_columns() -> None:
    frame = mixed_model().do({"treated": named("young")}).sample(ROWS, seed=1)
    assert (frame["treated"] == (frame["age"] < 50)).all()
    staged = mixed_model().do({"stage": named("stage_by_smoking")}).sample(ROWS, seed=1)
    assert staged["stage"].isna().equals(staged["smoker"].isna())
    known = staged[staged["stage"].notna()]
    assert (known["stage"] == np.where(known["sex"] == "male", "I", "II")).all()


def test_agents_act_at_every_visit_on_what_they_see_there() -> None:
    frame = visits_model().do({"drug": named("lower")}).sample(ROWS, seed=1)
    for visit in range(3):
        assert (frame[f"drug[{visit}]"] == (frame[f"load[{visit}]"] < 2)).all()
    ways: dict[str, Intervention] = {"drug": named("before", cd4="cd4[t-1]"), "drug[0]": 0}
    lagged = visits_model().do(ways)
    assert lagged.graph.has_edge("cd4[1]", "drug[2]")


def test_an_agent_is_known_by_the_hash_of_its_file(tmp_path: Path) -> None:
    copy = tmp_path / "mine.py"
    copy.write_text("def young(age):\n    return age < 40\n")
    views = [mixed_model().do({"treated": agent(path, "young")}) for path in (GUIDELINE, copy)]
    documents = [document_of(view.interventions, view.study)[0] for view in views]
    assert all(document["kind"] == "agent" for document in documents)
    hashes = [document["sha256"] for document in documents]
    assert hashes[0] != hashes[1]
    with pytest.raises(UsageError) as refusal:
        mixed_model().do({"treated": replace(agent(copy, "young"), sha256=str(hashes[0]))})
    assert refusal.value.code == "other-agent"


@pytest.mark.parametrize(
    ("function", "code"),
    [
        ("by_rank", "agent-not-pure"),
        ("by_chance", "agent-not-pure"),
        ("by_neighbour", "agent-not-pure"),
        ("that_writes", "agent-failed"),
        ("that_fails", "agent-failed"),
        ("too_short", "agent-failed"),
        ("texts", "agent-failed"),
        ("missing_function", "no-function"),
        ("NOT_A_FUNCTION", "no-function"),
        ("lower", "unknown-node"),
    ],
)
def test_agents_that_cannot_be_trusted_are_refused(function: str, code: str) -> None:
    assert refused(mixed_model(), {"treated": named(function)}).code == code


def test_agents_that_name_unknown_levels_arguments_or_files_are_refused(tmp_path: Path) -> None:
    assert refused(mixed_model(), {"stage": named("unknown_level")}).code == "agent-failed"
    assert refused(mixed_model(), {"treated": named("young", old="age")}).code == "unknown-argument"
    missing = agent(tmp_path / "none.py", "young")
    assert refused(mixed_model(), {"treated": missing}).code == "file-not-found"
    broken = tmp_path / "broken.py"
    broken.write_text("def young(age:\n")
    assert refused(mixed_model(), {"treated": agent(broken, "young")}).code == "agent-failed"


def test_what_was_set_can_be_read_and_done_again() -> None:
    model = mixed_model()
    ways: dict[str, Intervention] = {
        "smoker": 1,
        "age": 61.5,
        "treated": policy("dose>3"),
        "sex": randomised({"male": 1.0}),
    }
    found = document_of(model.do(ways).interventions, model.study)
    expected: list[Any] = [
        {"node": "age", "kind": "set", "value": "61.5"},
        {"node": "sex", "kind": "randomised", "shares": {"male": "1.0"}},
        {"node": "smoker", "kind": "set", "value": "1"},
        {"node": "treated", "kind": "policy", "value": "dose > 3"},
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)
