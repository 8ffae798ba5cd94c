"""The committed vectors: the same study has the same plan on every machine and in every release."""

import json

import pytest

from tests.vectors.plan_vectors import CASES, VECTORS, vector

COMMITTED = json.loads(VECTORS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_plan_of_a_committed_study_is_what_it_was(name: str) -> None:
    assert vector(COMMITTED[name]["study"]) == COMMITTED[name]


def test_every_case_is_committed_and_some_are_refusals() -> None:
    assert set(COMMITTED) == set(CASES)
    assert {case["success"] for case in COMMITTED.values()} == {True, False}
