"""Several data sets of one model: other parameters and other noise in each."""

import numpy as np
import pandas as pd
import pytest

from protocol.errors import UsageError
from server.causal.synthetic.copies import Copy, plan_copies
from tests.support.networks import BOOLEAN, asia, network, yes


def test_one_data_set_is_drawn_from_the_point_estimate_with_the_seed_itself() -> None:
    assert plan_copies(1, seed=7, draws=200) == (Copy(1, 7, None),)


def test_copies_spread_evenly_over_the_draws() -> None:
    assert [copy.draw for copy in plan_copies(4, seed=7, draws=200)] == [0, 50, 100, 150]
    for copies in (2, 7, 100, 200):
        taken = [copy.draw for copy in plan_copies(copies, seed=7, draws=200)]
        assert len(set(taken)) == copies


def test_every_copy_has_a_stream_of_its_own() -> None:
    seeds = [copy.seed for seed in (1, 2) for copy in plan_copies(100, seed=seed, draws=200)]
    assert len(set(seeds)) == 200
    assert max(seeds) < 2**53  # exact in JSON


@pytest.mark.parametrize("copies", [0, -1, 21])
def test_more_copies_than_draws_or_none_are_refused(copies: int) -> None:
    with pytest.raises(UsageError, match="1 to 20") as caught:
        plan_copies(copies, seed=1, draws=20)
    assert caught.value.code == "copies-out-of-range"


def test_a_seed_outside_64_bits_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        plan_copies(2, seed=2**64, draws=20)
    assert caught.value.code == "seed-out-of-range"


def test_copies_of_a_model_are_samples_of_its_draws() -> None:
    model = asia().model()
    copies = list(model.sample_copies(3, rows=200, seed=5))
    for frame, copy in zip(copies, plan_copies(3, seed=5, draws=model.draws), strict=True):
        pd.testing.assert_frame_equal(frame, model.sample(200, copy.seed, draw=copy.draw))
    (single,) = model.sample_copies(1, rows=200, seed=5)
    pd.testing.assert_frame_equal(single, model.sample(200, 5))


def test_rows_of_two_copies_are_independent() -> None:
    model = network({"x": BOOLEAN}, [], {"x": yes(0.5)}).model()
    first, second = (frame["x"].to_numpy() for frame in model.sample_copies(2, 10_000, seed=1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05
