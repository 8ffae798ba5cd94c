"""The fields that messages of both sides are made of, taken off strictly (SPEC 4.7)."""

from protocol.codec import Reader
from protocol.identifiers import (
    DIGEST_BYTES,
    MAX_SITES,
    SIGNATURE_BYTES,
    Digest,
    SessionId,
    Signature,
    SiteId,
)


def read_session(reader: Reader) -> SessionId:
    """Take a session id."""
    return SessionId(reader.fixed(DIGEST_BYTES))


def read_site(reader: Reader) -> SiteId:
    """Take a site id, below 200."""
    return SiteId(reader.uint(2, most=MAX_SITES - 1))


def read_digest(reader: Reader) -> Digest:
    """Take a hash."""
    return Digest(reader.fixed(DIGEST_BYTES))


def read_signature(reader: Reader) -> Signature:
    """Take a signature."""
    return Signature(reader.fixed(SIGNATURE_BYTES))


def read_count(reader: Reader) -> range:
    """Take the length of a list, at most 200, and return a range over it."""
    return range(reader.uint(2, most=MAX_SITES))
