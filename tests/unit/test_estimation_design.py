"""Where noise hurts answers: gradients, directed budgets, and what a study can expect."""

import json
from functools import cache

import numpy as np
import pytest
from numpy.random import default_rng

from protocol.errors import UsageError
from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.study.document import parse_study
from protocol.study.study import Study
from server.causal.answers.contraction import distribution
from server.estimation.contrasts import (
    Coordinates,
    Reals,
    coordinates_of,
    family_map,
    noise_of,
    plan_layout,
)
from server.estimation.design import directed_weights
from server.estimation.foresight import Expectation, foresee
from server.estimation.prior import Prior, neutral_prior, prior_of
from server.estimation.sensitivity import Sensitivity, Unforeseen, survey
from tests.support.networks import Network, asia, mixed, release
from tests.support.studies import STUDY_TEXT, edited, measured_study

SIZES = {"a": 2, "b": 3, "c": 2, "d": 3, "e": 2, "f": 2}
EDGES = ["a -> b", "a -> c", "b -> d", "c -> d", "d -> e", "a -> f"]
PERSONS = 50_000


@cache
def made(budget: str = "rho = 0.05") -> Study:
    return measured_study(SIZES, EDGES, budget=budget, questions=[("b", "e")], colluders=1)


@cache
def plan() -> StatisticsPlan:
    return compile_plan(made())


@cache
def truth() -> Prior:
    """Return one set of tables, none of whose rows is rare."""
    found = neutral_prior(made(), PERSONS)
    sets = {name: 0.5 * t[:1] + 0.5 / t.shape[-1] for name, t in found.tables.items()}
    return Prior(sets, PERSONS)


def sensitivity(prior: Prior) -> Sensitivity:
    (found,) = survey(made(), prior, plan_layout(plan()))
    assert isinstance(found, Sensitivity)
    return found


def expected_coordinates(prior: Prior) -> Coordinates:
    """Return the coordinates of the expected counts of all persons, by brute force."""
    graph, layout = made().causal_graph, plan_layout(plan())
    joint = np.full(tuple(SIZES[node] for node in graph.nodes), prior.persons)
    for node in graph.nodes:
        family = graph.family(node)
        shape = [SIZES[name] if name in family else 1 for name in graph.nodes]
        joint = joint * prior.tables[node][0].reshape(shape)
    found = np.zeros(layout.length)
    for family in graph.families():
        others = tuple(at for at, name in enumerate(graph.nodes) if name not in family)
        one = family_map(family, layout)
        contrasts = one.adjoint(joint.sum(axis=others), layout.length)
        found[one.places] = contrasts[one.places] / one.spread**2
    return found


def effect_of(coordinates: Coordinates) -> float:
    """Return the effect of b on e by tables that are normalised row by row."""
    graph, layout = made().causal_graph, plan_layout(plan())
    tables = {}
    for node in graph.nodes:
        counts = family_map(graph.family(node), layout).table(coordinates)
        tables[node] = (counts / counts.sum(axis=-1, keepdims=True))[None]
    worlds = [distribution(graph, tables, "e", {"b": code})[0] for code in (1, 0)]
    return float((worlds[0] - worlds[1]) @ [0, 1])


def test_gradient_is_the_slope_of_the_effect_in_the_coordinates() -> None:
    one, exact = sensitivity(truth()), expected_coordinates(truth())
    assert one.effects == pytest.approx([effect_of(exact)])
    (gradient,) = one.gradients(np.full(len(exact), 1e-9))
    generator = default_rng(2)
    for _ in range(5):
        step = generator.normal(size=len(exact))
        slope = (effect_of(exact + step) - effect_of(exact - step)) / 2
        assert gradient @ step == pytest.approx(slope, rel=1e-4)


def test_rows_below_the_noise_have_bounded_weight() -> None:
    never = np.broadcast_to([1.0, 0.0, 0.0], truth().tables["b"].shape)  # rows b > 0 are empty
    rare = Prior({**truth().tables, "b": never}, PERSONS)
    variance = noise_of(plan(), plan_layout(plan()), 3)
    one = sensitivity(rare)
    assert np.isfinite(one.gradients(variance)).all()
    assert float((one.gradients(variance) ** 2 @ variance)[0]) < 1  # the effect is within -1 and 1
    assert np.isfinite(one.sampling_variance()).all()


