"""The mask kernel against a keystream made block by block, and the algebra of masks."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

from protocol.secagg.masking import CHUNK_BYTES, MaskKeys, join, mask
from protocol.secagg.ring import Residues

CHUNK = CHUNK_BYTES // 8
KEYS = [bytes([number]) * 32 for number in range(4)]
LENGTHS = [0, 1, 2, 3, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3]


def keystream(key: bytes, length: int) -> Residues:
    """Return AES-256 of the counters 0, 1, ... as little-endian residues: CTR by hand."""
    blocks = -(-length // 2)
    counters = b"".join(block.to_bytes(16, "big") for block in range(blocks))
    encrypted = Cipher(AES256(key), ECB()).encryptor().update(counters)  # noqa: S305
    return np.frombuffer(encrypted, "<u8").astype(np.uint64)[:length]


def numbers(length: int) -> Residues:
    return np.random.default_rng(length).integers(0, 2**64, length, np.uint64)


@pytest.mark.parametrize("length", LENGTHS)
def test_the_kernel_adds_and_subtracts_the_keystreams(length: int) -> None:
    vector = numbers(length)
    masked = mask(vector, MaskKeys((KEYS[0], KEYS[1]), (KEYS[2],)))
    expected = vector + keystream(KEYS[0], length) + keystream(KEYS[1], length)
    assert (masked == expected - keystream(KEYS[2], length)).all()


@pytest.mark.parametrize("length", LENGTHS)
def test_what_one_of_a_pair_adds_the_other_takes_away(length: int) -> None:
    vector = numbers(length)
    added = mask(vector, MaskKeys((KEYS[0],), ()))
    assert (mask(added, MaskKeys((), (KEYS[0],))) == vector).all()


def test_the_kernel_leaves_its_argument_alone() -> None:
    vector = numbers(CHUNK + 5)
    vector.setflags(write=False)
    before = vector.copy()
    masked = mask(vector, MaskKeys((KEYS[0],), ()))
    assert (vector == before).all()
    assert not np.shares_memory(masked, vector)


def test_no_keys_change_nothing() -> None:
    vector = numbers(9)
    same = mask(vector, MaskKeys((), ()))
    assert (same == vector).all()
    assert not np.shares_memory(same, vector)


def test_a_view_with_strides_is_masked_as_its_copy() -> None:
    vector = numbers(20)[::2]
    keys = MaskKeys((KEYS[0],), ())
    assert (mask(vector, keys) == mask(vector.copy(), keys)).all()


def test_joined_keys_mask_as_one_after_another() -> None:
    vector = numbers(33)
    first, second = MaskKeys((KEYS[0],), (KEYS[1],)), MaskKeys((KEYS[2],), (KEYS[3],))
    assert (mask(vector, join([first, second])) == mask(mask(vector, first), second)).all()
    assert join([]) == MaskKeys((), ())
