"""Shamir's secret sharing over the field modulo 2^256 + 297 (SPEC 4.4).

Shamir, "How to share a secret" (CACM 1979). The prime is the smallest above 2^256, so
every 32-byte secret is a field element, and an element takes 33 bytes. Site i holds the
polynomial's value at i + 1. Python integers do not run in constant time; an observer of
a site's clock is outside the threat model of SPEC 2.
"""

from collections.abc import Sequence

from protocol.identifiers import SiteId

PRIME = 2**256 + 297
SECRET_BYTES = 32
SHARE_BYTES = 33


def point(site: SiteId) -> int:
    """Return where the site's shares lie: never zero, where the secret is."""
    return site + 1


def split(secret: bytes, coefficients: Sequence[int], points: Sequence[int]) -> tuple[bytes, ...]:
    """Return the share of `secret` at each point; any len(coefficients) + 1 of them recover it.

    `coefficients`, of x, x^2, ..., are uniform on the field for the sharing to hide.
    """
    descending = (*reversed(coefficients), int.from_bytes(secret, "big"))
    return tuple(_encode(_evaluate(descending, x)) for x in points)


def weights_at_zero(points: Sequence[int]) -> tuple[int, ...]:
    """Return the Lagrange weights of distinct points at zero: prod_{j != i} x_j / (x_j - x_i).

    One vector serves every secret that the same holders recover.
    """
    return tuple(_weight(x, [other for other in points if other != x]) for x in points)


def recover(weights: Sequence[int], shares: Sequence[bytes]) -> bytes:
    """Return the weighted sum of shares: 33 bytes, 0x00 and the secret if the shares fit."""
    values = (int.from_bytes(share, "big") for share in shares)
    total = sum(weight * value for weight, value in zip(weights, values, strict=True))
    return _encode(total % PRIME)


def is_element(share: bytes) -> bool:
    """Return whether `share` is the one encoding of a field element."""
    return len(share) == SHARE_BYTES and int.from_bytes(share, "big") < PRIME


def _evaluate(descending: Sequence[int], x: int) -> int:
    value = 0
    for coefficient in descending:
        value = (value * x + coefficient) % PRIME
    return value


def _weight(x: int, others: Sequence[int]) -> int:
    numerator = denominator = 1
    for other in others:
        numerator = numerator * other % PRIME
        denominator = denominator * (other - x) % PRIME
    return numerator * pow(denominator, -1, PRIME) % PRIME


def _encode(element: int) -> bytes:
    return element.to_bytes(SHARE_BYTES, "big")