def test_directed_weights_are_one_for_every_residual_table_of_the_plan() -> None:
    weights = directed_weights(made(), plan(), truth())
    assert tuple(weights) == tuple(block.clique for block in plan().blocks)
    assert all(weight > 0 and len(weight.as_tuple().digits) <= 3 for weight in weights.values())


@cache
def directed() -> Study:
    weights = directed_weights(made(), plan(), truth())
    section = {"weights": [{"clique": c, "weight": weight} for c, weight in weights.items()]}
    document = json.loads(made().canonical) | {"plan": {"follows": None, **section}}
    return Study.model_validate(document)


def test_a_directed_plan_spends_the_same_and_answers_better() -> None:
    better = directed()
    plans = [plan(), compile_plan(better)]
    assert float(plans[1].rho) == pytest.approx(float(plans[0].rho), rel=1e-3)
    errors = []
    for each, its in zip((made(), better), plans, strict=True):
        (expected,) = foresee(each, its, truth())
        assert isinstance(expected, Expectation)
        errors.append(expected.privacy)
    assert errors[1] < 0.8 * errors[0]


def test_tables_that_no_question_needs_are_left_more_noise() -> None:
    before = plan()
    after = compile_plan(directed())
    needed, idle = ("b", "d"), ("a", "f")
    assert after.block(needed).site_scale < before.block(needed).site_scale
    assert after.block(idle).site_scale > before.block(idle).site_scale


