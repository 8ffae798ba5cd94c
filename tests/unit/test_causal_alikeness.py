"""Fits that differ by rounding are the same, others are not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from server.causal.mechanisms.alikeness import alike, alike_placements
from server.causal.mechanisms.mechanism import Censoring, Placement, Terms, apportion
from tests.support.causal_models import DRAWS, mixed_model

MODEL = mixed_model()
TABLE, RULE = (MODEL.mechanisms[node] for node in ("visits", "dose"))
REGRESSION: Any = MODEL.mechanisms["pressure"]
TERMS = Terms(("(constant)",), np.array([2.0]), np.full((DRAWS, 1), 2.0))
SHARES = np.array([[0.5, 0.5], [0.5, 0.5]])
CENSORING = Censoring(SHARES, apportion(np.repeat(SHARES[None], DRAWS, axis=0)))
FULL: Any = replace(TABLE, terms=TERMS, censoring=CENSORING)  # type: ignore[arg-type]


@pytest.mark.parametrize("mechanism", [FULL, REGRESSION, RULE], ids=["table", "regression", "rule"])
def test_mechanism_is_like_itself_and_no_other(mechanism: Any) -> None:
    assert alike(mechanism, replace(mechanism))
    assert not alike(mechanism, replace(mechanism, node="other"))
    for other in (FULL, REGRESSION, RULE):
        assert alike(mechanism, other) is (mechanism is other)


CHANGES: dict[str, Callable[[float], Any]] = {
    "table": lambda by: replace(FULL, table=FULL.table + by),
    "support": lambda by: replace(FULL, support=FULL.support * (1 + 1e3 * by)),
    "terms": lambda by: replace(FULL, terms=replace(TERMS, estimate=TERMS.estimate + 1e3 * by)),
    "drawn terms": lambda by: replace(FULL, terms=replace(TERMS, draws=TERMS.draws + 1e3 * by)),
    "censoring": lambda by: replace(FULL, censoring=replace(CENSORING, table=SHARES + by)),
    "coefficients": lambda by: replace(
        REGRESSION,
        coefficients=REGRESSION.coefficients * (1 + 1e3 * by),
    ),
    "scale": lambda by: replace(
        REGRESSION,
        scale=REGRESSION.scale * (1 + 1e3 * by),
    ),
}


@pytest.mark.parametrize("part", CHANGES)
def test_rounding_is_forgiven_and_no_more(part: str) -> None:
    original = FULL if part not in ("coefficients", "scale") else REGRESSION
    assert alike(original, CHANGES[part](1e-13))
    assert not alike(original, CHANGES[part](1e-7))


@pytest.mark.parametrize("part", ["terms", "censoring"])
def test_what_one_fit_lacks_makes_another(part: str) -> None:
    assert not alike(FULL, replace(FULL, **{part: None}))


def test_draws_may_differ_by_two_parts_per_million() -> None:
    moved = FULL.parts.copy()
    moved[0, 0] = moved[0, 0].astype(np.int64) + np.array([2, -2])
    assert alike(FULL, replace(FULL, parts=moved))
    moved[0, 0, 0] += 1
    assert not alike(FULL, replace(FULL, parts=moved))


def test_draws_of_another_number_make_another_fit() -> None:
    assert not alike(FULL, replace(FULL, parts=FULL.parts[1:]))


def test_placements_are_alike_up_to_rounding() -> None:
    name, one = next(iter(MODEL.placements.items()))
    near = Placement(name, one.edges, one.shares + 1e-13)
    assert alike_placements({name: one}, {name: near})
    assert not alike_placements({name: one}, {name: Placement(name, one.edges, one.shares[1:])})
    assert not alike_placements({name: one}, {})
    assert not alike_placements({name: one}, {name: Placement(name, one.edges + 1, one.shares)})
