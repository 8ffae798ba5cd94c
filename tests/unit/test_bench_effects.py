"""Effects, family tables and answers of the utility benchmark, against brute force."""

from dataclasses import dataclass

import numpy as np
import pytest

from bench.utility.answer import conditional, counted, from_draws, from_rows, half_l1
from bench.utility.effects import contrast_effects, family_marginals
from bench.utility.world import CENTRAL, Contrast, Effects, Marginal, Records, Sites
from protocol.study.study import Study
from tests.support.networks import Network, Table, asia, mixed

SHARE = (0.0, 1.0)
CONTRASTS = (
    Contrast("smoke", "xray", 1, 0, SHARE),
    Contrast("asia", "dyspnoea", 1, 0, SHARE),
    Contrast("bronchitis", "dyspnoea", 0, 1, SHARE),
)


@dataclass(frozen=True)
class World:
    network: Network
    contrasts: tuple[Contrast, ...]
    truth: Effects
    marginals: tuple[Marginal, ...] = ()
    name: str = "made"

    def study(self, epsilon: float, sites: Sites) -> Study:
        assert (epsilon, sites) == (1.0, CENTRAL)
        return self.network.study

    def records(self, rows: int, seed: int) -> Records:
        return Records(self.network.records(rows, np.random.default_rng(seed)))


def single(network: Network) -> dict[str, Table]:
    return {node: table[None] for node, table in network.tables.items()}


def test_contrasts_are_those_of_the_joint_distribution() -> None:
    network = asia()
    (found,) = contrast_effects(network.study.causal_graph, single(network), CONTRASTS)
    expected = [network.effect(one.treatment, one.outcome) for one in CONTRASTS]
    assert found == pytest.approx([expected[0], expected[1], -expected[2]], abs=1e-12)


def test_every_draw_has_its_own_effects() -> None:
    network = asia()
    other = {**network.tables, "lung": np.array([[0.9, 0.1], [0.9, 0.1]])}
    both = {node: np.stack([network.tables[node], other[node]]) for node in network.tables}
    found = contrast_effects(network.study.causal_graph, both, CONTRASTS[:1])
    assert found[:, 0] == pytest.approx([network.effect("smoke", "xray"), 0.0], abs=1e-12)


def test_codes_without_a_score_are_left_out_of_the_mean() -> None:
    network = mixed()
    contrast = Contrast("dose", "event", 2, 0, (0.0, 1.0, float("nan")))
    (found,) = contrast_effects(network.study.causal_graph, single(network), (contrast,))
    levels = [network.mean("event", {"dose": code}) for code in (2, 0)]
    assert found == pytest.approx([levels[0] - levels[1]], abs=1e-12)


def test_family_tables_are_marginals_of_the_joint_distribution() -> None:
    network = mixed()
    graph, joint = network.study.causal_graph, network.joint()
    for node, found in zip(graph.nodes, family_marginals(graph, single(network)), strict=True):
        family = graph.family(node)
        others = tuple(at for at, name in enumerate(graph.nodes) if name not in family)
        assert found == pytest.approx(joint.sum(axis=others), abs=1e-12)


def test_rows_answer_with_their_own_tables() -> None:
    network = asia()
    world = World(network, CONTRASTS, np.zeros(3))
    codes = world.records(200_000, 1).codes
    answer = from_rows(world, network.study, codes, 1.5)
    expected = [network.effect(one.treatment, one.outcome) for one in CONTRASTS[:2]]
    assert answer.effects[:2] == pytest.approx(expected, abs=0.02)
    assert np.isnan(answer.low).all()
    exact = counted(codes, network.study, ("smoke", "lung"))
    place = network.nodes.index("lung")
    assert answer.marginals[place] == pytest.approx(exact / 200_000)


def test_intervals_are_normal_and_cut_off_at_the_ends() -> None:
    network = asia()
    world = World(network, CONTRASTS[:1], np.zeros(1))
    lungs = [0.1, 0.2, 0.3]
    draws = {
        node: np.stack([network.tables[node]] * 3) for node in network.tables if node != "lung"
    } | {"lung": np.array([[[0.99, 0.01], [1 - share, share]] for share in lungs])}
    answer = from_draws(world, network.study, draws, 0.0)
    found = contrast_effects(network.study.causal_graph, draws, CONTRASTS[:1])[:, 0]
    reach = 1.959964 * found[1:].std()
    assert answer.effects == pytest.approx(found[:1])
    assert answer.low == pytest.approx(found[:1] - reach, abs=1e-6)
    assert answer.high == pytest.approx(found[:1] + reach, abs=1e-6)


def test_an_empty_row_has_the_nodes_own_distribution() -> None:
    found = conditional(np.array([[0.0, 0.0], [30.0, 10.0]]))
    assert found[0] == pytest.approx([0.75, 0.25])
    assert found[1] == pytest.approx([0.75, 0.25])


def test_total_variation_is_half_the_l1_distance_of_shares() -> None:
    assert half_l1(np.array([2.0, 2.0]), np.array([0.0, 1.0])) == pytest.approx(0.5)
    assert half_l1(np.array([3.0, 1.0]), np.array([0.75, 0.25])) == pytest.approx(0.0)
