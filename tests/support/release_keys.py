"""Keys of the parties in release tests."""

from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def key_of(name: str) -> Ed25519PrivateKey:
    """Return the key that a party of this name always has in tests."""
    return Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())
