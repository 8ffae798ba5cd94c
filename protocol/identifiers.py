"""Names of the things that parties refer to, as distinct types."""

from typing import NewType

SiteId = NewType("SiteId", int)  # position in the roster, 0 .. 199; Shamir point is id + 1
Digest = NewType("Digest", bytes)  # SHA-256, 32 bytes
SessionId = NewType("SessionId", bytes)  # SHA-256 of a round's descriptor ("sid" in SPEC.md)
PublicKey = NewType("PublicKey", bytes)  # Ed25519 or X25519, 32 raw bytes
Signature = NewType("Signature", bytes)  # Ed25519, 64 bytes

DIGEST_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
MAX_SITES = 200
