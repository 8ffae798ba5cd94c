"""The ring of the sums: integers modulo 2^64 or 2^32, and signed integers inside it (SPEC 4.5).

A sum of signed integers survives the wrap as long as it lies in [-2^63, 2^63), or in
[-2^31, 2^31) where it is narrow: the statistics plan proves that bound before it compiles.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError

Residues: TypeAlias = NDArray[np.uint64]  # shape (d,), elements of Z_2^64
Integers: TypeAlias = NDArray[np.int64]  # shape (d,)
Octets: TypeAlias = NDArray[np.uint8]

WIDE_BYTES = 8
NARROW_BYTES = 4
_WIDE, _NARROW = np.dtype("<u8"), np.dtype("<u4")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a vector lies on the wire: its first elements have 64 bits, its last `narrow` 32."""

    length: int
    narrow: int = 0

    @property
    def wide(self) -> int:
        """Return the number of elements of 64 bits."""
        return self.length - self.narrow

    @property
    def octets(self) -> int:
        """Return the bytes on the wire."""
        return WIDE_BYTES * self.wide + NARROW_BYTES * self.narrow


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A vector as it travels: little-endian, the wide elements before the narrow.

    Arithmetic is done on it as it is, each element modulo its own power of two.
    """

    layout: Layout
    octets: Octets = field(repr=False)  # shape (layout.octets,)

    @property
    def elements(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the wide and the narrow elements, as views."""
        return _split(self.octets, WIDE_BYTES * self.layout.wide)

    def pieces(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Return the elements in bytes `start` to `stop`, a view for each width that occurs.

        Both bounds are multiples of 8, but for the end.
        """
        border = WIDE_BYTES * self.layout.wide - start
        pieces = _split(self.octets[start:stop], min(max(border, 0), stop - start))
        return (piece for piece in pieces if piece.size)

    def __add__(self, other: "Packed") -> "Packed":
        """Return the sum, element by element; precondition: one layout."""
        total = Packed(self.layout, np.empty_like(self.octets))
        for left, right, into in zip(self.elements, other.elements, total.elements, strict=True):
            np.add(left, right, out=into)
        return total


def _split(octets: Octets, wide_octets: int) -> tuple[NDArray[Any], NDArray[Any]]:
    return octets[:wide_octets].view(_WIDE), octets[wide_octets:].view(_NARROW)


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


def pack(residues: Residues, narrow: int = 0) -> Packed:
    """Return the vector as it travels, the last `narrow` elements modulo 2^32."""
    layout = Layout(residues.size, narrow)
    packed = Packed(layout, np.empty(layout.octets, np.uint8))
    wide, thin = packed.elements
    wide[:] = residues[: layout.wide]
    np.copyto(thin, residues[layout.wide :], casting="same_kind")
    return packed


def unpack(packed: Packed) -> Residues:
    """Return the residues modulo 2^64; a narrow one is that of its integer in [-2^31, 2^31)."""
    wide, thin = packed.elements
    residues = np.empty(packed.layout.length, np.uint64)
    residues[: wide.size] = wide
    np.copyto(residues[wide.size :].view(np.int64), thin.view("<i4"))
    return residues


def zero(layout: Layout) -> Packed:
    """Return the vector of nothing but zeros."""
    return Packed(layout, np.zeros(layout.octets, np.uint8))


def to_wire(packed: Packed) -> bytes:
    """Return the bytes of a vector as it travels."""
    return packed.octets.tobytes()


def from_wire(encoded: bytes, layout: Layout) -> Packed:
    """Return the vector of `to_wire`, a view of `encoded`.

    Precondition: len(encoded) == layout.octets.
    """
    return Packed(layout, np.frombuffer(encoded, np.uint8))
