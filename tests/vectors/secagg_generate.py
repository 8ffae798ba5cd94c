"""Write the test vectors of protocol version 1: `python -m tests.vectors.secagg_generate`.

Each file under `secagg_v1/` is a list of cases with a name, inputs, outputs and `success`;
a case with `success` false names the attack and the code of the refusal. Bytes are hex.
Everything follows from fixed seeds, so the files change only if the protocol does.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from protocol.errors import ConcauseError
from protocol.identifiers import PublicKey, SiteId
from protocol.secagg.hashing import labelled_hash, sites_hash
from protocol.secagg.keys import (
    check_exchange_key,
    coefficients,
    mask_private_key,
    pair_mask_key,
    public_half,
    round_secrets,
    sealing_key,
    self_mask_commitment,
    self_mask_key,
    share_private_key,
)
from protocol.secagg.masking import MaskKeys, mask
from protocol.secagg.messages import decode_message, encode_message
from protocol.secagg.ring import Residues, pack, to_wire
from protocol.secagg.sharing import PRIME, split
from protocol.secagg.transcript import decode, encode_event, encode_header, verify_transcript
from tests.support.secagg_network import Consortium, LoseAnswer, consortium, flip, run, secret
from tests.support.secagg_record import record

FOLDER = Path(__file__).parent / "secagg_v1"
Case = dict[str, Any]


def world() -> Consortium:
    """Return the consortium of the vectors: four sites, three to recover and to open."""
    return consortium(4, threshold=3, n_min=3, colluders=1, length=3, seed="vectors")


def documents() -> dict[str, list[Case]]:
    """Return every file's cases, by file name."""
    return {
        "descriptor": _descriptor(),
        "hashes": _hashes(),
        "keys": [*_keys(), *_bad_keys()],
        "sharing": _sharing(),
        "masking": _masking(),
        "messages": [*_messages(), *_bad_messages()],
        "round": [_round(), *_bad_rounds()],
    }


def text(cases: list[Case]) -> str:
    """Return a file's text."""
    return json.dumps(cases, indent=1) + "\n"


def _case(name: str, inputs: Case, outputs: Case) -> Case:
    return {"name": name, "success": True, "inputs": inputs, "outputs": outputs}


def _refused(name: str, inputs: Case, error: ConcauseError) -> Case:
    return {"name": name, "success": False, "inputs": inputs, "code": error.code}


def _descriptor() -> list[Case]:
    issued = world()
    fields = {
        name: value.hex() if isinstance(value, bytes) else value
        for name in type(issued.descriptor).__dataclass_fields__
        for value in (getattr(issued.descriptor, name),)
    }
    outputs = {
        "roster": issued.roster.canonical.decode(),
        "descriptor": issued.descriptor.encode().hex(),
        "session": issued.descriptor.session.hex(),
        "signed": issued.signed.encode().hex(),
    }
    signing_key = issued.coordinator_key.private_bytes_raw().hex()
    return [_case("a signed descriptor", {"signing_key": signing_key, **fields}, outputs)]


def _hashes() -> list[Case]:
    lists: list[list[int]] = [[], [0], [0, 1, 199]]
    return [
        _case(
            "a labelled hash",
            {"label": "x", "payload": "00ff"},
            {"hash": labelled_hash("x", b"\0\xff").hex()},
        ),
        *(
            _case(
                f"sites {each}",
                {"sites": each},
                {"hash": sites_hash([SiteId(site) for site in each]).hex()},
            )
            for each in lists
        ),
    ]


def _keys() -> list[Case]:
    session = world().descriptor.session
    entropy, peer_seed = secret("vectors", "entropy", 0), secret("vectors", "peer", 0)
    made, peer = round_secrets(entropy, session), mask_private_key(peer_seed, session)
    own, theirs = mask_private_key(made.mask_seed, session), public_half(peer)
    outputs = {
        "mask_seed": made.mask_seed,
        "self_mask": made.self_mask,
        "share_key": made.share_key,
        "dealing_key": made.dealing_key,
        "mask_public_key": public_half(own),
        "share_public_key": public_half(share_private_key(made)),
        "self_mask_commitment": self_mask_commitment(made.self_mask, session, SiteId(3)),
        "self_mask_key": self_mask_key(made.self_mask, session),
        "pair_mask_key": pair_mask_key(own, theirs, session, (SiteId(3), SiteId(1))),
        "sealing_key": sealing_key(own, theirs, session, b"context"),
        "coefficient_1": coefficients(made.dealing_key, session, "label", 1)[0].to_bytes(33, "big"),
    }
    inputs = {"session": session.hex(), "entropy": entropy.hex(), "peer_public_key": theirs.hex()}
    shown = {name: value.hex() for name, value in outputs.items()}
    return [_case("every key of site 3, its peer being site 1", inputs, shown)]


def _bad_keys() -> list[Case]:
    points = {
        "u = 0, of order 2": 0,
        "u = 1, of order 4": 1,
        "a point of order 8": 0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        "another point of order 8": (
            0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F
        ),
        "u = -1, of order 4 on the twist": 2**255 - 20,
        "a second encoding of zero": 2**255 - 19,
        "the base point with the top bit set": 2**255 + 9,
    }
    return [
        _tried_key(name, PublicKey(number.to_bytes(32, "little")))
        for name, number in points.items()
    ]


def _tried_key(name: str, key: PublicKey) -> Case:
    try:
        check_exchange_key(key)
    except ConcauseError as error:
        return _refused(name, {"public_key": key.hex()}, error)
    raise AssertionError(name)


