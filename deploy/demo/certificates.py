"""TLS for a demonstration on one machine, by the authority that a consortium would use.

The authority's key is thrown away as soon as it has signed, so nobody can make another.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from server.membership.authority import Authority

_LIFETIME = timedelta(days=2)
_LOOPBACK = ("localhost", "127.0.0.1")


def make_certificates(folder: Path, names: Sequence[str], *, now: datetime) -> Authority:
    """Write an authority and a certificate for 127.0.0.1 of each name, good for two days."""
    authority = Authority(folder)
    authority.create("concause demo", now=now, lifetime=_LIFETIME)
    for name in names:
        authority.certify(name, _LOOPBACK, now=now, lifetime=_LIFETIME)
    (folder / "root.key").unlink()
    return authority
