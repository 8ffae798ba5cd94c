"""One encoding per message: whatever is cut, added or flipped is refused or seen."""

from typing import TypeVar, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import ConcauseError, PeerError
from protocol.identifiers import Digest, PublicKey, SessionId, Signature, SiteId
from protocol.secagg import coordinator, site
from protocol.secagg.descriptor import MAX_LENGTH, Aggregation, Descriptor, SignedDescriptor
from protocol.secagg.messages import (
    COORDINATOR_MESSAGES,
    SEALED_BYTES,
    SITE_MESSAGES,
    Advert,
    Adverts,
    Agreement,
    CoordinatorMessage,
    Deliveries,
    Delivery,
    Invitation,
    MaskedVector,
    Message,
    Opened,
    Quorum,
    Reveal,
    SealedPair,
    Shares,
    SiteMessage,
    SplitVector,
    Survivors,
    decode_answer,
    decode_message,
    decode_request,
    encode_message,
)
from protocol.secagg.split import SealedShares
from tests.support.secagg_network import consortium, flip
from tests.support.secagg_record import record
from tests.support.split_world import SplitRound, split_consortium

WORLD = consortium(3, length=2)
RECORD = record(WORLD)
REQUESTS = {type(message).__name__: message for message in RECORD.requests}
ANSWERS = {type(message).__name__: message for message in RECORD.answers}
SPLIT = SplitRound(split_consortium(3, aggregators=3, length=2))
SPLIT.finish()
AGGREGATED = {
    type(event).__name__: event for event in SPLIT.events if isinstance(event, SplitVector | Opened)
}
MESSAGES: dict[str, Message] = {**REQUESTS, **ANSWERS, **AGGREGATED}
STRIDE = 5  # flips one or two bits of every byte, in turn each of the eight
EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True)

_T = TypeVar("_T")
digests = st.binary(min_size=32, max_size=32).map(Digest)
sessions = st.binary(min_size=32, max_size=32).map(SessionId)
keys = st.binary(min_size=32, max_size=32).map(PublicKey)
signatures = st.binary(min_size=64, max_size=64).map(Signature)
sites = st.integers(0, 199).map(SiteId)


def few(element: st.SearchStrategy[_T]) -> st.SearchStrategy[tuple[_T, ...]]:
    return st.lists(element, max_size=4).map(tuple)


def descriptors_of(length: int) -> st.SearchStrategy[Descriptor]:
    return st.builds(
        Descriptor,
        counter=st.integers(0, 2**64 - 1),
        roster_hash=digests,
        study_hash=digests,
        plan_hash=digests,
        length=st.just(length),
        narrow=st.integers(0, length),
        threshold=st.integers(0, 200),
        n_min=st.integers(0, 200),
        colluders=st.integers(0, 200),
        deadline=st.integers(0, 2**64 - 1),
        aggregation=st.sampled_from(Aggregation),
        protocol_version=st.integers(0, 2**16 - 1),
    )


descriptors = st.integers(0, MAX_LENGTH).flatmap(descriptors_of)
adverts = st.builds(Advert, sessions, sites, keys, keys, digests, signatures)
pairs = st.builds(
    SealedPair, sites, digests, digests, st.binary(min_size=SEALED_BYTES, max_size=SEALED_BYTES)
)
deliveries = st.builds(Delivery, sites, pairs, few(digests), signatures)
agreements = st.builds(Agreement, sessions, sites, digests, digests, digests, signatures)
shares = st.binary(min_size=33, max_size=33)
sealed_seeds = st.binary(min_size=48, max_size=48)
sealed = st.builds(
    SealedShares, st.binary(max_size=40), st.lists(sealed_seeds, max_size=2).map(tuple)
)
MESSAGE_STRATEGIES: dict[type[Message], st.SearchStrategy[Message]] = {
    Invitation: st.builds(Invitation, st.builds(SignedDescriptor, descriptors, signatures)),
    Adverts: st.builds(Adverts, sessions, few(adverts)),
    Deliveries: st.builds(Deliveries, sessions, few(deliveries)),
    Survivors: st.builds(Survivors, sessions, few(sites)),
    Quorum: st.builds(Quorum, sessions, few(agreements)),
    Advert: adverts,
    Shares: st.builds(Shares, sessions, sites, digests, few(pairs), signatures),
    MaskedVector: st.builds(
        MaskedVector, sessions, sites, digests, digests, st.binary(max_size=40), signatures
    ),
    Agreement: agreements,
    Reveal: st.builds(Reveal, sessions, sites, digests, few(shares), signatures),
    SplitVector: st.builds(SplitVector, sessions, sites, digests, sealed, signatures),
    Opened: st.builds(
        Opened,
        sessions,
        st.integers(0, 2),
        digests,
        st.integers(0, 2**16 - 1),
        st.binary(max_size=40),
        signatures,
    ),
}


