"""The pure parts of the benchmark on real data: reading, estimands, results."""

from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from bench.utility.estimands import (
    among_treated,
    average_effect,
    effect_on_treated,
    log_hazard_ratios,
    mantel_haenszel,
    person_time,
)
from bench.utility.real import Accepted, RealStudy, evaluate, frequencies
from bench.utility.real_data import CAUSALLIB, encode, exit_codes, principal_thirds, read_actg175
from bench.utility.real_studies import ACTG175, NHEFS, NSW, acic_body, outcome_edges
from bench.utility.studies import study_of
from protocol.errors import UsageError
from tests.support.networks import BOOLEAN, Network, network, weights, yes


def _tables(made: Network) -> dict[str, np.ndarray]:
    return {node: table[None] for node, table in made.tables.items()}


def test_average_effect_is_that_of_the_joint_distribution() -> None:
    made = weights()
    found = average_effect("quitting", "change")(made.study, _tables(made))
    assert found == pytest.approx(np.array([[made.effect("quitting", "change")]]))


def test_effect_on_the_treated_averages_over_who_is_treated() -> None:
    made = weights()
    joint = made.joint()
    at = made.nodes.index("quitting")
    assert made.nodes[-1] == "change"
    treated = np.take(joint, 1, axis=at)
    who = treated.sum(axis=-1) / treated.sum()
    shares = np.moveaxis(made.tables["change"], 2, 0)  # by quitting, then age and intensity
    order = [name for name in made.nodes if name not in ("quitting", "change")]
    assert order == ["age", "intensity"]
    numbers = np.array([float(score or 0) for score in made.study.variables["change"].scores])
    expected = float((who * ((shares[1] - shares[0]) @ numbers)).sum())
    found = effect_on_treated("quitting", "change")(made.study, _tables(made))
    assert found == pytest.approx(np.array([[expected]]))


def test_treated_as_they_were_have_the_conditional_distribution() -> None:
    made = weights()
    treated = np.take(made.joint(), 1, axis=made.nodes.index("quitting"))
    expected = treated.sum(axis=(0, 1)) / treated.sum()
    graph = made.study.causal_graph
    found = among_treated(graph, _tables(made), "quitting", "change", 1)
    assert found[0] == pytest.approx(expected)


def test_person_time_counts_half_an_interval_for_who_leaves_in_it() -> None:
    assert person_time(np.array([2.0, 4.0, 4.0])).tolist() == [9.0, 6.0, 2.0]


def test_hazard_ratio_of_proportional_hazards_is_found() -> None:
    hazards = np.array([0.02, 0.01, 0.005])[:, None] * np.array([1.0, 2.0, 1.5, 1.0])
    still = np.exp(-np.cumsum(hazards, axis=1))
    events = np.concatenate([np.ones((3, 1)), still[:, :-1]], axis=1) - still
    time = events / hazards
    ratios = np.exp(mantel_haenszel(events[None], time[None]))
    assert ratios == pytest.approx(np.array([[0.5, 0.25]]))


def test_hazard_ratios_refuse_a_graph_with_confounders() -> None:
    made = weights()
    with pytest.raises(ValueError, match="only parent"):
        log_hazard_ratios("quitting", "change", 5)(made.study, _tables(made))


def test_exits_are_coded_by_half_year_and_by_how() -> None:
    days = np.array([14.0, 190.0, 190.0, 1231.0])
    assert exit_codes(days, np.array([1.0, 1.0, 0.0, 0.0])).tolist() == [0, 1, 8, 13]


def test_numbers_outside_the_public_bounds_are_clamped() -> None:
    study = study_of("nhefs", NHEFS)
    column = {name: np.zeros(4) for name in ("sex", "quit", "intensity")}
    ages, changes = np.array([20.0, 25, 39.9, 99]), np.array([-41.0, -10, 24.9, 25])
    codes = encode(study, {**column, "age": ages, "change": changes})
    nodes = study.causal_graph.nodes
    assert codes[:, nodes.index("age")].tolist() == [0, 0, 0, 2]
    assert codes[:, nodes.index("change")].tolist() == [0, 1, 6, 6]


def test_thirds_of_principal_components_are_balanced() -> None:
    covariates = np.random.default_rng(0).normal(size=(300, 5)) @ np.diag([3.0, 2, 1, 1, 1])
    thirds = principal_thirds(covariates)
    assert thirds.shape == (300, 3)
    for column in thirds.T:
        assert np.bincount(column.astype(np.int64)).tolist() == [100, 100, 100]


def test_outcome_edges_rise_and_leave_out_the_tails() -> None:
    edges = outcome_edges(np.linspace(-1, 1, 2001))
    assert (edges[0], edges[-1], len(edges)) == (-0.99, 0.99, 9)
    assert edges == sorted(set(edges))


@pytest.mark.parametrize("body", [NHEFS, NSW, ACTG175, acic_body(np.linspace(-3, 8, 100))])
def test_studies_of_real_data_are_valid(body: str) -> None:
    study = study_of("real", body)
    largest = max(int(np.prod(study.sizes(family))) for family in study.causal_graph.families())
    assert largest <= 1024


def test_missing_wheel_is_refused_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pip download --no-deps lifelines==0\.30\.3") as refusal:
        read_actg175(tmp_path)
    assert refusal.value.code == "no-wheel"


def test_other_file_in_place_of_a_wheel_is_refused(tmp_path: Path) -> None:
    (
        tmp_path / CAUSALLIB.replace("causallib", "lifelines").replace("0.10.0", "0.30.3")
    ).write_bytes(b"another")
    with pytest.raises(UsageError, match="found another file"):
        read_actg175(tmp_path)


def test_results_compare_every_arm_with_the_accepted_effect() -> None:
    body = f"""
graph = {{ edges = ["old -> treated", "old -> well", "treated -> well"] }}
[variables.old]
{BOOLEAN}
[variables.treated]
{BOOLEAN}
[variables.well]
{BOOLEAN}
"""
    tables = {
        "old": yes(0.4),
        "treated": yes(0.3, 0.6),
        "well": np.array([[[0.5, 0.5], [0.2, 0.8]], [[0.8, 0.2], [0.5, 0.5]]]),
    }
    variables = dict.fromkeys(("old", "treated", "well"), BOOLEAN)
    made = network(variables, ["old -> treated", "old -> well", "treated -> well"], tables)
    records = made.records(20_000, np.random.default_rng(4))
    columns = {node: records[:, at].astype(np.float64) for at, node in enumerate(made.nodes)}
    study = RealStudy(
        name="made",
        body=body,
        columns=MappingProxyType(columns),
        estimand=average_effect("treated", "well"),
        accepted=(Accepted("treated", 0.3, "share", "made so"),),
    )
    found = evaluate(study, epsilons=(3.0,))
    assert [one.arm for one in found] == ["frequencies", "ours, no noise", "ours, epsilon 3"]
    assert all(one.error < 0.03 for one in found)
    assert np.isnan(found[0].coverage)
    assert found[2].coverage >= 0.8  # at least 4 of 5 noise seeds
    plain = frequencies(study.study(), study.codes())
    assert plain["well"].shape == (1, 2, 2, 2)