def _sharing() -> list[Case]:
    hidden = secret("vectors", "secret", 0)
    return [
        _case(
            name,
            {
                "secret": hidden.hex(),
                "coefficients": [each.to_bytes(33, "big").hex() for each in chosen],
                "points": points,
            },
            {"shares": [share.hex() for share in split(hidden, chosen, points)]},
        )
        for name, chosen, points in (
            ("one of one", [], [1]),
            ("two of three", [5], [1, 2, 3]),
            ("three of four, with the largest element", [PRIME - 1, 7], [1, 2, 3, 200]),
        )
    ]


def _masking() -> list[Case]:
    keys = [bytes([number]) * 32 for number in range(3)]
    residues = np.array([0, 1, 2**64 - 1, 2**63, 5], np.uint64)
    return [
        _case(
            name,
            {
                "length": residues.size,
                "narrow": narrow,
                "vector": to_wire(pack(residues, narrow)).hex(),
                "added": [key.hex() for key in added],
                "subtracted": [key.hex() for key in subtracted],
            },
            {"masked": _masked(residues, narrow, MaskKeys(tuple(added), tuple(subtracted)))},
        )
        for name, narrow, added, subtracted in (
            ("one keystream added", 0, keys[:1], []),
            ("one keystream subtracted", 0, [], keys[:1]),
            ("two added, one subtracted", 0, keys[:2], keys[2:]),
            ("three of 64 bits, two of 32", 2, keys[:2], keys[2:]),
            ("all of 32 bits", 5, keys[:2], keys[2:]),
        )
    ]


def _masked(residues: Residues, narrow: int, keys: MaskKeys) -> str:
    return to_wire(mask(pack(residues, narrow), keys)).hex()


def _messages() -> list[Case]:
    taken = record(world())
    return [
        _case(
            type(message).__name__,
            {"site": 0},
            {"encoded": encode_message(message).hex()},
        )
        for message in (*taken.requests, *taken.answers)
    ]


def _bad_messages() -> list[Case]:
    session = world().descriptor.session
    good = b"\x04" + session + b"\0\2" + b"\0\0\0\1"
    attempts = {
        "an empty message": b"",
        "an unknown type": b"\x7f" + good[1:],
        "a message cut short": good[:-1],
        "a byte after the last field": good + b"\0",
        "site 200": good[:-2] + b"\0\xc8",
        "a list of 201 sites": b"\x04" + session + b"\0\xc9" + bytes(402),
        "a vector longer than any plan": b"\x13" + bytes(98) + (2**27 + 1).to_bytes(4, "big"),
    }
    return [_tried_message(name, encoded) for name, encoded in attempts.items()]


def _tried_message(name: str, encoded: bytes) -> Case:
    try:
        decode_message(encoded)
    except ConcauseError as error:
        return _refused(name, {"encoded": encoded.hex()}, error)
    raise AssertionError(name)


def _round() -> Case:
    issued = world()
    outcome = run(issued, LoseAnswer(2, 3))
    if outcome.complete is None:
        raise AssertionError(outcome.error)
    inputs = {
        "signing_keys": [key.private_bytes_raw().hex() for key in issued.keys],
        "entropy": [issued.invited(place).entropy.hex() for place in range(4)],
        "vectors": [_wire(issued, issued.vector(place)) for place in range(4)],
        "lost": "the masked vector of site 3",
    }
    outputs = {
        "transcript": outcome.transcript.hex(),
        "cohort": list(outcome.complete.cohort),
        "dropped": list(outcome.complete.dropped),
        "sum": _wire(issued, outcome.complete.sum),
    }
    return _case("four sites, one lost before its vector arrived", inputs, outputs)


def _wire(issued: Consortium, residues: Residues) -> str:
    return to_wire(pack(residues, issued.descriptor.narrow)).hex()


def _bad_rounds() -> list[Case]:
    issued = world()
    good = run(issued, LoseAnswer(2, 3)).transcript
    header, events = decode(good)
    renamed = replace(header, roster=replace(header.roster, name="renamed"))
    frames = [encode_event(event) for event in events]
    start = encode_header(header)
    another = run(issued.issue(counter=2), LoseAnswer(2, 3)).transcript
    attempts = {
        "another roster than the descriptor's": encode_header(renamed) + b"".join(frames),
        "one advert's signature flipped": flip(good, 8 * (len(start) + len(frames[0])) - 1),
        "the first advert left out": start + b"".join(frames[1:]),
        "the last event left out": start + b"".join(frames[:-1]),
        "an event after the end": good + frames[-1],
        "a torn last event": good[:-1],
        "the events of another round": start + another[len(start) :],
        "a file of another kind": b"x" * 400,
    }
    return [_tried_round(name, attempt, issued) for name, attempt in attempts.items()]


def _tried_round(name: str, transcript: bytes, issued: Consortium) -> Case:
    roster = decode(transcript)[0].roster if name.startswith("another roster") else issued.roster
    try:
        verify_transcript(transcript, roster)
    except ConcauseError as error:
        inputs = {"transcript": transcript.hex(), "roster": roster.canonical.decode()}
        return _refused(name, inputs, error)
    raise AssertionError(name)


def main() -> None:
    """Write every file."""
    FOLDER.mkdir(exist_ok=True)
    for name, cases in documents().items():
        (FOLDER / f"{name}.json").write_text(text(cases), encoding="utf-8")


if __name__ == "__main__":
    main()
