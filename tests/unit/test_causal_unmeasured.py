"""Studies with causes that nobody measures: what is identified is right, the rest is refused."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from protocol.errors import UsageError
from protocol.graphs.complete import is_identified
from protocol.graphs.mixed import MixedGraph
from protocol.study.document import study_from_canonical
from protocol.study.drawing import drawing_of, texts_of
from protocol.study.study import Study
from server.causal.mediation.effects import mediate
from server.causal.model import Model
from server.causal.worlds.identification import identify_effect
from server.causal.worlds.interventions import policy, randomised
from tests.support.causal_models import model_of, study_of, table
from tests.support.mixed_graphs import (
    NAMES,
    Truth,
    all_graphs,
    drawn,
    mechanisms_of,
    random_truth,
)

BOOLEAN = 'kind = "boolean"'


def study_for(graph: MixedGraph, more: str = "") -> Study:
    arrows = [f"{cause} -> {effect}" for cause, effect in graph.arrows.edges()]
    pairs = [f"{one} <-> {other}" for one, other in graph.pairs]
    return study_of(dict.fromkeys(graph.nodes, BOOLEAN), [*arrows, *pairs], more=more)


def fitted(truth: Truth) -> Model:
    """The model that endless data of a truth would be fitted to."""
    study = study_for(truth.graph)
    joint = truth.joint()
    own = study.mechanism_graph
    tables = mechanisms_of(np.moveaxis(joint, _axes(truth, own.nodes), range(joint.ndim)), own)
    return model_of(study, {node: table(study, node, tables[node][0]) for node in own.nodes})


def _axes(truth: Truth, nodes: tuple[str, ...]) -> list[int]:
    return [truth.graph.nodes.index(node) for node in nodes]


def risk(truth: Truth, outcome: str, do: Mapping[str, int]) -> float:
    joint = truth.joint(do)
    at = truth.graph.nodes.index(outcome)
    return float(joint.sum(axis=tuple(axis for axis in range(joint.ndim) if axis != at))[1])


@pytest.mark.parametrize(
    "graph", [*all_graphs(step=61, start=7)], ids=lambda it: str(it.pairs)[:40]
)
def test_effects_are_those_of_the_truth_with_its_unmeasured_causes_or_refused(
    graph: MixedGraph,
) -> None:
    truth = random_truth(graph, np.random.default_rng(5))
    model = fitted(truth)
    for treated in NAMES:
        for outcome in NAMES:
            if treated == outcome:
                continue
            found = identify_effect(model.study, treated, outcome)
            if not found.identified:
                with pytest.raises(UsageError) as refusal:
                    model.effect(treated, outcome)
                assert refusal.value.code == "not-identified"
                continue
            assert is_identified(graph, [treated], outcome)
            expected = risk(truth, outcome, {treated: 1}) - risk(truth, outcome, {treated: 0})
            assert model.effect(treated, outcome).estimate == pytest.approx(expected, abs=1e-9)


FRONT_DOOR = random_truth(drawn("am, my, a-y", "amy"), np.random.default_rng(2))


def test_a_front_door_is_seen_past_in_rows_too() -> None:
    model = fitted(FRONT_DOOR)
    rows = model.do({"a": 1}).sample(200_000, seed=3)
    assert rows["y"].mean() == pytest.approx(risk(FRONT_DOOR, "y", {"a": 1}), abs=0.005)
    assert (rows["a"] == 1).all()
    plain = model.sample(200_000, seed=3)
    crude = plain.groupby("a")["y"].mean()
    assert abs(crude[1] - risk(FRONT_DOOR, "y", {"a": 1})) > 0.01


def test_policies_and_lotteries_are_seen_past_unmeasured_causes() -> None:
    model = fitted(FRONT_DOOR)
    risks = [risk(FRONT_DOOR, "y", {"a": level}) for level in (0, 1)]
    lot = model.do({"a": randomised(0.3)}).mean("y").estimate
    assert lot == pytest.approx(0.7 * risks[0] + 0.3 * risks[1], abs=1e-9)
    kept = model.do({"a": policy("a")}).mean("y").estimate  # what it would have been
    assert kept == pytest.approx(risk(FRONT_DOOR, "y", {}), abs=1e-9)


def test_a_front_door_is_what_an_effect_rests_on() -> None:
    found = fitted(FRONT_DOOR).effect("a", "y")
    assert found.rests_on == ("The graph, by which there is a front door: through m.",)


def test_a_view_that_is_not_identified_is_not_sampled() -> None:
    model = fitted(random_truth(drawn("ay, a-y, az", "azy"), np.random.default_rng(1)))
    assert np.isfinite(model.do({"a": 1}).mean("z").estimate)
    asks: tuple[Callable[[Model], object], ...] = (
        lambda view: view.sample(5, seed=1),
        lambda view: view.codes(5, seed=1),
        lambda view: view.marginal("y"),
        lambda view: view.mean("y"),
        lambda view: view.mean("z", given={"y": 1}),
    )
    for ask in asks:
        with pytest.raises(UsageError, match="open path a <-> y") as refusal:
            ask(model.do({"a": 1}))
        assert refusal.value.code == "not-identified"


def test_a_policy_that_reads_what_is_not_identified_is_refused() -> None:
    model = fitted(random_truth(drawn("ab, a-b, ty", "abty"), np.random.default_rng(1)))
    view = model.do({"a": 1, "t": policy("b")})
    with pytest.raises(UsageError) as refusal:
        view.mean("y")
    assert refusal.value.code == "not-identified"


def test_natural_effects_are_refused_where_causes_are_unmeasured() -> None:
    with pytest.raises(UsageError) as refusal:
        mediate(fitted(FRONT_DOOR), "a", "y", "m")
    assert refusal.value.code == "unmeasured-causes"


def test_latent_nodes_join_what_they_cause_and_mechanisms_read_what_tells_of_them() -> None:
    study = study_of(
        dict.fromkeys("may", BOOLEAN), ["u -> a", "u -> y", "a -> m", "m -> y"], latent=["u"]
    )
    assert study.mixed_graph.pairs == {("a", "y"): ("a", "<-", "u", "->", "y")}
    assert study.causal_graph.parents["y"] == ("m",)
    assert study.family_of("y").parents == ("a", "m")
    again = study_from_canonical(study.canonical)
    assert again.hash == study.hash


def test_the_notation_does_not_change_the_hash_but_unmeasured_causes_do() -> None:
    variables = dict.fromkeys("may", BOOLEAN)
    one = study_of(variables, ["a -> m", "m -> y", "y <-> a"])
    other = study_of(variables, ["a <-> y", "m -> y", "a -> m"])
    assert one.hash == other.hash
    assert one.hash != study_of(variables, ["a -> m", "m -> y"]).hash


@pytest.mark.parametrize(
    ("edges", "latent", "expected"),
    [
        (["a -> y", "a <-> x"], [], "found 'x'"),
        (["a <-> a"], [], "expected two different variables, found 'a <-> a'"),
        (["a <-> y", "y <-> a"], [], "expected each pair once"),
        (["a -> y"], ["u"], "expected causes that the graph draws, found none called 'u'"),
        (["a -> y", "a -> m"], ["m"], "it as a variable or as latent, not as both"),
        (["u -> a", "u -> y", "y -> u"], ["u"], "without cycles"),
    ],
)
def test_unmeasured_causes_that_do_not_fit_are_refused(
    edges: list[str], latent: list[str], expected: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        study_of(dict.fromkeys("may", BOOLEAN), edges, latent=latent)
    assert expected in refusal.value.cause


def test_rules_and_indicators_have_no_unmeasured_causes() -> None:
    rule = {"y": '{ kind = "rule", value = "a" }'}
    with pytest.raises(UsageError, match="which a rule computes, found 'y <-> a'"):
        study_of(dict.fromkeys("ay", BOOLEAN), ["a -> y", "a <-> y"], rule)
    variables = {
        "a": 'kind = "boolean", missing = true',
        "a_missing": 'kind = "missingness", of = "a"',
        "y": BOOLEAN,
    }
    with pytest.raises(UsageError, match="which says what is missing"):
        study_of(variables, ["a -> y", "y <-> a_missing"])


def test_questions_that_are_not_identified_are_refused_with_the_path() -> None:
    question = """
    [[questions]]
    name = "q"
    kind = "average"
    treatment = "a"
    treated = 1
    reference = 0
    outcome = "y"
    """
    with pytest.raises(UsageError, match="found the open path a <-> y"):
        study_for(drawn("ay, a-y", "ay"), question)
    with pytest.raises(UsageError, match="a formula for this one exists"):
        study_for(drawn("vw, wa, ay, v-a, v-y", "vway"), question)
    assert study_for(drawn("am, my, a-y", "amy"), question).questions


def test_texts_of_a_drawing_have_one_order() -> None:
    study = study_of(dict.fromkeys("may", BOOLEAN), ["y <-> a", "m -> y", "a -> m"])
    texts = texts_of(drawing_of(study.variables, study.graph, study.time))
    assert texts == ["a -> m", "m -> y", "a <-> y"]
