"""The signed manifest: one byte string per manifest, one signature per byte string."""

from collections.abc import Callable
from typing import Any

import pytest

from protocol import canonical
from protocol.errors import PeerError, UsageError
from protocol.identifiers import SessionId
from protocol.signing import public_key
from server.release.folder import content_of
from server.release.manifest import (
    Estimation,
    FileRecord,
    Manifest,
    SignedManifest,
    decode_manifest,
    encode_manifest,
    release_id,
    sign_manifest,
)
from tests.support.release_keys import key_of

SESSION = SessionId(bytes(32))


def make_signed(signer: str = "coordinator") -> SignedManifest:
    key = key_of(signer)
    manifest = Manifest(
        release="study-0123456789ab",
        created="2026-02-03T04:05:06Z",
        coordinator=public_key(key).hex(),
        session="00" * 32,
        study_hash="11" * 32,
        plan_hash="22" * 32,
        roster_hash="33" * 32,
        estimation=Estimation(draws=10, seed=1),
        software={"concause": "0.1.0"},
        files={name: FileRecord(sha256="44" * 32, size=5) for name in content_of(1)},
    )
    return sign_manifest(manifest, key)


def test_a_manifest_reads_back_as_it_was_written_and_its_signature_holds() -> None:
    signed = make_signed()
    document = encode_manifest(signed)
    again = decode_manifest(document)
    again.verify()
    assert encode_manifest(again) == document


def test_every_changed_byte_is_refused() -> None:
    document = encode_manifest(make_signed())
    for position in range(len(document)):
        for flip in (0x01, 0x20, 0x80):  # 0x20 exchanges upper and lower case
            altered = bytearray(document)
            altered[position] ^= flip
            with pytest.raises((UsageError, PeerError)):
                decode_manifest(bytes(altered)).verify()


def test_a_signature_by_another_key_than_the_one_named_is_refused() -> None:
    signed = make_signed()
    named = signed.manifest.model_copy(update={"coordinator": public_key(key_of("x")).hex()})
    with pytest.raises(PeerError) as caught:
        SignedManifest(manifest=named, signature=signed.signature).verify()
    assert caught.value.code == "bad-signature"


@pytest.mark.parametrize(
    "alter",
    [
        lambda manifest: manifest.update(format="concause-release/2"),
        lambda manifest: manifest.update(note="unknown field"),
        lambda manifest: manifest.pop("session"),
        lambda manifest: manifest.update(study_hash="AB" * 32),
        lambda manifest: manifest.update(created="2026-02-03 04:05:06"),
        lambda manifest: manifest["estimation"].update(draws=0),
        lambda manifest: manifest["software"].update(pandas="1.0 epsilon is 0.01"),
        lambda manifest: manifest["software"].update({"Coffee costs 9 h": "1.0"}),
        lambda manifest: manifest["software"].update({f"p{i}": "1.0" for i in range(17)}),
        lambda manifest: manifest["files"]["model.json"].update(size=-1),
        lambda manifest: manifest["files"]["model.json"].update(size="5"),
    ],
)
def test_a_manifest_of_another_form_is_refused(alter: Callable[[Any], None]) -> None:
    document: Any = canonical.decode(encode_manifest(make_signed()))
    alter(document["manifest"])
    with pytest.raises(UsageError) as caught:
        decode_manifest(canonical.encode(document))
    assert caught.value.code == "not-a-manifest"


def test_a_manifest_in_another_layout_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        decode_manifest(encode_manifest(make_signed()) + b"\n")
    assert caught.value.code == "not-canonical"


def test_the_release_id_names_round_and_settings() -> None:
    first = release_id("study", SESSION, Estimation(draws=10, seed=1))
    assert first.startswith("study-")
    assert first == release_id("study", SESSION, Estimation(draws=10, seed=1))
    assert first != release_id("study", SESSION, Estimation(draws=10, seed=2))
    assert first != release_id("study", SessionId(b"\1" * 32), Estimation(draws=10, seed=1))
