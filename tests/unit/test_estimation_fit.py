from functools import cache

import numpy as np
import pytest
from numpy.random import default_rng

from protocol.errors import UsageError
from protocol.privacy.plan import StatisticsPlan, compile_plan
from server.causal.mechanisms.mechanism import WHOLE
from server.causal.model import Model
from server.estimation import blend
from server.estimation import table_mechanism as fitting
from server.estimation.evidence import NoisySum
from server.estimation.fit import fit
from tests.support.networks import Network, asia, mixed, release, tables_of, weights


@cache
def plan_of(name: str) -> tuple[Network, StatisticsPlan]:
    made = {"asia": asia, "mixed": mixed, "weights": weights}[name]()
    return made, compile_plan(made.study)


def fitted(name: str, rows: int, *, seed: int = 1, noise: bool = True) -> Model:
    made, plan = plan_of(name)
    generator = default_rng(rows)
    records = made.records(rows, generator)
    noisy = release(plan, records, made.study, generator if noise else None)
    return fit(made.study, plan, noisy, draws=40, seed=seed)


@pytest.mark.parametrize("name", ["asia", "mixed", "weights"])
def test_many_persons_give_the_true_mechanisms(name: str) -> None:
    made, _ = plan_of(name)
    model = fitted(name, 2_000_000)
    for node in made.nodes:
        found, shares = tables_of(model)[node], made.tables[node]
        weight = found.support / found.support.sum()
        distance = 0.5 * np.abs(found.table - shares).sum(axis=-1)
        assert (weight * distance).sum() < 6e-3, node  # sampling alone: about 4e-3


def test_effect_of_many_persons_is_the_true_effect() -> None:
    made, _ = plan_of("weights")
    found = fitted("weights", 2_000_000).effect("quitting", "change")
    assert found.estimate == pytest.approx(made.effect("quitting", "change"), abs=0.06)
    assert found.standard_error < 0.05


def test_fit_is_a_function_of_sum_and_seed() -> None:
    assert fitted("weights", 1500).to_json() == fitted("weights", 1500).to_json()
    assert fitted("weights", 1500).to_json() != fitted("weights", 1500, seed=2).to_json()


def test_seed_changes_draws_but_no_estimate() -> None:
    one, other = fitted("mixed", 800), fitted("mixed", 800, seed=2)
    for node, mechanism in tables_of(one).items():
        assert mechanism.table.tobytes() == tables_of(other)[node].table.tobytes()
        assert mechanism.parts.tobytes() != tables_of(other)[node].parts.tobytes()


def test_fitted_model_survives_its_file() -> None:
    model = fitted("mixed", 800)
    assert Model.from_json(model.to_json()).to_json() == model.to_json()


def test_provenance_names_study_plan_and_contributors() -> None:
    made, plan = plan_of("mixed")
    provenance = fitted("mixed", 100).provenance
    assert provenance.study_hash == made.study.hash
    assert provenance.plan_hash == plan.hash
    assert provenance.contributors == 3


def test_support_counts_the_persons_of_each_parent_row() -> None:
    made, _ = plan_of("asia")
    support = tables_of(fitted("asia", 20_000))["lung"].support
    assert support == pytest.approx(20_000 * made.marginal("smoke"), rel=0.05)


@pytest.mark.parametrize("fill", [0, -10_000, 10_000], ids=["no data", "negative", "constant"])
def test_sum_without_signal_still_gives_a_model(fill: int) -> None:
    made, plan = plan_of("mixed")
    noisy = NoisySum(plan, np.full(plan.length, fill, dtype=np.int64), 3)
    model = fit(made.study, plan, noisy, draws=20, seed=1)
    for mechanism in tables_of(model).values():
        assert (mechanism.table >= 0).all()
        assert mechanism.table.sum(axis=-1) == pytest.approx(1.0)
        assert (mechanism.parts.sum(axis=-1) == WHOLE).all()
    assert len(model.sample(10, seed=1)) == 10


def test_sum_of_noise_alone_has_an_interval_that_says_so() -> None:
    made, plan = plan_of("weights")
    nobody = made.records(0, default_rng(1))
    found = []
    for seed in range(10):
        noisy = release(plan, nobody, made.study, default_rng(seed))
        found.append(fit(made.study, plan, noisy, seed=1).effect("quitting", "change"))
    # kg; the outcome's own standard deviation is about 8
    assert min(effect.standard_error for effect in found) > 3
    assert sum(effect.low < 0 < effect.high for effect in found) >= 8


def test_very_large_families_are_fitted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blend, "fits_in", lambda _family: False)
    made, _ = plan_of("mixed")
    model = fitted("mixed", 2_000_000)
    for node in made.nodes:
        assert tables_of(model)[node].table == pytest.approx(made.tables[node], abs=0.02)


def test_draws_in_batches_have_the_shape_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_CELLS_AT_ONCE", 1)
    assert tables_of(fitted("mixed", 500))["dose"].parts.shape == (40, 3, 4, 4)


def test_plan_of_another_study_is_refused() -> None:
    made, plan = plan_of("mixed")
    other, other_plan = plan_of("asia")
    noisy = NoisySum(plan, np.zeros(plan.length, dtype=np.int64), 3)
    for study, with_plan in ((other.study, plan), (made.study, other_plan)):
        with pytest.raises(UsageError) as refusal:
            fit(study, with_plan, noisy, seed=1)
        assert refusal.value.code == "other-study"


@pytest.mark.parametrize("draws", [0, 19, 2**27])
def test_number_of_draws_out_of_range_is_refused(draws: int) -> None:
    made, plan = plan_of("mixed")
    noisy = NoisySum(plan, np.zeros(plan.length, dtype=np.int64), 3)
    with pytest.raises(UsageError) as refusal:
        fit(made.study, plan, noisy, draws=draws, seed=1)
    assert refusal.value.code == "draws-out-of-range"


def test_seed_outside_64_bits_is_refused() -> None:
    made, plan = plan_of("mixed")
    noisy = NoisySum(plan, np.zeros(plan.length, dtype=np.int64), 3)
    with pytest.raises(UsageError) as refusal:
        fit(made.study, plan, noisy, seed=2**64)
    assert refusal.value.code == "seed-out-of-range"
