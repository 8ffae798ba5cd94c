"""Signed integers in the ring, and residues on the wire."""

import numpy as np
import pytest

from protocol.errors import UsageError
from protocol.secagg.ring import from_ring, from_wire, to_ring, to_wire

EXTREMES = np.array([0, 1, -1, 2**63 - 1, -(2**63)], np.int64)


def test_signed_integers_come_back() -> None:
    assert from_ring(to_ring(EXTREMES)).tolist() == EXTREMES.tolist()


def test_minus_one_is_the_largest_residue() -> None:
    assert to_ring(EXTREMES).tolist() == [0, 1, 2**64 - 1, 2**63 - 1, 2**63]


def test_a_sum_that_fits_survives_terms_that_wrap() -> None:
    terms = to_ring(np.array([2**62, 2**62, -(2**62), -5], np.int64))
    assert from_ring(terms.sum(dtype=np.uint64).reshape(1)).tolist() == [2**62 - 5]


def test_neither_direction_changes_its_argument_or_shares_memory() -> None:
    residues = to_ring(EXTREMES)
    assert not np.shares_memory(residues, EXTREMES)
    assert not np.shares_memory(from_ring(residues), residues)


def test_the_wire_is_little_endian() -> None:
    assert to_wire(np.array([1, 2**56], np.uint64)) == b"\1" + bytes(14) + b"\1"


def test_residues_come_back_from_the_wire_writable() -> None:
    residues = from_wire(to_wire(to_ring(EXTREMES)))
    assert residues.tolist() == to_ring(EXTREMES).tolist()
    assert residues.flags.writeable


def test_nothing_is_nothing() -> None:
    assert to_wire(to_ring(np.zeros(0, np.int64))) == b""
    assert from_wire(b"").shape == (0,)


@pytest.mark.parametrize("dtype", [np.int32, np.float64, np.uint64])
def test_other_numbers_do_not_enter_the_ring(dtype: type[np.generic]) -> None:
    with pytest.raises(UsageError) as refused:
        to_ring(np.zeros(1, dtype))
    assert refused.value.code == "not-int64"


def test_other_numbers_do_not_leave_the_ring() -> None:
    with pytest.raises(UsageError) as refused:
        from_ring(np.zeros(1, np.int64))
    assert refused.value.code == "not-uint64"
