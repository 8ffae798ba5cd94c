"""Which parts of a mechanism rest on their own data, and which cannot."""

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from protocol.privacy.residuals import rebuild, subsets
from server.causal.mechanisms.mechanism import TableMechanism
from server.causal.model import Model
from server.estimation.evidence import NoisySum
from server.estimation.fit import fit
from server.release.basis import Basis
from server.release.support import find_support, row_deviation
from tests.support.release_rounds import basis_of, play_round


@pytest.fixture(scope="module")
def basis() -> Basis:
    return basis_of(play_round())


@pytest.fixture(scope="module")
def model(basis: Basis) -> Model:
    return fit(basis.study, basis.plan, basis.noisy, draws=20, seed=1)


def with_support(model: Model, node: str, support: list[list[float]]) -> Model:
    mechanism = model.mechanisms[node]
    assert isinstance(mechanism, TableMechanism)
    thin = replace(mechanism, support=np.array(support))
    return replace(model, mechanisms=MappingProxyType({**model.mechanisms, node: thin}))


def test_the_noise_of_a_row_count_is_that_of_the_rebuilt_marginal(basis: Basis) -> None:
    parents = basis.study.causal_graph.parents["sleep"]
    rng = np.random.default_rng(11)
    deviations = np.zeros(basis.plan.length)
    for block in basis.plan.blocks:
        deviations[block.span] = float(block.variance(3)) ** 0.5
    tables = []
    for _ in range(3000):
        noise = np.rint(rng.normal(0, deviations)).astype(np.int64)
        noisy = NoisySum(plan=basis.plan, values=noise, contributors=3)
        parts = {clique: noisy.component(clique) for clique in subsets(parents)}
        tables.append(rebuild(parts, parents, basis.study.sizes(parents)))
    np.testing.assert_allclose(
        np.std(tables, axis=0), row_deviation(basis.noisy, parents), rtol=0.06
    )


def test_rows_with_plenty_of_persons_are_not_weak(basis: Basis, model: Model) -> None:
    full = with_support(model, "sleep", [[900.0, 900.0], [900.0, 900.0]])
    sleep = find_support(full, basis.noisy)[-1]
    assert (sleep.node, sleep.rows, sleep.weak_rows, sleep.weak_share) == ("sleep", 4, 0, 0.0)


def test_rows_within_their_noise_are_weak_by_their_share_of_persons(
    basis: Basis, model: Model
) -> None:
    thin = with_support(model, "sleep", [[994.0, 1.0], [5.0, 0.0]])
    sleep = find_support(thin, basis.noisy)[-1]
    assert sleep.weak_rows == 3
    assert sleep.weak_share == pytest.approx(0.006)


def test_without_any_person_every_row_is_weak(basis: Basis, model: Model) -> None:
    empty = with_support(model, "sleep", [[0.0, 0.0], [0.0, 0.0]])
    assert find_support(empty, basis.noisy)[-1].weak_share == 1.0


def test_roots_have_no_rows_to_speak_of(basis: Basis, model: Model) -> None:
    assert [it.node for it in find_support(model, basis.noisy)] == ["coffee", "sleep"]
