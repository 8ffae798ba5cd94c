"""Every message of a round, by its type byte (SPEC 4.7).

A message is one type byte and its fields. Decoding checks form only: lengths, bounds, no
trailing bytes; there is one encoding per message.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

from protocol.codec import Reader, Writer
from protocol.errors import PeerError
from protocol.secagg.coordinator_messages import (
    Adverts,
    Deliveries,
    Delivery,
    Invitation,
    Quorum,
    Survivors,
)
from protocol.secagg.site_messages import (
    MAX_VECTOR_BYTES,
    SEALED_BYTES,
    Advert,
    Agreement,
    MaskedVector,
    Reveal,
    SealedPair,
    Shares,
    shares_payload,
)
from protocol.secagg.split_messages import MAX_SEALED_BYTES, Opened, SplitVector

__all__ = [
    "COORDINATOR_MESSAGES",
    "MAX_SEALED_BYTES",
    "MAX_VECTOR_BYTES",
    "SEALED_BYTES",
    "SITE_MESSAGES",
    "Advert",
    "Adverts",
    "Agreement",
    "CoordinatorMessage",
    "Deliveries",
    "Delivery",
    "Invitation",
    "MaskedVector",
    "Message",
    "Opened",
    "Quorum",
    "Reveal",
    "SealedPair",
    "Shares",
    "SiteMessage",
    "SplitVector",
    "Survivors",
    "decode_answer",
    "decode_message",
    "decode_opened",
    "decode_request",
    "encode_message",
    "shares_payload",
]

CoordinatorMessage: TypeAlias = Invitation | Adverts | Deliveries | Survivors | Quorum
SiteMessage: TypeAlias = Advert | Shares | MaskedVector | Agreement | Reveal | SplitVector
Message: TypeAlias = CoordinatorMessage | SiteMessage | Opened
_Kind = TypeVar("_Kind")

COORDINATOR_MESSAGES: tuple[type[CoordinatorMessage], ...] = (
    *(Invitation, Adverts, Deliveries, Survivors, Quorum),
)
SITE_MESSAGES: tuple[type[SiteMessage], ...] = (
    *(Advert, Shares, MaskedVector, Agreement, Reveal, SplitVector),
)
_REQUESTS: Mapping[int, Callable[[Reader], CoordinatorMessage]] = {
    kind.type_byte: kind.read for kind in COORDINATOR_MESSAGES
}
_ANSWERS: Mapping[int, Callable[[Reader], SiteMessage]] = {
    kind.type_byte: kind.read for kind in SITE_MESSAGES
}


def encode_message(message: Message) -> bytes:
    """Return the one encoding of a message."""
    writer = Writer().uint(message.type_byte, 1)
    message.write(writer)
    return writer.finish()


def decode_request(encoded: bytes) -> CoordinatorMessage:
    """Return a message of the coordinator.

    Raises:
        PeerError: the bytes are not exactly one.
    """
    return _decode(encoded, _REQUESTS)


def decode_answer(encoded: bytes) -> SiteMessage:
    """Return a message of a site.

    Raises:
        PeerError: the bytes are not exactly one.
    """
    return _decode(encoded, _ANSWERS)


def decode_opened(encoded: bytes) -> Opened:
    """Return a message of an aggregator.

    Raises:
        PeerError: the bytes are not exactly one.
    """
    return _decode(encoded, {Opened.type_byte: Opened.read})


def decode_message(encoded: bytes) -> Message:
    """Return a message of any party.

    Raises:
        PeerError: the bytes are not exactly one.
    """
    return _decode(encoded, {**_REQUESTS, **_ANSWERS, Opened.type_byte: Opened.read})


def _decode(encoded: bytes, readers: Mapping[int, Callable[[Reader], _Kind]]) -> _Kind:
    reader = Reader(encoded)
    read = readers.get(reader.uint(1))
    if read is None:
        raise PeerError("unknown-message", "The first byte is not the type of a message expected.")
    message = read(reader)
    reader.finish()
    return message
