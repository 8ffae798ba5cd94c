"""Regressions that a table is summarised by, against plain Newton fits on the records."""

from typing import Any

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from scipy import special

from server.causal.mechanisms.mechanism import TableMechanism
from server.causal.model import Model
from server.estimation.fit import fit
from tests.support.mixed_rounds import release_columns, simulated

Reals = NDArray[Any]

TEXT = """\
[variables]
site = {{ kind = "categorical", levels = ["a", "b"], other = true }}
stage = {{ kind = "ordinal", levels = ["I", "II", "III"] }}
age = {{ kind = "numeric", edges = [0, 2, 4, 6] }}
y = {node}
[mechanisms]
y = "{kind}"
[graph]
edges = ["site -> y", "stage -> y", "age -> y"]
"""
NODES = {
    "logistic": '{ kind = "boolean" }',
    "poisson": '{ kind = "count", edges = [0, 1, 2, 3, 5, 9, 30] }',
    "negative-binomial": '{ kind = "count", edges = [0, 1, 2, 3, 5, 9, 30] }',
}
TRUTH = np.array([-0.5, 0.2, 0.6, -0.4, 0.3])  # constant, age, site = b, site = OTHER, stage


def drawn(kind: str, persons: int, generator: Generator) -> dict[str, NDArray[np.float64]]:
    """Return records whose y is a regression on the scores of the bins."""
    site, stage = generator.integers(0, 3, persons), generator.choice(3, persons, p=[0.6, 0.3, 0.1])
    age = generator.uniform(0, 6, persons)
    predictor = design(site, stage, age) @ TRUTH
    if kind == "logistic":
        y = (generator.random(persons) < special.expit(predictor)).astype(np.float64)
    else:
        frailty = generator.gamma(2.0, 0.5, persons) if kind == "negative-binomial" else 1.0
        y = generator.poisson(np.exp(predictor) * frailty).astype(np.float64)
    return {"site": site, "stage": stage, "age": age, "y": y}


def design(site: Reals, stage: Reals, age: Reals) -> Reals:
    middle = np.minimum(age // 2, 2) * 2 + 1
    return np.array([np.ones(len(age)), middle, site == 1, site == 2, stage], dtype=float).T


def fitted(
    kind: str, columns: dict[str, NDArray[np.float64]], generator: Generator | None = None
) -> Model:
    study, plan = simulated(TEXT.format(kind=kind, node=NODES[kind]))
    return fit(study, plan, release_columns(study, plan, columns, generator), seed=1)


def mechanism(model: Model) -> TableMechanism:
    found = model.mechanisms["y"]
    assert isinstance(found, TableMechanism)
    assert found.terms is not None
    return found


@pytest.mark.parametrize("kind", ["logistic", "poisson"])
def test_without_noise_the_terms_are_those_of_the_records(kind: str) -> None:
    columns = drawn(kind, 200_000, default_rng(1))
    x, y, expected = (
        design(columns["site"], columns["stage"], columns["age"]),
        columns["y"],
        np.zeros(5),
    )
    for _ in range(25):
        mean = special.expit(x @ expected) if kind == "logistic" else np.exp(x @ expected)
        slope = mean * (1 - mean) if kind == "logistic" else mean
        expected = expected + np.linalg.solve((x.T * slope) @ x, x.T @ (y - mean))
    found = mechanism(fitted(kind, columns)).terms
    assert found is not None
    assert found.names == ("(constant)", "age", "site = b", "site = OTHER", "stage")
    # bins of several counts lose a little of what the counts tell
    assert found.estimate == pytest.approx(expected, abs=0.004 if kind == "logistic" else 0.015)


def test_negative_binomial_has_the_dispersion_of_the_records() -> None:
    found = mechanism(
        fitted("negative-binomial", drawn("negative-binomial", 200_000, default_rng(2)))
    )
    assert found.terms is not None
    assert found.terms.names[-1] == "log dispersion"
    assert found.terms.estimate == pytest.approx([*TRUTH, np.log(0.5)], abs=0.06)


def test_table_is_that_of_the_regression() -> None:
    found = mechanism(fitted("logistic", drawn("logistic", 200_000, default_rng(3))))
    model_design = {"site": 3, "stage": 3, "age": 3}
    shape = tuple(model_design[parent] for parent in found.parents)
    codes = dict(zip(found.parents, np.indices(shape).reshape(3, -1), strict=True))
    x = design(codes["site"], codes["stage"], codes["age"] * 2.0)
    assert found.table.reshape(-1, 2)[:, 1] == pytest.approx(special.expit(x @ TRUTH), abs=0.02)


@pytest.mark.parametrize("kind", NODES)
def test_nobody_at_all_still_gives_a_mechanism(kind: str) -> None:
    nobody = drawn(kind, 0, default_rng(4))
    for generator in (None, default_rng(5)):
        model = fitted(kind, nobody, generator)
        found = mechanism(model)
        assert found.table.sum(axis=-1) == pytest.approx(1.0)
        assert found.terms is not None
        assert np.isfinite(found.terms.draws).all()
        assert (found.terms.draws.std(axis=0)[1:] > 0.3).all()
        assert "rows-below-noise" in {one.code for one in model.cautions if one.node == "y"}


def test_parents_with_more_cells_than_persons_are_smoothed_by_the_regression() -> None:
    columns = drawn("logistic", 3000, default_rng(6))
    found = mechanism(fitted("logistic", columns, default_rng(7)))
    assert found.terms is not None
    apart = np.abs(found.terms.estimate - TRUTH) / found.terms.draws.std(axis=0)
    assert (apart < 3).all()


def test_response_that_never_varies_gives_finite_terms() -> None:
    columns = drawn("logistic", 20_000, default_rng(8)) | {"y": np.ones(20_000)}
    found = mechanism(fitted("logistic", columns))
    assert found.terms is not None
    assert np.isfinite(found.terms.estimate).all()
    assert (found.table[..., 1] > 0.9).mean() > 0.9
