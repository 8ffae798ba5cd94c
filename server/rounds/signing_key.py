"""Private files of a coordinator or an aggregator: keys, and the secret of Flower's processes."""

import os
import secrets
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from protocol.errors import StorageError, UsageError

SECRET_BYTES = 32
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_PRIVATE = 0o600


def create_signing_key(path: Path) -> Ed25519PrivateKey:
    """Write a new signing key as PEM (PKCS 8) with mode 0600, and return it.

    Raises:
        StorageError: there is a file already.
    """
    key = Ed25519PrivateKey.generate()
    write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def create_sealing_key(path: Path) -> X25519PrivateKey:
    """Write a new key for seals as PEM (PKCS 8) with mode 0600, and return it.

    Raises:
        StorageError: there is a file already.
    """
    key = X25519PrivateKey.generate()
    write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def create_executor_secret(path: Path) -> None:
    """Write 32 random bytes with mode 0600.

    Raises:
        StorageError: there is a file already.
    """
    write_new(path, secrets.token_bytes(SECRET_BYTES))


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """Return the signing key in a file.

    Raises:
        UsageError: no such file, readable by others, or not an Ed25519 key in PEM.
    """
    key = _load(path)
    if not isinstance(key, Ed25519PrivateKey):
        raise _not_a_key(path, "Ed25519")
    return key


def load_sealing_key(path: Path) -> X25519PrivateKey:
    """Return the key for seals in a file.

    Raises:
        UsageError: no such file, readable by others, or not an X25519 key in PEM.
    """
    key = _load(path)
    if not isinstance(key, X25519PrivateKey):
        raise _not_a_key(path, "X25519")
    return key


def _load(path: Path) -> object:
    try:
        mode = path.stat().st_mode
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise UsageError(
            "signing-key-not-found",
            f"Expected a private key at {path}, found no file that can be read.",
            "Check the path in the settings, or restore the key from your backup.",
        ) from error
    except (ValueError, TypeError) as error:
        raise _not_a_key(path, "private") from error
    if mode & _OTHERS:
        raise UsageError(
            "key-readable-by-others",
            f"Expected {path} to be readable by its owner alone, found mode "
            f"{stat.S_IMODE(mode):04o}.",
            f"Run chmod 600 {path}, and consider whether the key is still secret.",
        )
    return key


def write_new(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read; on the disk on return.

    Raises:
        StorageError: there is one already, or it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    except FileExistsError as error:
        raise StorageError(
            "file-exists",
            f"Expected no file at {path}, found one.",
            "Keep it. To make a new one, move the old one away first.",
        ) from error
    except OSError as error:
        raise StorageError(
            "file-not-writable",
            f"Expected to be allowed to make {path}.",
            "Check that its folder exists, and its permissions.",
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _not_a_key(path: Path, kind: str) -> UsageError:
    return UsageError(
        "not-a-signing-key",
        f"Expected a key ({kind}) in PEM (PKCS 8) at {path}, found something else.",
        "Restore the key from your backup.",
    )
