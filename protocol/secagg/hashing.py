"""SHA-256 under a label: a hash made for one purpose never passes for another (SPEC 4.3)."""

import hashlib
from collections.abc import Sequence

from protocol.codec import Writer
from protocol.identifiers import Digest, SiteId

_PREFIX = b"concause/1/"


def labelled_hash(label: str, payload: bytes) -> Digest:
    """Return SHA-256("concause/1/" || label || 0x00 || payload)."""
    hashed = hashlib.sha256(_PREFIX + label.encode("ascii") + b"\x00")
    hashed.update(payload)  # a vector of 128 MiB is not copied to stand behind its label
    return Digest(hashed.digest())


def sites_hash(sites: Sequence[SiteId]) -> Digest:
    """Return the hash of a list of sites, H(U) in SPEC 4.6; order counts, so callers sort."""
    writer = Writer().uint(len(sites), 2)
    for site in sites:
        writer.uint(site, 2)
    return labelled_hash("sites", writer.finish())
