"""Compiled kernels give the bytes of numpy."""

import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray
from scipy import special

from server.causal.sampling import kernels
from server.causal.sampling.drawing import draw
from server.causal.sampling.engine import Engine
from server.causal.sampling.nodes import TableNode
from server.causal.sampling.noise import Words, fractions, key_of
from server.causal.sampling.normal import logarithm, normal_quantile
from server.causal.sampling.tables import compile_nodes
from tests.support.causal_models import mixed_model, visits_model

STEP = 2.0**-53
EDGES = np.array([0, 1, 2, 3, 2**52 - 1, 2**52, 2**52 + 1, 2**53 - 2, 2**53 - 1]) * STEP
MEETING = np.rint(np.array([0.075, 0.925]) / STEP)  # of the approximations
NEAR = ((MEETING[:, None] + np.arange(-50, 51)) * STEP).ravel()


@pytest.mark.parametrize(("seed", "label", "first"), [(0, "x", 0), (2**64 - 1, "y/within", 8)])
def test_words_are_those_of_numpy(seed: int, label: str, first: int) -> None:
    raw = np.empty(64, dtype=np.uint64)
    kernels.words_into(raw, np.uint64(seed), np.uint64(key_of(label)), first // 8)
    assert raw.view(np.uint32).tolist() == Words(seed, label, first).take(128).tolist()


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 1001])
def test_fractions_are_those_of_numpy(rows: int) -> None:
    found = np.empty(rows)
    kernels.fractions_into(found, np.uint64(7), np.uint64(key_of("x")), 2)
    assert found.tolist() == fractions(7, "x", 8, rows).tolist()


def uniforms() -> NDArray[np.float64]:
    spread = default_rng(1).integers(0, 2**53, 400_000) * STEP
    tail = np.arange(1, 2000) * STEP
    small = np.rint(np.logspace(-15.5, -1, 20_000) / STEP) * STEP
    return np.concatenate([spread, EDGES, NEAR, tail, 1 - tail, small, 1 - small])


def test_normal_quantiles_are_the_same_bytes_compiled_and_not() -> None:
    given = uniforms()
    found = np.empty_like(given)
    kernels.quantiles_into(found, given)
    assert found.tobytes() == normal_quantile(given).tobytes()


def test_normal_quantiles_are_right_to_the_last_digits() -> None:
    given = uniforms()
    lower = given[given < 0.5]
    expected = special.ndtri(lower + STEP / 2)  # below one half the sum is exact
    assert np.abs(normal_quantile(lower) / expected - 1).max() < 2e-15
    found = normal_quantile(np.array([0.0, 1.0 - STEP]))
    assert found[0] == -found[1]
    assert np.isfinite(found).all()


def test_normal_quantiles_are_symmetric() -> None:
    given = uniforms()
    mirrored = (1.0 - STEP) - given
    assert (normal_quantile(mirrored) == -normal_quantile(given)).all()


def test_logarithms_are_within_an_ulp_of_the_librarys() -> None:
    given = np.concatenate([default_rng(2).random(200_000), np.logspace(-16, 0, 10_001)])
    given = given[given > 0]
    library = np.log(given)
    assert (np.abs(logarithm(given) - library) <= np.spacing(np.abs(library))).all()


@pytest.mark.parametrize("size", [2, 3, 4, 5, 12, 13, 14, 40, 300])
@pytest.mark.parametrize("parents", [0, 1, 2, 3])
def test_tables_of_every_shape_are_drawn_alike(size: int, parents: int) -> None:
    generator = default_rng(size + parents)
    order = [*(f"p{at}" for at in range(parents)), "x"]
    sizes = [2, 3, 5][:parents]
    tables = {f"p{at}": generator.dirichlet(np.ones(sizes[at])) for at in range(parents)}
    tables["x"] = generator.dirichlet(np.ones(size), size=tuple(sizes)).reshape(*sizes, size)
    tables["x"][..., 0] = 0.0  # a level without a probability, and one after another
    tables["x"] /= tables["x"].sum(axis=-1, keepdims=True)
    links = {name: order[:-1] if name == "x" else [] for name in order}
    nodes = [TableNode(node, None, None) for node in compile_nodes(order, links, tables, {})]
    found = [draw(nodes, 5, 3, 4001, Engine(path)).codes for path in ("numpy", "numba")]
    assert found[0].dtype == found[1].dtype
    assert found[0].tobytes() == found[1].tobytes()
    assert found[0][-1].min() > 0


@pytest.mark.parametrize("name", ["mixed", "visits"])
def test_worlds_of_all_kinds_are_drawn_alike(name: str) -> None:
    model = mixed_model() if name == "mixed" else visits_model()
    nodes = model.world.compiled(3)
    plain = draw(nodes, 9, 5, 3000, Engine("numpy", chunk_rows=800))
    compiled = draw(nodes, 9, 5, 3000, Engine("numba", threads=2, chunk_rows=256))
    assert plain.codes.tobytes() == compiled.codes.tobytes()
    for at, column in plain.values.items():
        assert column.tobytes() == compiled.values[at].tobytes()
    for at, column in plain.ends.items():
        assert column.tobytes() == compiled.ends[at].tobytes()
