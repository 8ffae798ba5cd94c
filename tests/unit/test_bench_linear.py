"""Linear Gaussian models of the utility benchmark: their effects, intervals and rows."""

import numpy as np
import pytest

from bench.utility.bundle import GaussianNode
from bench.utility.gaussian import GaussianNetwork
from bench.utility.linear import least_squares, line_rows, linear_answer
from bench.utility.studies import study_of
from bench.utility.world import Contrast, Records
from server.causal.mechanisms.mechanism import RegressionMechanism

BODY = """graph = { edges = ["a -> b", "a -> c", "b -> c"] }
mechanisms = { a = "gaussian", b = "gaussian", c = "gaussian" }
""" + "".join(
    f'[variables.{name}]\nkind = "numeric"\nedges = [-3, -1, 1, 3]\n' for name in ("a", "b", "c")
)
STUDY = study_of("lines", BODY)
CONTRASTS = (
    Contrast("a", "c", 2, 0, (0.0, 0.5, 1.0)),
    Contrast("b", "c", 1, 2, (0.0, 0.5, 1.0)),
)
WORLD = GaussianNetwork(
    name="lines",
    body=BODY,
    nodes={"a": GaussianNode("a", 0.0, {}, 1.0)},
    edges={name: np.array([-3.0, -1.0, 1.0, 3.0]) for name in ("a", "b", "c")},
    contrasts=CONTRASTS,
    truth=np.zeros(2),
    marginals=(),
)


def line(node: str, parents: tuple[str, ...], *coefficients: list[float]) -> RegressionMechanism:
    """Return a mechanism with one list of (constant, slopes ..) for the estimate and each draw."""
    return RegressionMechanism(
        node=node,
        parents=parents,
        rows=(),
        regressors=parents,
        response="gaussian",
        coefficients=np.array(coefficients),
        scale=np.full(len(coefficients), 0.5),
        bounds=(-3.0, 3.0),
        support=np.array(100.0),
    )


LINES = {
    "a": line("a", (), [0.1], [0.1], [0.1]),
    "b": line("b", ("a",), [0.0, 0.5], [0.0, 0.4], [0.0, 0.6]),
    "c": line("c", ("a", "b"), [0.0, 0.2, -0.4], [0.0, 0.2, -0.4], [0.0, 0.2, -0.4]),
}


def test_effects_go_along_all_paths_from_midpoint_to_midpoint() -> None:
    answer = linear_answer(WORLD, STUDY, LINES, 1.0)
    slope = 0.2 - 0.5 * 0.4
    assert answer.effects == pytest.approx([slope * 4 / 4, -0.4 * -2 / 4])


def test_intervals_come_from_the_draws() -> None:
    answer = linear_answer(WORLD, STUDY, LINES, 1.0)
    reach = 1.959964 * 0.1 * 0.4
    assert answer.high - answer.effects == pytest.approx([reach, 0.0], abs=1e-6)
    assert answer.effects - answer.low == pytest.approx([reach, 0.0], abs=1e-6)


def test_rows_of_a_model_lead_back_to_its_effects() -> None:
    rows = line_rows(WORLD, STUDY, LINES, 200_000, np.random.default_rng(1))
    found = least_squares(WORLD, STUDY, rows, 1.0)
    assert found.effects == pytest.approx(linear_answer(WORLD, STUDY, LINES, 1.0).effects, abs=0.01)
    assert np.isnan(found.low).all()
    assert [table.shape for table in found.marginals] == [(3,), (3, 3), (3, 3, 3)]


def test_least_squares_without_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="rows with numbers"):
        least_squares(WORLD, STUDY, Records(np.zeros((2, 3), dtype=np.int64)), 1.0)
