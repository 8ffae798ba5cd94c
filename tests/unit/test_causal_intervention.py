"""What can be set, to what, and how it is refused."""

import pytest

from protocol.errors import UsageError
from protocol.study.variables import Value
from server.causal.worlds.assignment import Assignment
from tests.support.causal_models import mixed_model, visits_model


@pytest.mark.parametrize(
    ("node", "value", "code", "number"),
    [
        ("treated", 1, 1, None),
        ("treated", True, 1, None),
        ("sex", "OTHER", 2, None),
        ("stage", "MISSING", 2, None),
        ("age", 61.5, 1, 61.5),
        ("age", "61.5", 1, 61.5),
        ("age", "[25, 50)", 0, None),
        ("visits", 2, 1, 2.0),
        ("visits", 0, 0, 0.0),
        ("visits", "1-3", 1, None),
        ("pressure", 100, 0, 100.0),
        ("dose", 7.5, 1, 7.5),
        ("crp_missing", 1, 1, None),
        ("stay", "none", 2, None),
        ("stay", "[30, 90]", 1, None),
    ],
)
def test_nodes_of_every_kind_are_set_by_level_or_number(
    node: str, value: Value, code: int, number: float | None
) -> None:
    assert mixed_model().do({node: value}).interventions == {node: Assignment(code, number)}


@pytest.mark.parametrize(
    ("node", "value"),
    [
        ("treated", 2),
        ("age", 80),
        ("age", "old"),
        ("visits", 1.5),
        ("visits", 4),
        ("crp", "MISSING"),  # which the model never is
        ("stay", 12),
        ("stay", "event [0, 30)"),
        ("stay", "censored [0, 30)"),
        ("sex", None),
    ],
)
def test_values_outside_the_domain_of_the_model_are_refused(node: str, value: Value) -> None:
    with pytest.raises(UsageError) as refusal:
        mixed_model().do({node: value})
    assert refusal.value.code == "value-outside-domain"


def test_variable_with_visits_is_set_at_all_of_them_and_a_node_at_its_own() -> None:
    everywhere = visits_model().do({"drug": 1, "load[1]": 2.5}).interventions
    assert everywhere == {
        "drug[0]": Assignment(1, None),
        "drug[1]": Assignment(1, None),
        "drug[2]": Assignment(1, None),
        "load[1]": Assignment(0, 2.5),
    }
    assert list(visits_model().do({"sex": 0}).interventions) == ["sex"]


@pytest.mark.parametrize(
    ("node", "nearest"), [("drugs", "'drug'"), ("drug[3]", "'drug[2]'"), ("sx", "'sex'")]
)
def test_unknown_nodes_are_refused_with_the_nearest(node: str, nearest: str) -> None:
    with pytest.raises(UsageError) as refusal:
        visits_model().do({node: 1})
    assert refusal.value.code == "unknown-node"
    assert nearest in refusal.value.remedy


def test_question_to_a_variable_with_visits_is_told_its_nodes() -> None:
    with pytest.raises(UsageError) as refusal:
        visits_model().marginal("cd4")
    assert refusal.value.code == "unknown-node"
    assert "'cd4[" in refusal.value.remedy


def test_number_that_is_set_reaches_the_regressions_below() -> None:
    model = mixed_model()
    one, other = (model.do({"dose": dose}).sample(50, seed=1) for dose in (1.0, 9.0))
    assert (one["dose"] == 1).all()
    slopes = (other["pressure"] - one["pressure"])[one["treated"] == other["treated"]] / 8
    fitted = set(model.parameters("pressure").xs("dose", level="term")["estimate"].round(9))
    assert set(slopes.round(9)) <= fitted
