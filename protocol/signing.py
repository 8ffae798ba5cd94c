"""Ed25519 signatures with domain separation.

Every signature covers a label of its purpose, so that bytes signed for one purpose
can never be shown as signed for another (SPEC 3).
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol.errors import PeerError, UsageError
from protocol.identifiers import PUBLIC_KEY_BYTES, PublicKey, Signature

_PREFIX = b"concause/1/"


def sign(key: Ed25519PrivateKey, purpose: str, payload: bytes) -> Signature:
    """Return the signature of `payload` under the label `purpose`."""
    return Signature(key.sign(_labelled(purpose, payload)))


def verify(key: PublicKey, purpose: str, payload: bytes, signature: Signature) -> None:
    """Check a signature.

    Raises:
        PeerError: it does not hold, or the key is not one.
    """
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, _labelled(purpose, payload))
    except (InvalidSignature, ValueError) as error:
        raise PeerError("bad-signature", f"The {purpose} signature does not hold.") from error


def public_key(key: Ed25519PrivateKey) -> PublicKey:
    """Return the 32 raw bytes of the public half."""
    return PublicKey(key.public_key().public_bytes_raw())


def parse_public_key(text: str) -> PublicKey:
    """Return the public key that 64 hex digits stand for.

    Raises:
        UsageError: they do not.
    """
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != PUBLIC_KEY_BYTES:
        raise UsageError(
            "not-a-public-key",
            f"Expected a public key of {2 * PUBLIC_KEY_BYTES} hex digits, found {text!r}.",
            "Copy it from what `concause site init` or `concause site status` printed.",
        )
    return PublicKey(key)


def _labelled(purpose: str, payload: bytes) -> bytes:
    return _PREFIX + purpose.encode("ascii") + b"\x00" + payload
