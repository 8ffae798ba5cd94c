"""Signed integers in the ring, and residues on the wire."""

import numpy as np
import pytest

from protocol.errors import UsageError
from protocol.secagg.ring import Layout, from_ring, from_wire, pack, to_ring, to_wire, unpack, zero

EXTREMES = np.array([0, 1, -1, 2**63 - 1, -(2**63)], np.int64)
NARROW_EXTREMES = np.array([0, 1, -1, 2**31 - 1, -(2**31)], np.int64)


def test_signed_integers_come_back() -> None:
    assert from_ring(to_ring(EXTREMES)).tolist() == EXTREMES.tolist()


def test_minus_one_is_the_largest_residue() -> None:
    assert to_ring(EXTREMES).tolist() == [0, 1, 2**64 - 1, 2**63 - 1, 2**63]


def test_a_sum_that_fits_survives_terms_that_wrap() -> None:
    terms = to_ring(np.array([2**62, 2**62, -(2**62), -5], np.int64))
    assert from_ring(terms.sum(dtype=np.uint64).reshape(1)).tolist() == [2**62 - 5]


def test_a_narrow_sum_that_fits_survives_terms_that_wrap() -> None:
    first, second = (pack(to_ring(np.array([term], np.int64)), 1) for term in (2**31, -(2**31) - 5))
    assert from_ring(unpack(first + second)).tolist() == [-5]


def test_neither_direction_changes_its_argument_or_shares_memory() -> None:
    residues = to_ring(EXTREMES)
    assert not np.shares_memory(residues, EXTREMES)
    assert not np.shares_memory(from_ring(residues), residues)


def test_the_wire_is_little_endian_with_the_narrow_elements_last() -> None:
    residues = np.array([1, 2**56, 2**24], np.uint64)
    assert to_wire(pack(residues)) == b"\1" + bytes(14) + b"\1" + bytes(3) + b"\1" + bytes(4)
    assert to_wire(pack(residues, 1)) == b"\1" + bytes(14) + b"\1" + bytes(3) + b"\1"


@pytest.mark.parametrize("narrow", range(6))
def test_signed_integers_of_either_width_come_back_from_the_wire(narrow: int) -> None:
    values = np.concatenate([EXTREMES[narrow:], NARROW_EXTREMES[:narrow]])
    layout = Layout(5, narrow)
    encoded = to_wire(pack(to_ring(values), narrow))
    assert len(encoded) == layout.octets == 40 - 4 * narrow
    assert from_ring(unpack(from_wire(encoded, layout))).tolist() == values.tolist()


def test_a_narrow_element_is_taken_modulo_two_to_the_32() -> None:
    assert unpack(pack(np.array([2**32 + 7], np.uint64), 1)).tolist() == [7]


def test_a_sum_leaves_its_terms_as_they_were() -> None:
    first = pack(to_ring(EXTREMES), 2)
    second = from_wire(to_wire(first), first.layout)
    assert ((first + second).octets != first.octets).any()
    assert (first.octets == second.octets).all()


def test_nothing_is_nothing() -> None:
    empty = Layout(0)
    assert to_wire(pack(to_ring(np.zeros(0, np.int64)))) == b""
    assert unpack(from_wire(b"", empty)).shape == unpack(zero(empty)).shape == (0,)


def test_zero_is_zero_in_every_element() -> None:
    assert unpack(zero(Layout(5, 2))).tolist() == [0] * 5


@pytest.mark.parametrize("dtype", [np.int32, np.float64, np.uint64])
def test_other_numbers_do_not_enter_the_ring(dtype: type[np.generic]) -> None:
    with pytest.raises(UsageError) as refused:
        to_ring(np.zeros(1, dtype))
    assert refused.value.code == "not-int64"


def test_other_numbers_do_not_leave_the_ring() -> None:
    with pytest.raises(UsageError) as refused:
        from_ring(np.zeros(1, np.int64))
    assert refused.value.code == "not-uint64"
