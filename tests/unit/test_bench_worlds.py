"""The questions, networks and simulated rounds of the utility benchmark."""

from itertools import pairwise

import numpy as np
import pytest

from bench.utility.bundle import GaussianNode
from bench.utility.gaussian import drawn, implied, total_effects
from bench.utility.questions import AT_LEAST, AT_MOST, contrasts_of, unit_scores
from bench.utility.rounds import release, without_noise
from bench.utility.studies import study_of, study_within, texts
from bench.utility.world import CENTRAL, TEN_SITES
from protocol.privacy.plan import compile_plan
from server.causal.answers.contraction import relevant
from tests.support.networks import Table, asia, counts, mixed

CHAIN = {
    "a": GaussianNode("a", 1.0, {}, 1.0),
    "b": GaussianNode("b", 0.0, {"a": 2.0}, 1.0),
    "c": GaussianNode("c", 0.0, {"a": 1.0, "b": -3.0}, 4.0),
}


def chain_body(length: int, levels: int) -> str:
    names = [f"x{place:02d}" for place in range(length)]
    edges = texts(f"{cause} -> {effect}" for cause, effect in pairwise(names))
    labels = texts(f"l{level}" for level in range(levels))
    kinds = "".join(f'[variables.{name}]\nkind = "ordinal"\nlevels = {labels}\n' for name in names)
    return f"graph = {{ edges = {edges} }}\n{kinds}"


def even(length: int, levels: int) -> dict[str, Table]:
    return {f"x{place:02d}": np.full(levels, 1 / levels) for place in range(length)}


def test_few_contrasts_are_joined_by_the_probabilities_of_levels() -> None:
    study = study_of("chain", chain_body(4, 3))
    found = contrasts_of(study, even(4, 3))
    means = 6 * 3  # pairs with a path, times pairs of levels
    assert len(found) == means * (1 + 3) < AT_LEAST
    assert {one.scores for one in found[:means]} == {(0.0, 0.5, 1.0)}
    assert {sum(one.scores) for one in found[means:]} == {1.0}


def test_a_sample_of_contrasts_covers_all_pairs_it_can() -> None:
    study = study_of("chain", chain_body(16, 3))
    found = contrasts_of(study, even(16, 3))
    assert len(found) == AT_MOST
    assert len({(one.treatment, one.outcome) for one in found}) == 16 * 15 // 2
    assert found == contrasts_of(study, even(16, 3))


def test_levels_that_nearly_nobody_has_are_not_compared() -> None:
    study = study_of("chain", chain_body(2, 3))
    shares = {"x00": np.array([0.5, 0.495, 0.005]), "x01": np.full(3, 1 / 3)}
    found = {(one.treated, one.reference) for one in contrasts_of(study, shares)}
    assert found == {(1, 0)}


def test_scores_are_brought_to_the_unit_interval() -> None:
    variables = mixed().study.variables
    assert unit_scores(variables["event"])[:2] == (0.0, 1.0)
    assert np.isnan(unit_scores(variables["event"])[2])
    assert unit_scores(variables["dose"])[:3] == (0.0, 0.5, 1.0)


def test_linear_effects_add_up_over_all_paths() -> None:
    totals = total_effects(CHAIN)
    assert totals["a", "c"] == pytest.approx(1 - 6)
    assert totals["b", "c"] == pytest.approx(-3)
    assert totals["c", "a"] == pytest.approx(0)


def test_implied_moments_are_those_of_drawn_numbers() -> None:
    edges = {node: np.array([-1e9, 0.0, 1e9]) for node in CHAIN}
    records = drawn(("a", "b", "c"), CHAIN, edges, 200_000, np.random.default_rng(5))
    assert records.values is not None
    for place, (mean, deviation) in enumerate(implied(CHAIN).values()):
        assert records.values[:, place].mean() == pytest.approx(mean, abs=0.05)
        assert records.values[:, place].std() == pytest.approx(deviation, rel=0.01)
    assert (records.codes == (records.values >= 0)).all()


def test_a_round_without_noise_releases_exact_residuals() -> None:
    network = asia()
    codes = network.records(500, np.random.default_rng(2))
    plan = without_noise(compile_plan(network.study))
    noisy = release(network.study, plan, codes, 1, np.random.default_rng(3))
    assert noisy.component(()) == pytest.approx(500)
    for family in (("smoke",), ("smoke", "lung")):
        clique = tuple(sorted(family, key=network.nodes.index))
        table = counts(codes, clique, network.study).astype(np.float64)
        for axis in range(table.ndim):
            table = table - table.mean(axis=axis, keepdims=True)
        assert noisy.component(clique) == pytest.approx(table)


def test_noise_of_a_round_has_the_variance_of_all_contributors() -> None:
    network = asia()
    study = network.study
    plan = compile_plan(study)
    codes = network.records(0, np.random.default_rng(2))
    generator = np.random.default_rng(4)
    drawn_noise = [release(study, plan, codes, 10, generator).values for _ in range(400)]
    block = plan.block(tuple(n for n in network.nodes if n in {"smoke", "lung"}))
    found = np.var([values[block.span] for values in drawn_noise])
    assert found == pytest.approx(float(10 * block.site_scale**2), rel=0.15)


def test_budget_and_cohort_of_a_study_are_as_asked() -> None:
    body = chain_body(2, 2)
    study = study_of("chain", body, 0.5, TEN_SITES)
    assert (float(study.budget.epsilon or 0), study.cohort.noise_shares) == (0.5, 7)
    assert study_of("chain", body, 0.5, CENTRAL).cohort.noise_shares == 1
    assert str(study_within("chain", body, "rho = 0.01", CENTRAL).budget.rho) == "0.01"
    assert relevant(study.causal_graph, "x01", {}) == ("x00", "x01")


NUMBERS = """graph = { edges = ["g -> y", "x -> y"] }
mechanisms = { x = "gaussian", y = "gaussian" }
[variables.g]
kind = "ordinal"
levels = ["a", "b"]
[variables.x]
kind = "numeric"
edges = [-2, 0, 2]
[variables.y]
kind = "numeric"
edges = [0, 1, 4]
"""


def test_moments_of_a_round_are_sums_of_products_by_rows() -> None:
    study = study_of("numbers", NUMBERS)
    plan = without_noise(compile_plan(study))
    nodes = study.causal_graph.nodes
    persons = {"g": [0, 1, 1], "x": [1.0, -2.0, 9.0], "y": [2.0, 4.0, 0.0]}
    values = np.array([persons[node] for node in nodes], dtype=np.float64).T
    codes = np.array([persons["g"] if n == "g" else [0, 0, 0] for n in nodes]).T
    noisy = release(study, plan, codes, 1, np.random.default_rng(1), values)
    block = plan.block(("g", "x", "y"), kind="moments")
    found = noisy.values[block.span].reshape(block.shape) / block.unit
    z = np.array([[1, 0.5, 0.0], [1, -1, 1], [1, 1, -1]])  # clamped, in [-1, 1]
    upper = np.triu_indices(3)
    assert found[0] == pytest.approx(np.outer(z[0], z[0])[upper])
    assert found[1] == pytest.approx((z[1:].T @ z[1:])[upper])


def test_moments_without_numbers_are_refused() -> None:
    study = study_of("numbers", NUMBERS)
    codes = np.zeros((2, 3), dtype=np.int64)
    with pytest.raises(ValueError, match="expected values for moments"):
        release(study, compile_plan(study), codes, 1, np.random.default_rng(1))