def test_every_message_is_tried() -> None:
    assert set(MESSAGE_STRATEGIES) == set(get_args(Message))
    assert {type(message) for message in MESSAGES.values()} == set(get_args(Message))
    kinds = {*COORDINATOR_MESSAGES, *SITE_MESSAGES, Opened}
    assert kinds == set(get_args(Message))
    assert len({kind.type_byte for kind in kinds}) == 12


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_message_carries_its_session(kind: str) -> None:
    world = SPLIT.world if kind in AGGREGATED else WORLD
    assert MESSAGES[kind].session == world.descriptor.session


@EXAMPLES
@given(st.one_of(*MESSAGE_STRATEGIES.values()))
def test_decoding_gives_back_the_message_and_its_bytes(message: Message) -> None:
    encoded = encode_message(message)
    assert decode_message(encoded) == message
    assert encode_message(decode_message(encoded)) == encoded


@EXAMPLES
@given(st.binary(max_size=400), st.sampled_from([*MESSAGES]))
def test_arbitrary_bytes_are_a_message_or_a_refusal(tail: bytes, kind: str) -> None:
    encoded = MESSAGES[kind].type_byte.to_bytes(1, "big") + tail
    try:
        message = decode_message(encoded)
    except PeerError:
        return
    assert encode_message(message) == encoded


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_truncation_is_refused(kind: str) -> None:
    encoded = encode_message(MESSAGES[kind])
    for length in range(len(encoded)):
        with pytest.raises(PeerError):
            decode_message(encoded[:length])


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize("tail", [b"\0", b"\xff", bytes(32)], ids=repr)
def test_every_extension_is_refused(kind: str, tail: bytes) -> None:
    with pytest.raises(PeerError):
        decode_message(encode_message(MESSAGES[kind]) + tail)


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_bit_flip_is_refused_or_makes_another_message(kind: str) -> None:
    message, encoded = MESSAGES[kind], encode_message(MESSAGES[kind])
    for bit in range(8 * len(encoded)):
        changed = flip(encoded, bit)
        try:
            decoded = decode_message(changed)
        except PeerError:
            continue
        assert decoded != message
        assert encode_message(decoded) == changed


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_site_refuses_every_flipped_request(kind: str) -> None:
    before = next(s for s, m in site.LEGAL if m is type(REQUESTS[kind]))
    state, encoded = RECORD.site_states[before], encode_message(REQUESTS[kind])
    for bit in range(0, 8 * len(encoded), STRIDE):
        with pytest.raises(ConcauseError):
            site.advance(state, decode_request(flip(encoded, bit)))


@pytest.mark.parametrize("kind", ANSWERS)
def test_the_coordinator_refuses_every_flipped_answer(kind: str) -> None:
    before = next(s for s, m in coordinator.LEGAL if m is type(ANSWERS[kind]))
    state, encoded = RECORD.fresh[before], encode_message(ANSWERS[kind])
    for bit in range(0, 8 * len(encoded), STRIDE):
        with pytest.raises(ConcauseError):
            coordinator.advance(state, decode_answer(flip(encoded, bit)))


def test_each_side_decodes_only_what_it_may_receive() -> None:
    for request in RECORD.requests:
        assert isinstance(decode_request(encode_message(request)), get_args(CoordinatorMessage))
        with pytest.raises(PeerError) as refused:
            decode_answer(encode_message(request))
        assert refused.value.code == "unknown-message"
    for answer in RECORD.answers:
        assert isinstance(decode_answer(encode_message(answer)), get_args(SiteMessage))
        with pytest.raises(PeerError) as refused:
            decode_request(encode_message(answer))
        assert refused.value.code == "unknown-message"


BEYOND: dict[str, bytes] = {
    "a site of 200": b"\x04" + bytes(32) + b"\0\1" + b"\0\xc8",
    "201 sites": b"\x04" + bytes(32) + b"\0\xc9" + bytes(402),
    "201 adverts": b"\x02" + bytes(32) + b"\0\xc9",
    "a vector of 2^27 + 1 bytes": b"\x13" + bytes(98) + (2**27 + 1).to_bytes(4, "big"),
    "a length of 2^24 + 1": b"\x01" + bytes(106) + (2**24 + 1).to_bytes(4, "big") + bytes(79),
}


@pytest.mark.parametrize("encoded", BEYOND.values(), ids=BEYOND)
def test_a_count_beyond_its_bound_is_refused_before_it_is_read(encoded: bytes) -> None:
    with pytest.raises(PeerError) as refused:
        decode_message(encoded)
    assert refused.value.code == "field-out-of-range"
