"""Every name of `import concause` as a new user tries it: there, documented, kind to mistakes."""

from collections.abc import Callable
from pathlib import Path

import pytest

import concause
from protocol.errors import UsageError
from server.causal.model import Model
from tests.support.causal_models import mixed_model, model_of, study_of

FUNCTIONS = [name for name in concause.__all__ if name != "APP_ROOT"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_name_is_there_and_says_what_it_does(name: str) -> None:
    found = getattr(concause, name)
    assert callable(found)
    assert found.__doc__


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError):
        _ = concause.nothing


def small() -> Model:
    boolean = 'kind = "boolean"'
    variables = {"treated": boolean, "mediator": boolean, "outcome": boolean}
    return model_of(study_of(variables, ["treated -> mediator", "mediator -> outcome"]))


Ask = Callable[[Model, Path], object]

WRONG_NAMES: list[Ask] = [
    lambda m, _: m.do({"treatd": 1}),
    lambda m, _: m.effect("treatd", "outcome"),
    lambda m, _: m.effect("treated", "outcom"),
    lambda m, _: m.compare("outcome", {"treatd": 1}),
    lambda m, _: m.compare("outcom", {"treated": 1}),
    lambda m, _: m.dose_response("treatd", "outcome"),
    lambda m, _: m.mean("outcom"),
    lambda m, _: m.mean("outcome", given={"treatd": 1}),
    lambda m, _: m.marginal("outcom"),
    lambda m, _: m.parameters("outcom"),
    lambda m, _: m.survival("outcom"),
    lambda m, _: m.do({"outcome": concause.policy("mediatr")}),
    lambda m, _: m.do({"outcome": concause.randomised("mediatr")}),
    lambda m, _: m.do({"outcome": concause.capacity(0.5, "mediatr")}),
    lambda m, _: concause.mediate(m, "treated", "outcome", "mediatr"),
    lambda m, _: concause.counterfactual(m, 5, {"treatd": 1}),
    lambda m, _: concause.cross_world(m, "outcom", 1, {"treated": 1}),
    lambda m, _: concause.cross_world(m, "outcome", 1, {"treated": 1}, {"mediatr": 1}),
    lambda m, _: concause.unmeasured_confounder(m, "treatd", "outcome"),
    lambda m, _: concause.e_values(m, "treated", "outcom"),
    lambda m, _: concause.missing_not_at_random(m, "outcom"),
    lambda m, _: concause.transport(m, m, "mediatr"),
    lambda m, _: concause.identify_effect(m.study, "treatd", "outcome"),
    lambda m, _: concause.alternative_graphs({"a": m, "b": m}, "treated", "outcom"),
]


@pytest.mark.parametrize("ask", WRONG_NAMES)
def test_a_wrong_name_is_answered_with_the_nearest(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refusal:
        ask(small(), tmp_path)
    told = refusal.value.remedy + refusal.value.cause
    assert any(f"'{name}'" in told for name in ("treated", "outcome", "mediator"))


WRONG_LEVELS: list[Ask] = [
    lambda m, _: m.do({"treated": 2}),
    lambda m, _: m.effect("treated", "outcome", "yes"),
    lambda m, _: m.mean("outcome", event="yes"),
    lambda m, _: m.mean("outcome", given={"treated": 7}),
    lambda m, _: m.dose_response("treated", "outcome", doses=[3]),
    lambda m, _: m.do({"treated": concause.randomised({"yes": 1})}),
    lambda m, _: concause.mediate(m, "treated", "outcome", "mediator", treated=9),
    lambda m, _: concause.counterfactual(m, 5, {"treated": 3}),
    lambda m, _: concause.cross_world(m, "outcome", "yes", {"treated": 1}),
    lambda m, _: concause.unmeasured_confounder(m, "treated", "outcome", 5),
    lambda m, _: concause.e_values(m, "treated", "outcome", 5),
]


@pytest.mark.parametrize("ask", WRONG_LEVELS)
def test_an_impossible_level_is_answered_with_those_that_are(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refusal:
        ask(small(), tmp_path)
    assert "'0'" in refusal.value.remedy or "'1'" in refusal.value.remedy


CYCLES: list[Ask] = [
    lambda m, _: m.do({"treated": concause.policy("outcome")}),
    lambda m, _: m.do(
        {"treated": concause.policy("mediator"), "mediator": concause.policy("treated")}
    ),
    lambda m, _: m.do({"treated": concause.randomised("where(outcome == 1, 0.2, 0.8)")}),
    lambda m, _: concause.counterfactual(m, 5, {"treated": concause.policy("outcome")}),
    lambda m, _: m.compare("outcome", {"treated": concause.policy("mediator")}),
]


@pytest.mark.parametrize("ask", CYCLES)
def test_a_policy_that_reads_what_it_causes_is_shown_its_circle(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refusal:
        ask(small(), tmp_path)
    assert refusal.value.code == "cyclic-policy"
    assert "->" in refusal.value.cause


def test_results_without_anybody_are_empty_or_refused_never_wrong(tmp_path: Path) -> None:
    model = mixed_model()
    assert len(model.sample(0, seed=1)) == 0
    assert list(model.sample(0, seed=1)) == list(model.sample(3, seed=1))
    assert model.table(0, seed=1).num_rows == 0
    assert list(model.iter_batches(0, seed=1)) == []
    with pytest.raises(UsageError):
        concause.write_population(model, tmp_path / "none.parquet", rows=0, seed=1)
    assert not list(tmp_path.iterdir())
    empty = concause.counterfactual(model, 0, {"treated": 1})
    assert len(empty.frame) == 0
    with pytest.raises(UsageError) as refusal:
        concause.cross_world(small(), "outcome", 1, {"treated": 1}, {"treated": []})
    assert refusal.value.code == "no-such-persons"
