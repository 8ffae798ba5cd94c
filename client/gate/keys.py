"""Keys and secrets of a site: files that only their owner can read, and are never overwritten.

Two Ed25519 keys with two owners: the gate's signs the site's messages and is named in the
roster; the data steward's signs approvals and need not be on the gate's machine at all.
"""

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from protocol.errors import SiteOnlyError, StorageError, UsageError

SECRET_BYTES = 32
PRIVATE = 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def create_key(path: Path) -> Ed25519PrivateKey:
    """Write a new signing key as PEM (PKCS 8) with mode 0600, and return it.

    Raises:
        StorageError: the file is there already, or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def load_key(path: Path) -> Ed25519PrivateKey:
    """Return the signing key in a file.

    Raises:
        PolicyError: others may read the file.
        UsageError: it is not there, or is no Ed25519 key.
    """
    try:
        key = load_pem_private_key(read_private(path, "a signing key"), password=None)
    except (ValueError, TypeError) as error:
        raise _not_a_key(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _not_a_key(path)
    return key


def load_secret(path: Path) -> bytes:
    """Return the bytes of a secret.

    Raises:
        PolicyError: others may read the file.
        UsageError: it is not there, or is shorter than 32 bytes.
    """
    secret = read_private(path, "a secret")
    if len(secret) < SECRET_BYTES:
        raise UsageError(
            "secret-too-short",
            f"Expected at least {SECRET_BYTES} bytes in {path}.",
            f"Write {SECRET_BYTES} random bytes to it.",
        )
    return secret


def write_private(path: Path, content: bytes) -> None:
    """Create a file of mode 0600, on the disk before the call returns.

    Raises:
        StorageError: the file is there already, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    except FileExistsError as error:
        raise StorageError(
            "file-exists",
            f"Expected no file at {path}, found one.",
            "Keep it. To make a new one, move the old one away first.",
        ) from error
    except OSError as error:
        raise StorageError(
            "file-not-writable",
            f"Expected to be allowed to write {path}.",
            "Check that the folder exists and its permissions.",
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_private(path: Path, what: str) -> bytes:
    """Return the content of a file that only its owner may read.

    Raises:
        PolicyError: others may read it.
        UsageError: it is not there or not readable.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except OSError as error:
        raise UsageError(
            "file-not-readable",
            f"Expected {what} at {path}, found no file that can be read.",
            "Check the path. `concause site init` makes a site's keys, `concause site person` a "
            "person's.",
        ) from error
    if mode & _OTHERS:
        raise SiteOnlyError(
            "key-readable-by-others",
            f"Expected {path} to be readable by its owner alone, found mode "
            f"{stat.S_IMODE(mode):04o}.",
            f"Run chmod 600 {path}, and consider whether the key is still secret.",
        )
    return content


def _not_a_key(path: Path) -> UsageError:
    return UsageError(
        "not-a-signing-key",
        f"Expected an Ed25519 key in PEM (PKCS 8) at {path}, found something else.",
        "Restore the key from your backup, or make a new one and have the roster changed.",
    )
