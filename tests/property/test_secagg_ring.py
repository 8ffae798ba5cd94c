"""Sums in the ring are sums of the signed integers, as long as those fit; masks cancel."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.secagg.masking import MaskKeys, mask
from protocol.secagg.ring import from_ring, from_wire, pack, to_ring, to_wire, unpack, zero

EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True)
keys = st.binary(min_size=32, max_size=32)


@EXAMPLES
@given(st.lists(st.integers(-(2**59), 2**59), max_size=16))
def test_the_sum_of_residues_is_the_residue_of_the_sum(terms: list[int]) -> None:
    total = np.zeros(1, np.uint64)
    for term in terms:
        total = total + to_ring(np.array([term], np.int64))
    assert from_ring(total).tolist() == [sum(terms)]


@EXAMPLES
@given(st.lists(st.integers(0, 2**64 - 1), max_size=20), st.integers(0, 20))
def test_the_wire_gives_back_every_residue(elements: list[int], narrow: int) -> None:
    narrow = min(narrow, len(elements))
    packed = pack(np.array(elements, np.uint64), narrow)
    again = from_wire(to_wire(packed), packed.layout)
    assert (again.octets == packed.octets).all()
    wide = len(elements) - narrow
    found = unpack(again).tolist()
    assert found[:wide] == elements[:wide]
    assert [each % 2**32 for each in found[wide:]] == [each % 2**32 for each in elements[wide:]]


@EXAMPLES
@given(st.lists(keys, min_size=1, max_size=5, unique=True), st.integers(0, 40), st.integers(0, 40))
def test_the_masks_of_a_cohort_cancel_in_its_sum(
    cohort: list[bytes], length: int, narrow: int
) -> None:
    ones = pack(np.ones(length, np.uint64), min(narrow, length))
    total = zero(ones.layout)
    for me in cohort:
        added = tuple(_pair(me, peer) for peer in cohort if me < peer)
        subtracted = tuple(_pair(me, peer) for peer in cohort if me > peer)
        total = total + mask(ones, MaskKeys(added, subtracted))
    assert unpack(total).tolist() == [len(cohort)] * length


def _pair(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
