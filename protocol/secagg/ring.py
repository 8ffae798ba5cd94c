"""The ring of the sums: integers modulo 2^64, and signed integers inside it (SPEC 4.5).

A sum of signed integers survives the wrap as long as it lies in [-2^63, 2^63): the
statistics plan proves that bound before it compiles.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError

Residues: TypeAlias = NDArray[np.uint64]  # shape (d,), elements of Z_2^64
Integers: TypeAlias = NDArray[np.int64]  # shape (d,)

WIDTH_BITS = 64
ELEMENT_BYTES = 8
_WIRE = np.dtype("<u8")


def to_ring(values: Integers) -> Residues:
    """Return two's-complement residues of signed integers, in a new array of the same shape.

    Raises:
        UsageError: the array does not hold 64-bit signed integers.
    """
    if values.dtype != np.int64:
        raise UsageError("not-int64", f"Expected 64-bit signed integers, found {values.dtype}.")
    return values.astype(np.uint64)


def from_ring(residues: Residues) -> Integers:
    """Return the signed integers in [-2^63, 2^63) that `residues` stand for, in a new array.

    Raises:
        UsageError: the array does not hold 64-bit residues.
    """
    if residues.dtype != np.uint64:
        raise UsageError("not-uint64", f"Expected 64-bit residues, found {residues.dtype}.")
    return residues.astype(np.int64)


def to_wire(residues: Residues) -> bytes:
    """Return the residues as consecutive 8-byte little-endian integers."""
    return residues.astype(_WIRE, copy=False).tobytes()


def from_wire(encoded: bytes) -> Residues:
    """Return the residues of `to_wire`, shape (len(encoded) // 8,), in a new array."""
    return np.frombuffer(encoded, _WIRE).astype(np.uint64)
