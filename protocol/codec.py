"""Strict binary encoding of protocol messages, after the TLS presentation language.

RFC 8446, section 3: fixed-width big-endian integers and length-prefixed strings.
Every read is bounded before it allocates; trailing bytes are refused; there is one
encoding per value, so encode(decode(b)) == b.
"""

from protocol.errors import PeerError

MAX_OPAQUE_BYTES = 2**31


class Writer:
    """Appends fields to a message."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def uint(self, value: int, width: int) -> "Writer":
        """Append an unsigned integer of `width` bytes."""
        self._parts.append(value.to_bytes(width, "big"))
        return self

    def fixed(self, value: bytes, length: int) -> "Writer":
        """Append exactly `length` bytes."""
        if len(value) != length:
            raise ValueError(f"expected {length} bytes, found {len(value)}")
        self._parts.append(value)
        return self

    def opaque(self, value: bytes) -> "Writer":
        """Append a byte string behind its 4-byte length."""
        self._parts.append(len(value).to_bytes(4, "big"))
        self._parts.append(value)
        return self

    def finish(self) -> bytes:
        """Return the message."""
        return b"".join(self._parts)


class Reader:
    """Takes fields off a message, in order.

    Raises:
        PeerError: from every method, on a message that ends early or runs on.
    """

    def __init__(self, message: bytes) -> None:
        self._view = memoryview(message)
        self._at = 0

    def uint(self, width: int, *, most: int | None = None) -> int:
        """Take an unsigned integer of `width` bytes, at most `most`."""
        value = int.from_bytes(self._take(width), "big")
        if most is not None and value > most:
            raise PeerError("field-out-of-range", "A count in the message is above its bound.")
        return value

    def fixed(self, length: int) -> bytes:
        """Take exactly `length` bytes."""
        return bytes(self._take(length))

    def opaque(self, most: int = MAX_OPAQUE_BYTES) -> bytes:
        """Take a byte string behind its 4-byte length, of at most `most` bytes."""
        return bytes(self._take(self.uint(4, most=most)))

    def finish(self) -> None:
        """Check that nothing is left."""
        if self._at != len(self._view):
            raise PeerError("trailing-bytes", "The message runs on after its last field.")

    def _take(self, length: int) -> memoryview:
        end = self._at + length
        if end > len(self._view):
            raise PeerError("message-too-short", "The message ends inside a field.")
        taken = self._view[self._at : end]
        self._at = end
        return taken