def test_units_of_an_outcome_do_not_change_the_weights() -> None:
    text = STUDY_TEXT.replace("edges = [-10, 0, 10, 20]", "edges = [-10000, 0, 10000, 20000]")
    weights = [
        directed_weights(study, compile_plan(study), neutral_prior(study, 5000))
        for study in (parse_study(STUDY_TEXT), parse_study(text))
    ]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("study", "reason"),
    [
        (measured_study(SIZES, EDGES), "no question"),
        (measured_study(SIZES, EDGES, questions=[("f", "e")]), "no path from 'f' to 'e'"),
        (parse_study(edited("[graph]", '[mechanisms]\nage = "gaussian"\n\n[graph]')), "'age'"),
    ],
    ids=["no question", "disconnected", "numbers"],
)
def test_a_study_with_nothing_to_direct_is_refused(study: Study, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as refusal:
        directed_weights(study, compile_plan(study), neutral_prior(study, 1000))
    assert refusal.value.code == "nothing-to-direct"


def test_a_disconnected_question_says_so_and_weighs_nothing() -> None:
    both = measured_study(SIZES, EDGES, questions=[("b", "e"), ("f", "e")])
    alone = measured_study(SIZES, EDGES, questions=[("b", "e")])
    expected = foresee(both, compile_plan(both), truth())
    assert isinstance(expected[1], Unforeseen)
    assert "effect is zero" in expected[1].reason
    assert directed_weights(both, compile_plan(both), truth()) == directed_weights(
        alone, compile_plan(alone), truth()
    )


def test_a_network_too_wide_for_exact_effects_is_unforeseen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.causal.answers.derivatives.MOST_CELLS", 8)
    (found,) = survey(made(), truth(), plan_layout(plan()))
    assert isinstance(found, Unforeseen)
    assert "too wide" in found.reason


def test_expected_errors_are_those_of_many_rounds() -> None:
    """The spread of 400 simulated answers is within 5 standard errors of what was foreseen."""
    variance = noise_of(plan(), plan_layout(plan()), made().cohort.n_min)
    exact, generator = expected_coordinates(truth()), default_rng(4)
    noise = generator.normal(size=(400, len(exact))) * np.sqrt(variance)
    answers = [effect_of(exact + each) for each in noise]
    (expected,) = foresee(made(), plan(), truth())
    assert isinstance(expected, Expectation)
    assert np.std(answers) == pytest.approx(expected.privacy, rel=5 / (2 * 400) ** 0.5)


def test_expected_sampling_is_that_of_many_populations() -> None:
    network = Network(made(), {name: tables[0] for name, tables in truth().tables.items()})
    generator, exact = default_rng(5), plan_layout(plan())
    answers = []
    for _ in range(150):
        records = network.records(3000, generator)
        noisy = release(plan(), records, made(), None)
        answers.append(effect_of(coordinates_of(noisy, exact)[0]))
    (expected,) = foresee(made(), plan(), Prior(truth().tables, 3000))
    assert isinstance(expected, Expectation)
    assert np.std(answers) == pytest.approx(expected.sampling, rel=5 / (2 * 150) ** 0.5)


def test_scenarios_are_half_and_twice_epsilon_and_more_sites() -> None:
    (expected,) = foresee(made(), plan(), truth(), sites=(6, 12))
    assert isinstance(expected, Expectation)
    half, twice, six, twelve = (one.standard_error for one in expected.scenarios)
    assert half > expected.standard_error > twice > expected.sampling
    assert twelve > six > expected.standard_error
    noise = six**2 - expected.sampling**2
    assert noise == pytest.approx(2 * expected.privacy**2, rel=0.05)
    epsilon = plan().epsilon
    assert [one.epsilon for one in expected.scenarios[:2]] == [epsilon / 2, epsilon * 2]


def test_tiny_budgets_have_scenarios_too() -> None:
    study = measured_study(SIZES, EDGES, budget="rho = 0.000001", questions=[("b", "e")])
    (expected,) = foresee(study, compile_plan(study), truth())
    assert isinstance(expected, Expectation)
    assert expected.scenarios[0].standard_error >= expected.scenarios[1].standard_error


def test_a_round_before_makes_the_next_more_precise() -> None:
    alone, after = (
        foresee(made(), plan(), truth(), earlier=earlier)[0]
        for earlier in (None, noise_of(plan(), plan_layout(plan()), 3))
    )
    assert isinstance(alone, Expectation)
    assert isinstance(after, Expectation)
    assert after.privacy == pytest.approx(alone.privacy / 2**0.5, rel=0.05)


def test_neutral_prior_is_the_same_every_time_and_needs_a_person() -> None:
    first, second = (neutral_prior(mixed().study, 100) for _ in range(2))
    for node, tables in first.tables.items():
        assert np.array_equal(tables, second.tables[node])
        assert tables.sum(axis=-1) == pytest.approx(np.ones(tables.shape[:-1]))
    with pytest.raises(UsageError) as refusal:
        neutral_prior(mixed().study, 0.5)
    assert refusal.value.code == "too-few-persons"


def test_prior_of_a_model_is_its_point_estimate() -> None:
    network = asia()
    model = network.model()
    prior = prior_of(model)
    assert prior.sets == 1
    assert prior.persons >= 100
    for node, table in network.tables.items():
        assert prior.tables[node][0] == pytest.approx(table)


def test_codes_that_the_model_leaves_out_have_no_slope() -> None:
    study = parse_study(
        edited("[graph]", '[variables.weighed]\nkind = "missingness"\nof = "weight"\n\n[graph]')
    )
    layout = plan_layout(compile_plan(study))
    (one,) = survey(study, neutral_prior(study, 1000), layout)
    assert isinstance(one, Sensitivity)
    assert study.model_sizes(["weight"]) < study.sizes(["weight"])
    assert np.abs(one.gradients(np.ones(layout.length))).max() > 0


SURVIVAL = """
[variables.relapse]
kind = "survival"
edges = [0, 12, 24, 60]
"""


def test_slopes_in_survival_are_those_of_the_hazards() -> None:
    text = edited("[graph]", f"{SURVIVAL}\n[graph]").replace(
        '"quit -> weight",', '"quit -> weight", "quit -> relapse",'
    )
    asked = 'measure = "risk"\noutcome = "relapse"'
    study = parse_study(text.replace('outcome = "weight"', asked))
    layout = plan_layout(compile_plan(study))
    prior = neutral_prior(study, 1000)
    (one,) = survey(study, prior, layout)
    assert isinstance(one, Sensitivity)
    (gradient, *_) = one.gradients(np.full(layout.length, 1e-9))
    shares = np.concatenate([prior.tables["relapse"][0, :, :-1], np.zeros((2, 3))], axis=-1)
    shares[:, -1] = prior.tables["relapse"][0, :, -1]  # censored at the last edge
    counts = shares * one.slopes[0].persons[0][:, None]
    mapped = family_map(("quit", "relapse"), layout)
    step = 1e-3 * default_rng(1).normal(size=counts.shape)

    def effect(exits: Reals) -> float:
        events, left = exits[:, :3], np.cumsum((exits[:, :3] + exits[:, 3:])[:, ::-1], axis=1)
        free = np.prod(1 - events / left[:, ::-1], axis=1)
        return float(free[0] - free[1])

    slope = effect(counts + step) - effect(counts)
    moved = mapped.adjoint(step, layout.length)
    moved[mapped.places] /= mapped.spread**2
    assert gradient @ moved == pytest.approx(slope, rel=1e-3)
