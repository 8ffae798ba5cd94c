"""Keys: agreement of a pair, separation by label, session and site, and refused points."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from protocol.errors import PeerError
from protocol.identifiers import PublicKey, SessionId, SiteId
from protocol.secagg.keys import (
    check_exchange_key,
    coefficients,
    expand,
    mask_private_key,
    pair_mask_key,
    public_half,
    round_secrets,
    sealing_key,
    self_mask_commitment,
    self_mask_key,
    share_private_key,
)
from protocol.secagg.sharing import PRIME

SESSION, OTHER = SessionId(bytes(32)), SessionId(bytes([1]) * 32)
A, B, C = SiteId(0), SiteId(1), SiteId(2)
ALICE = X25519PrivateKey.from_private_bytes(bytes([2]) * 32)
BOB = X25519PrivateKey.from_private_bytes(bytes([3]) * 32)
ENTROPY = bytes([4]) * 32
CURVE_PRIME = 2**255 - 19
# The points of order 2, 4 and 8 of Curve25519 and its twist, in their one encoding
# (Bernstein, "Curve25519: new Diffie-Hellman speed records"; cr.yp.to/ecdh.html).
LOW_ORDER = [
    0,
    1,
    CURVE_PRIME - 1,
    0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
    0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
]


def test_both_sites_of_a_pair_derive_one_key() -> None:
    left = pair_mask_key(ALICE, public_half(BOB), SESSION, (A, B))
    assert left == pair_mask_key(BOB, public_half(ALICE), SESSION, (B, A))


def test_a_pair_key_depends_on_session_and_sites() -> None:
    keys = {
        pair_mask_key(ALICE, public_half(BOB), session, sites)
        for session in (SESSION, OTHER)
        for sites in ((A, B), (A, C), (B, C))
    }
    assert len(keys) == 6


def test_secrets_of_a_round_differ_from_each_other_and_between_rounds() -> None:
    secrets = [
        value
        for session in (SESSION, OTHER)
        for made in (round_secrets(ENTROPY, session),)
        for value in (made.mask_seed, made.self_mask, made.share_key, made.dealing_key)
    ]
    assert len(set(secrets)) == 8


def test_the_mask_key_and_the_share_key_are_separate() -> None:
    secrets = round_secrets(ENTROPY, SESSION)
    mask_key = mask_private_key(secrets.mask_seed, SESSION)
    assert public_half(mask_key) != public_half(share_private_key(secrets))


def test_labels_and_contexts_separate_keys() -> None:
    derived = {
        expand(ENTROPY, SESSION, label, context)
        for label in ("a", "b")
        for context in (b"", b"a", b"b")
    }
    assert len(derived) == 6
    assert self_mask_key(ENTROPY, SESSION) != self_mask_key(ENTROPY, OTHER)


def test_a_sealing_key_is_for_one_context() -> None:
    peer = public_half(BOB)
    assert sealing_key(ALICE, peer, SESSION, b"a") != sealing_key(ALICE, peer, SESSION, b"b")


def test_a_self_mask_commitment_is_bound_to_session_and_site() -> None:
    made = {self_mask_commitment(ENTROPY, s, i) for s in (SESSION, OTHER) for i in (A, B)}
    assert len(made) == 4


def test_coefficients_are_distinct_field_elements() -> None:
    drawn = coefficients(ENTROPY, SESSION, "x", 199)
    assert len(set(drawn)) == 199
    assert all(0 <= each < PRIME for each in drawn)
    assert max(drawn) > 2**255
    assert set(drawn).isdisjoint(coefficients(ENTROPY, SESSION, "y", 199))


@pytest.mark.parametrize("number", LOW_ORDER, ids=hex)
def test_a_point_of_low_order_is_refused(number: int) -> None:
    with pytest.raises(PeerError, match="low order") as refused:
        check_exchange_key(PublicKey(number.to_bytes(32, "little")))
    assert refused.value.code == "bad-exchange-key"


@pytest.mark.parametrize("number", LOW_ORDER, ids=hex)
def test_any_key_makes_nothing_with_a_point_of_low_order(number: int) -> None:
    with pytest.raises(ValueError, match="shared key"):
        ALICE.exchange(X25519PublicKey.from_public_bytes(number.to_bytes(32, "little")))


@pytest.mark.parametrize("number", [CURVE_PRIME, CURVE_PRIME + 9, 2**255 + 9, 2**256 - 1], ids=hex)
def test_a_second_encoding_of_a_point_is_refused(number: int) -> None:
    with pytest.raises(PeerError, match="one encoding") as refused:
        check_exchange_key(PublicKey(number.to_bytes(32, "little")))
    assert refused.value.code == "bad-exchange-key"


def test_an_ordinary_point_is_accepted() -> None:
    check_exchange_key(public_half(ALICE))
    check_exchange_key(PublicKey((9).to_bytes(32, "little")))
