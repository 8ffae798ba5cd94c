import numpy as np
import pandas as pd
import pytest
from scipy import stats

from protocol.errors import UsageError
from server.causal.mechanisms.mechanism import TableMechanism
from server.causal.model import Model
from server.causal.sampling import tables
from server.causal.sampling.drawing import draw
from server.causal.sampling.nodes import TableNode
from server.causal.sampling.tables import compile_nodes, thresholds
from tests.support.networks import BOOLEAN, Network, asia, mixed, network, weights, yes

ROWS = 200_000
# Chi-squared tests below are seeded; with another seed each fails once in a million.
SIGNIFICANCE = 1e-6


def test_level_of_probability_zero_has_no_word() -> None:
    table = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert thresholds(table).T.tolist() == [
        [0, 2**32 - 1],
        [2**32 - 1, 2**32 - 1],
        [0, 0],
    ]
    largest = np.array([2**32 - 1], dtype=np.uint32)
    capped = np.minimum(largest, tables._CAP)
    assert (capped >= thresholds(table).T).sum(axis=1).tolist() == [1, 0, 2]


@pytest.mark.parametrize("made", [asia(), weights(), mixed()], ids=["asia", "weights", "mixed"])
def test_frequencies_agree_with_exact_marginals(made: Network) -> None:
    codes = made.model().codes(ROWS, seed=11)
    for position, node in enumerate(made.nodes):
        expected = made.marginal(node) * ROWS
        found = np.bincount(codes[position], minlength=len(expected))
        assert stats.chisquare(found, expected).pvalue > SIGNIFICANCE, node


def test_joint_frequencies_agree_with_the_tables() -> None:
    made = mixed()
    codes = made.model().codes(ROWS, seed=5)
    joint = made.joint()
    found = np.bincount(np.ravel_multi_index(tuple(codes), joint.shape), minlength=joint.size)
    frequent = joint.ravel() * ROWS > 5
    statistic = ((found - joint.ravel() * ROWS) ** 2 / (joint.ravel() * ROWS))[frequent].sum()
    assert stats.chi2.sf(statistic, frequent.sum()) > SIGNIFICANCE


def test_intervention_changes_no_column_but_descendants() -> None:
    made = asia()
    observed = made.model().codes(10_000, seed=3)
    intervened = made.model().do({"lung": 1}).codes(10_000, seed=3)
    changed = {"lung", *made.study.causal_graph.descendants("lung")}
    for position, node in enumerate(made.nodes):
        same = bool((observed[position] == intervened[position]).all())
        assert same == (node not in changed), node


def test_intervened_frequencies_agree_with_the_truncated_factorisation() -> None:
    made = mixed()
    codes = made.model().do({"dose": "high"}).codes(ROWS, seed=8)
    expected = made.marginal("fever", {"dose": 2}) * ROWS
    found = np.bincount(codes[made.nodes.index("fever")], minlength=2)
    assert stats.chisquare(found, expected).pvalue > SIGNIFICANCE


def test_column_does_not_depend_on_which_other_nodes_exist() -> None:
    both = network(
        {"a": 'kind = "boolean"', "b": 'kind = "boolean"'}, [], {"a": yes(0.3), "b": yes(0.6)}
    )
    alone = network({"b": 'kind = "boolean"'}, [], {"b": yes(0.6)})
    together = both.model().codes(1000, seed=4)[1]
    assert together.tolist() == alone.model().codes(1000, seed=4)[0].tolist()


def test_many_levels_are_held_in_sixteen_bits() -> None:
    table = np.full(300, 1 / 300)
    nodes = compile_nodes(("wide",), {"wide": ()}, {"wide": table}, {})
    codes = draw([TableNode(node, None, None) for node in nodes], 1, 0, 5000).codes
    assert codes.dtype == np.int16
    assert codes.max() > 280


def test_few_levels_are_held_in_eight_bits() -> None:
    assert asia().model().codes(5, seed=1).dtype == np.int8


def test_no_rows_are_a_valid_sample() -> None:
    assert asia().model().codes(0, seed=1, start=5).shape == (8, 0)
    assert len(asia().model().sample(0, seed=1)) == 0


@pytest.mark.parametrize(("rows", "start"), [(-1, 0), (5, -1)])
def test_negative_rows_are_refused(rows: int, start: int) -> None:
    with pytest.raises(UsageError) as refusal:
        asia().model().codes(rows, seed=1, start=start)
    assert refusal.value.code == "rows-out-of-range"


def test_empty_batch_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        next(asia().model().iter_batches(10, seed=1, batch=0))
    assert refusal.value.code == "rows-out-of-range"


def test_seed_outside_64_bits_is_refused_by_the_model() -> None:
    model: Model = asia().model()
    with pytest.raises(UsageError) as refusal:
        model.sample(1, seed=-1)
    assert refusal.value.code == "seed-out-of-range"


def test_a_draw_is_sampled_by_its_own_parameters() -> None:
    made = network({"x": BOOLEAN}, [], {"x": yes(0.5)})
    model = made.model()
    mechanism = model.mechanisms["x"]
    assert isinstance(mechanism, TableMechanism)
    shares = [model.codes(ROWS, seed=2, draw=draw).mean() for draw in range(model.draws)]
    expected = mechanism.draws[:, 1]
    assert np.abs(np.array(shares) - expected).max() < 4 * 0.5 / ROWS**0.5
    assert len(set(shares)) > 1


def test_batches_of_a_draw_are_the_rows_of_that_draw() -> None:
    model = asia().model()
    whole = model.sample(1000, seed=3, draw=7)
    parts = list(model.iter_batches(1000, seed=3, batch=300, draw=7))
    pd.testing.assert_frame_equal(pd.concat(parts), whole)
    assert not whole.equals(model.sample(1000, seed=3))


@pytest.mark.parametrize("draw", [-1, 20])
def test_a_draw_that_is_not_there_is_refused(draw: int) -> None:
    with pytest.raises(UsageError, match="from 0 to 19") as caught:
        asia().model(draws=20).sample(1, seed=1, draw=draw)
    assert caught.value.code == "draw-out-of-range"
