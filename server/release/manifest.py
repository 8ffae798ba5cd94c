"""The manifest of a release: what it was made from, what it holds, and the coordinator's signature.

The file is canonical JSON, so that one manifest has one byte string: a changed byte is either
no longer canonical, or breaks the signature. The signer's key stands inside the signed part;
whether it is the right key is for the reader to decide, by the roster that the reader trusts.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from protocol import canonical, signing
from protocol.errors import UsageError
from protocol.identifiers import Digest, PublicKey, SessionId, Signature

FORMAT: Final = "concause-release/1"
SIGNATURE_PURPOSE = "release-manifest"

Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
Distribution = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,40}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z.!+_-]{1,40}$")]  # no sentence
Instant = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileRecord(_Strict):
    """One file: its SHA-256 and its size in bytes."""

    sha256: Hex32
    size: int = Field(ge=0)


class Estimation(_Strict):
    """What the fit was run with: for information, since the round settles it."""

    draws: int = Field(ge=1)
    seed: int = Field(ge=0)


class Manifest(_Strict):
    """The signed part of manifest.json."""

    format: Literal["concause-release/1"] = FORMAT
    release: str
    created: Instant  # UTC
    coordinator: Hex32  # Ed25519 public key that signs
    session: Hex32
    study_hash: Hex32
    plan_hash: Hex32
    roster_hash: Hex32
    estimation: Estimation
    software: Annotated[Mapping[Distribution, Version], Field(max_length=16)]
    files: Mapping[str, FileRecord]

    @property
    def payload(self) -> bytes:
        """The canonical bytes that are signed."""
        return canonical.encode(self.model_dump(mode="json"))


class SignedManifest(_Strict):
    """manifest.json: the manifest, and the coordinator's Ed25519 signature of its payload."""

    manifest: Manifest
    signature: Hex64

    def verify(self) -> None:
        """Check the signature against the key that the manifest names.

        Raises:
            PeerError: it does not hold.
        """
        signing.verify(
            PublicKey(bytes.fromhex(self.manifest.coordinator)),
            SIGNATURE_PURPOSE,
            self.manifest.payload,
            Signature(bytes.fromhex(self.signature)),
        )


def release_id(study_name: str, session: SessionId, estimation: Estimation) -> str:
    """Return the name of the one release that these settings make from this round."""
    settings = canonical.encode({"session": session.hex(), **estimation.model_dump()})
    return f"{study_name}-{hashlib.sha256(settings).hexdigest()[:12]}"


def sign_manifest(manifest: Manifest, key: Ed25519PrivateKey) -> SignedManifest:
    """Return the manifest with the coordinator's signature."""
    return SignedManifest(
        manifest=manifest, signature=signing.sign(key, SIGNATURE_PURPOSE, manifest.payload).hex()
    )


def encode_manifest(signed: SignedManifest) -> bytes:
    """Return the bytes of manifest.json."""
    return canonical.encode(signed.model_dump(mode="json"))


def decode_manifest(document: bytes) -> SignedManifest:
    """Return the manifest in `document`; its signature is not yet checked.

    Raises:
        UsageError: not canonical JSON, or not a manifest of this format.
    """
    value = canonical.decode(document)
    try:
        return SignedManifest.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            "not-a-manifest",
            f"Expected a manifest of format {FORMAT}, found in {field!r}: {first['msg']}.",
            "Get the release again from its publisher.",
        ) from error


def digest_of(record: FileRecord) -> Digest:
    """Return the digest that a file must have."""
    return Digest(bytes.fromhex(record.sha256))
