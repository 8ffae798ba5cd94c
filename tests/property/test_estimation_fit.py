"""Whatever a round releases, the fit is a model: probabilities everywhere, nothing silent."""

from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from protocol.privacy.plan import StatisticsPlan, compile_plan
from server.causal.mechanisms.mechanism import WHOLE
from server.estimation.evidence import NoisySum
from server.estimation.fit import fit
from tests.support.networks import Network, mixed, tables_of


@cache
def study_and_plan() -> tuple[Network, StatisticsPlan]:
    made = mixed()
    return made, compile_plan(made.study)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    magnitude=st.sampled_from([0.0, 1.0, 1e3, 1e6, 1e12]),
    persons=st.integers(-(2**40), 2**40),
    contributors=st.integers(1, 200),
)
def test_any_sum_gives_mechanisms_that_are_probabilities(
    seed: int, magnitude: float, persons: int, contributors: int
) -> None:
    made, plan = study_and_plan()
    values = np.rint(magnitude * default_rng(seed).standard_cauchy(plan.length))
    values = np.clip(values, -(2.0**60), 2.0**60).astype(np.int64)
    values[plan.block(()).span] = persons
    model = fit(made.study, plan, NoisySum(plan, values, contributors), draws=20, seed=seed)
    for mechanism in tables_of(model).values():
        assert (mechanism.table >= 0).all()
        assert np.abs(mechanism.table.sum(axis=-1) - 1).max() < 1e-9
        assert (mechanism.parts.sum(axis=-1) == WHOLE).all()
        assert (mechanism.support >= 0).all()
    effect = model.effect("dose", "fever", treated="high", reference="none")
    assert effect.low <= effect.estimate <= effect.high
