"""Checkpoints: the hash of a site's last audit line, under the site's signature (SPEC 7.9).

The coordinator keeps the newest of each site and gives it back with the next invitation. A site
whose log lacks the line it once signed knows that an older copy of its memory was put back. The
hash tells nobody else anything, not even how many lines there are.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.errors import PeerError
from protocol.identifiers import DIGEST_BYTES, Digest, PublicKey, Signature
from protocol.signing import sign, verify

PURPOSE = "audit-checkpoint"
CHECKPOINT_BYTES = DIGEST_BYTES + 64
MAX_TOGETHER = 200  # as many as a roster has sites


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A hash and its signature."""

    head: Digest
    signature: Signature

    def encode(self) -> bytes:
        """Return the 96 bytes that travel."""
        return self.head + self.signature


def sign_checkpoint(head: Digest, key: Ed25519PrivateKey) -> Checkpoint:
    """Return a checkpoint of the line with hash `head`."""
    return Checkpoint(head, sign(key, PURPOSE, head))


def read_checkpoint(encoded: bytes, signer: PublicKey) -> Checkpoint | None:
    """Return the checkpoint that `signer` signed; None if it is none, or not this key's."""
    if len(encoded) != CHECKPOINT_BYTES:
        return None
    found = Checkpoint(Digest(encoded[:DIGEST_BYTES]), Signature(encoded[DIGEST_BYTES:]))
    try:
        verify(signer, PURPOSE, found.head, found.signature)
    except PeerError:
        return None
    return found


def join_checkpoints(encoded: Iterable[bytes]) -> bytes:
    """Return the checkpoints of many sites as they travel together."""
    return b"".join(encoded)


def own_checkpoint(together: bytes, signer: PublicKey) -> Checkpoint | None:
    """Return the one among many that `signer` signed; None if there is none, or too many."""
    if len(together) > MAX_TOGETHER * CHECKPOINT_BYTES:
        return None
    for start in range(0, len(together), CHECKPOINT_BYTES):
        found = read_checkpoint(together[start : start + CHECKPOINT_BYTES], signer)
        if found is not None:
            return found
    return None
