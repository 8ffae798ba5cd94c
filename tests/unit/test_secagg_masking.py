"""The mask kernel against a keystream made block by block, and the algebra of masks."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

from protocol.secagg.masking import CHUNK_BYTES, MaskKeys, join, mask
from protocol.secagg.ring import Layout, Packed

CHUNK = CHUNK_BYTES // 8
KEYS = [bytes([number]) * 32 for number in range(4)]
LENGTHS = [0, 1, 2, 3, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3]
LAYOUTS = [
    *(Layout(length) for length in LENGTHS),
    *(Layout(length, length) for length in LENGTHS),
    *(
        Layout(length, narrow)
        for length, narrow in ((5, 2), (CHUNK + 1, 2), (2 * CHUNK, CHUNK + 3))
    ),
    *(Layout(3 * CHUNK, narrow) for narrow in (1, CHUNK, 2 * CHUNK, 2 * CHUNK + 1)),
]


def keystream(key: bytes, layout: Layout) -> Packed:
    """Return AES-256 of the counters 0, 1, ... as elements: CTR by hand."""
    blocks = -(-layout.octets // 16)
    counters = b"".join(block.to_bytes(16, "big") for block in range(blocks))
    encrypted = Cipher(AES256(key), ECB()).encryptor().update(counters)  # noqa: S305
    return Packed(layout, np.frombuffer(encrypted, np.uint8)[: layout.octets])


def numbers(layout: Layout) -> Packed:
    source = np.random.default_rng([layout.length, layout.narrow])
    return Packed(layout, source.integers(0, 256, layout.octets, np.uint8))


def elements(packed: Packed) -> list[int]:
    """Return all elements as Python integers."""
    wide, narrow = packed.elements
    return [*wide.tolist(), *narrow.tolist()]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_the_kernel_adds_and_subtracts_the_keystreams(layout: Layout) -> None:
    vector = numbers(layout)
    masked = mask(vector, MaskKeys((KEYS[0], KEYS[1]), (KEYS[2],)))
    moduli = [2**64] * layout.wide + [2**32] * layout.narrow
    columns = (elements(each) for each in (vector, *(keystream(key, layout) for key in KEYS[:3])))
    expected = [(x + a + b - c) % m for x, a, b, c, m in zip(*columns, moduli, strict=True)]
    assert elements(masked) == expected


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_what_one_of_a_pair_adds_the_other_takes_away(layout: Layout) -> None:
    vector = numbers(layout)
    added = mask(vector, MaskKeys((KEYS[0],), ()))
    assert (mask(added, MaskKeys((), (KEYS[0],))).octets == vector.octets).all()


def test_the_kernel_leaves_its_argument_alone() -> None:
    vector = numbers(Layout(CHUNK + 5, 3))
    vector.octets.setflags(write=False)
    before = vector.octets.copy()
    masked = mask(vector, MaskKeys((KEYS[0],), ()))
    assert (vector.octets == before).all()
    assert not np.shares_memory(masked.octets, vector.octets)


def test_no_keys_change_nothing() -> None:
    vector = numbers(Layout(9, 2))
    same = mask(vector, MaskKeys((), ()))
    assert (same.octets == vector.octets).all()
    assert not np.shares_memory(same.octets, vector.octets)


def test_joined_keys_mask_as_one_after_another() -> None:
    vector = numbers(Layout(33, 12))
    first, second = MaskKeys((KEYS[0],), (KEYS[1],)), MaskKeys((KEYS[2],), (KEYS[3],))
    together, apart = mask(vector, join([first, second])), mask(mask(vector, first), second)
    assert (together.octets == apart.octets).all()
    assert join([]) == MaskKeys((), ())
