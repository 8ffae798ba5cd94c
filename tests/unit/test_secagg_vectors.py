"""The committed vectors against the implementation, and against their generator."""

import json
from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.errors import ConcauseError
from protocol.identifiers import PublicKey, SessionId, SiteId
from protocol.secagg.descriptor import Descriptor, SignedDescriptor, sign_descriptor
from protocol.secagg.hashing import labelled_hash, sites_hash
from protocol.secagg.keys import (
    check_exchange_key,
    mask_private_key,
    pair_mask_key,
    public_half,
    round_secrets,
    self_mask_commitment,
    self_mask_key,
)
from protocol.secagg.masking import MaskKeys, mask
from protocol.secagg.messages import decode_message, encode_message
from protocol.secagg.ring import Layout, Packed, from_wire, pack, to_wire
from protocol.secagg.roster import parse_roster
from protocol.secagg.sharing import recover, split, weights_at_zero
from protocol.secagg.transcript import verify_transcript
from tests.vectors.secagg_generate import FOLDER, documents, text

FILES = ("descriptor", "hashes", "keys", "sharing", "masking", "messages", "round")
Inputs = dict[str, Any]


def bytes_of(values: list[str]) -> tuple[bytes, ...]:
    return tuple(map(bytes.fromhex, values))


def cases(name: str) -> list[Any]:
    """Return the cases of one file as parameters."""
    document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(name, case, id=f"{name}: {case['name']}") for case in document]


def descriptor(inputs: Inputs, outputs: Inputs) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(inputs.pop("signing_key")))
    fields: Inputs = {n: bytes.fromhex(v) if isinstance(v, str) else v for n, v in inputs.items()}
    signed = sign_descriptor(Descriptor(**fields), key)
    assert signed.descriptor.encode().hex() == outputs["descriptor"]
    assert signed.descriptor.session.hex() == outputs["session"]
    assert signed.encode().hex() == outputs["signed"]
    assert SignedDescriptor.decode(signed.encode()) == signed
    signed.verify(parse_roster(outputs["roster"].encode()))


def hashes(inputs: Inputs, outputs: Inputs) -> None:
    if "sites" in inputs:
        found = sites_hash([SiteId(site) for site in inputs["sites"]])
    else:
        found = labelled_hash(inputs["label"], bytes.fromhex(inputs["payload"]))
    assert found.hex() == outputs["hash"]


def keys(inputs: Inputs, outputs: Inputs | None) -> None:
    if outputs is None:
        check_exchange_key(PublicKey(bytes.fromhex(inputs["public_key"])))
        return
    session = SessionId(bytes.fromhex(inputs["session"]))
    made = round_secrets(bytes.fromhex(inputs["entropy"]), session)
    own = mask_private_key(made.mask_seed, session)
    peer = PublicKey(bytes.fromhex(inputs["peer_public_key"]))
    commitment = self_mask_commitment(made.self_mask, session, SiteId(3))
    pair = pair_mask_key(own, peer, session, (SiteId(1), SiteId(3)))
    assert public_half(own).hex() == outputs["mask_public_key"]
    assert commitment.hex() == outputs["self_mask_commitment"]
    assert pair.hex() == outputs["pair_mask_key"]
    assert self_mask_key(made.self_mask, session).hex() == outputs["self_mask_key"]


def sharing(inputs: Inputs, outputs: Inputs) -> None:
    secret, points = bytes.fromhex(inputs["secret"]), inputs["points"]
    coefficients = [int(each, 16) for each in inputs["coefficients"]]
    shares = split(secret, coefficients, points)
    assert shares == bytes_of(outputs["shares"])
    t = len(coefficients) + 1
    assert recover(weights_at_zero(points[-t:]), shares[-t:]) == b"\0" + secret


def masking(inputs: Inputs, outputs: Inputs) -> None:
    chosen = MaskKeys(bytes_of(inputs["added"]), bytes_of(inputs["subtracted"]))
    layout = Layout(inputs["length"], inputs["narrow"])
    vector = from_wire(bytes.fromhex(inputs["vector"]), layout)
    assert to_wire(mask(vector, chosen)).hex() == outputs["masked"]


def messages(inputs: Inputs, outputs: Inputs | None) -> None:
    encoded = bytes.fromhex((outputs or inputs)["encoded"])
    assert encode_message(decode_message(encoded)) == encoded


def round_(inputs: Inputs, outputs: Inputs | None) -> None:
    transcript = bytes.fromhex((outputs or inputs)["transcript"])
    roster = parse_roster(ROSTER if outputs else inputs["roster"].encode())
    complete = verify_transcript(transcript, roster)
    assert outputs is not None
    assert list(complete.cohort) == outputs["cohort"]
    assert list(complete.dropped) == outputs["dropped"]
    layout = complete.opening.descriptor.layout
    summed = pack(complete.sum, layout.narrow)
    assert to_wire(summed).hex() == outputs["sum"]
    vectors = [from_wire(each, layout) for each in bytes_of(inputs["vectors"])]
    added = reduce(Packed.__add__, (vectors[site] for site in complete.cohort))
    assert (summed.octets == added.octets).all()


ROSTER: bytes = json.loads((FOLDER / "descriptor.json").read_text(encoding="utf-8"))[0]["outputs"][
    "roster"
].encode()
CHECKS: dict[str, Callable[[Inputs, Any], None]] = {
    "descriptor": descriptor,
    "hashes": hashes,
    "keys": keys,
    "sharing": sharing,
    "masking": masking,
    "messages": messages,
    "round": round_,
}


@pytest.mark.parametrize(("name", "case"), [case for name in FILES for case in cases(name)])
def test_the_implementation_agrees_with_the_vectors(name: str, case: Inputs) -> None:
    if case["success"]:
        CHECKS[name](case["inputs"], case["outputs"])
        return
    with pytest.raises(ConcauseError) as refused:
        CHECKS[name](case["inputs"], None)
    assert refused.value.code == case["code"]


def test_the_files_are_what_their_generator_writes() -> None:
    made = documents()
    assert set(made) == set(FILES) == {path.stem for path in FOLDER.glob("*.json")}
    for name, document in made.items():
        assert (FOLDER / f"{name}.json").read_text(encoding="utf-8") == text(document)


def test_every_kind_of_refusal_has_a_vector() -> None:
    refused = [
        case
        for name in ("keys", "messages", "round")
        for case in json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        if not case["success"]
    ]
    assert len(refused) == 7 + 7 + 8
