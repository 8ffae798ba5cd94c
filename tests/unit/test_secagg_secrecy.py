"""No repr shows a secret, and a state holds none beyond its last use."""

from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from protocol.secagg.keys import mask_private_key, round_secrets
from protocol.secagg.site import (
    AwaitingContribution,
    AwaitingInvitation,
    AwaitingQuorum,
    AwaitingSurvivors,
    Contribution,
    Finished,
)
from protocol.secagg.site_states import SiteState
from tests.support.secagg_network import consortium
from tests.support.secagg_record import record

WORLD = consortium(3)
RECORD = record(WORLD)
INVITED = WORLD.invited(0)
SECRETS = round_secrets(INVITED.entropy, WORLD.descriptor.session)
CONTRIBUTING = RECORD.site_states[AwaitingContribution]
assert isinstance(CONTRIBUTING, AwaitingContribution)
MASK_KEYS = CONTRIBUTING.mask_keys
SECRET_BYTES = [
    INVITED.entropy,
    INVITED.key.private_bytes_raw(),
    SECRETS.mask_seed,
    SECRETS.self_mask,
    SECRETS.share_key,
    SECRETS.dealing_key,
    mask_private_key(SECRETS.mask_seed, WORLD.descriptor.session).private_bytes_raw(),
    *MASK_KEYS.added,
    *MASK_KEYS.subtracted,
    *(share for held in CONTRIBUTING.held.values() for share in (held.self_mask, held.mask_seed)),
]
SHOWN: list[object] = [
    *RECORD.site_states.values(),
    *RECORD.site_inputs.values(),
    *RECORD.full.values(),
    *RECORD.events.values(),
    SECRETS,
    MASK_KEYS,
    *CONTRIBUTING.held.values(),
]


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: type(shown).__name__)
def test_the_repr_shows_no_secret(shown: object) -> None:
    text = repr(shown)
    for secret in SECRET_BYTES:
        assert secret.hex() not in text
        assert repr(secret)[2:-1] not in text
        assert str(int.from_bytes(secret, "big")) not in text


def test_the_repr_of_a_contribution_shows_no_element() -> None:
    shown = repr(RECORD.site_inputs[Contribution])
    assert not any(str(element) in shown for element in WORLD.vector(0))


def held_bytes(value: Any) -> set[bytes]:
    """Return every byte string that is reachable from a state."""
    if isinstance(value, bytes):
        return {value}
    if isinstance(value, dict):
        value = list(value.values())
    elif is_dataclass(value):
        value = [getattr(value, each.name) for each in fields(value)]
    elif not isinstance(value, list | tuple):
        return set()
    return set().union(*(held_bytes(each) for each in value))


@pytest.mark.parametrize("kind", [AwaitingContribution, AwaitingSurvivors, AwaitingQuorum])
def test_the_seeds_are_gone_once_the_shares_are_dealt(kind: type[SiteState]) -> None:
    held = held_bytes(RECORD.site_states[kind])
    gone = {SECRETS.mask_seed, SECRETS.self_mask, SECRETS.share_key, SECRETS.dealing_key}
    assert not held & {*gone, INVITED.entropy}


def test_the_mask_keys_are_gone_once_the_vector_left() -> None:
    keys = {*MASK_KEYS.added, *MASK_KEYS.subtracted}
    assert keys <= held_bytes(CONTRIBUTING)
    assert not keys & held_bytes(RECORD.site_states[AwaitingSurvivors])


def test_a_finished_site_holds_no_secret() -> None:
    assert {each.name for each in fields(Finished)} == {"session", "site", "survivors"}
    assert held_bytes(RECORD.site_states[Finished]) == {WORLD.descriptor.session}


def test_a_site_that_was_never_invited_shows_only_public_things() -> None:
    assert isinstance(INVITED, AwaitingInvitation)
    assert "entropy" not in repr(INVITED)
    assert "key=" not in repr(INVITED).replace("_key=", "")
