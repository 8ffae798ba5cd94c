"""The descriptor: its bytes, its signature, and one refusal for each way to differ."""

from dataclasses import replace
from typing import Any

import pytest

from protocol.errors import PeerError, PolicyError
from protocol.identifiers import Digest
from protocol.secagg.coordinator import open_round
from protocol.secagg.descriptor import (
    SignedDescriptor,
    check_descriptor,
    check_rules,
    sign_descriptor,
)
from tests.support.secagg_network import Consortium, consortium

WORLD = consortium(5, threshold=4, n_min=4, colluders=1)
DESCRIPTOR, ROSTER, TERMS = WORLD.descriptor, WORLD.roster, WORLD.terms
OTHER = Digest(bytes(32))


def test_the_encoding_has_the_length_that_the_specification_states() -> None:
    assert len(DESCRIPTOR.encode()) == 129
    assert len(WORLD.signed.encode()) == 193


def test_decoding_gives_back_the_signed_descriptor() -> None:
    assert SignedDescriptor.decode(WORLD.signed.encode()) == WORLD.signed


@pytest.mark.parametrize(
    "changes",
    [
        {"counter": 2},
        {"roster_hash": OTHER},
        {"study_hash": OTHER},
        {"plan_hash": OTHER},
        {"length": 8},
        {"narrow": 4},
        {"threshold": 5},
        {"n_min": 5},
        {"colluders": 0},
        {"deadline": 0},
        {"protocol_version": 2},
    ],
    ids=str,
)
def test_every_field_enters_the_session_id(changes: dict[str, Any]) -> None:
    assert replace(DESCRIPTOR, **changes).session != DESCRIPTOR.session


def test_what_a_site_approved_is_accepted() -> None:
    check_descriptor(DESCRIPTOR, ROSTER, TERMS)


def test_stricter_rules_than_the_study_are_accepted() -> None:
    check_descriptor(replace(DESCRIPTOR, n_min=5, threshold=5), ROSTER, TERMS)


REFUSED: dict[str, dict[str, Any]] = {
    "unsupported-version": {"protocol_version": 2},
    "other-roster": {"roster_hash": OTHER},
    "other-study": {"study_hash": OTHER},
    "other-plan": {"plan_hash": OTHER},
    "other-length": {"length": 8},
    "other-widths": {"narrow": 2},
    "cohort-below-policy": {"n_min": 3},
    "threshold-below-policy": {"threshold": 3},
    "colluders-below-policy": {"colluders": 0},
    "unsafe-threshold": {"colluders": 3},
    "unsafe-cohort": {"threshold": 5},
}


@pytest.mark.parametrize(("code", "changes"), REFUSED.items(), ids=REFUSED)
def test_a_descriptor_that_differs_is_refused_by_its_own_code(
    code: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(PolicyError) as refused:
        check_descriptor(replace(DESCRIPTOR, **changes), ROSTER, TERMS)
    assert refused.value.code == code
    assert refused.value.remedy


def test_a_cohort_above_the_roster_is_refused() -> None:
    with pytest.raises(PolicyError) as refused:
        check_rules(replace(DESCRIPTOR, n_min=6), ROSTER)
    assert refused.value.code == "unsafe-cohort"


def test_terms_of_another_roster_are_refused() -> None:
    with pytest.raises(PolicyError) as refused:
        check_descriptor(DESCRIPTOR, ROSTER, replace(TERMS, roster_hash=OTHER))
    assert refused.value.code == "other-roster"


@pytest.mark.parametrize("changes", [{"roster_hash": OTHER}, {"protocol_version": 2}], ids=str)
def test_the_coordinator_opens_no_round_that_breaks_a_rule(changes: dict[str, Any]) -> None:
    world: Consortium = WORLD.issue(**changes)
    with pytest.raises(PolicyError):
        open_round(world.signed, world.roster)


def test_a_descriptor_signed_by_someone_else_is_refused() -> None:
    forged = sign_descriptor(DESCRIPTOR, WORLD.keys[0])
    with pytest.raises(PeerError) as refused:
        open_round(forged, ROSTER)
    assert refused.value.code == "bad-signature"


def test_no_two_quorums_fit_beside_the_colluders() -> None:
    for n in range(1, 30):
        for c in range(n):
            t = (n + c) // 2 + 1
            honest_in_both = 2 * t - n - c
            assert honest_in_both > 0
            assert 2 * (t - 1) <= n + c
