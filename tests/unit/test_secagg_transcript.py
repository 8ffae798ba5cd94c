"""The transcript: written as events come, read strictly, replayed to the same state."""

from dataclasses import replace

import pytest

from protocol.errors import CohortError, ConcauseError, PeerError, PolicyError
from protocol.secagg import coordinator
from protocol.secagg.coordinator import CollectingVectors, StepClosed
from protocol.secagg.messages import MaskedVector
from protocol.secagg.transcript import (
    MAGIC,
    MAX_EVENT_BYTES,
    Header,
    decode,
    encode_event,
    encode_header,
    intact_length,
    replay,
    verify_transcript,
)
from tests.support.secagg_network import (
    LoseAnswer,
    LoseRequest,
    at_step,
    consortium,
    flip,
    run,
    total,
)

WORLD = consortium(4, length=3)
TRANSCRIPT = run(WORLD, LoseAnswer(2, 3)).transcript
HEADER = Header(WORLD.roster, WORLD.signed)


def test_encoding_what_was_decoded_gives_the_same_bytes() -> None:
    header, events = decode(TRANSCRIPT)
    assert header == HEADER
    assert encode_header(header) + b"".join(map(encode_event, events)) == TRANSCRIPT


def test_verification_returns_the_sum_of_exactly_the_cohort() -> None:
    complete = verify_transcript(TRANSCRIPT, WORLD.roster)
    assert complete.cohort == (0, 1, 2)
    assert complete.dropped == (3,)
    assert (complete.sum == total(WORLD, complete.cohort)).all()


def test_a_replay_asks_what_was_asked_before() -> None:
    for step in range(5):
        network = at_step(WORLD, step)
        again = replay(*decode(network.transcript))
        assert type(again) is type(network.state)
        assert coordinator.requests(again) == coordinator.requests(network.state)


def test_a_replay_in_the_middle_of_a_step_knows_who_answered() -> None:
    network = at_step(WORLD, 2, LoseRequest(2, 1))
    network.play(2)
    again = replay(*decode(network.transcript))
    assert isinstance(again, CollectingVectors)
    assert coordinator.pending(again) == {1}


def test_a_torn_last_event_is_dropped_only_when_asked() -> None:
    header = len(encode_header(HEADER))
    _, events = decode(TRANSCRIPT)
    last = len(encode_event(events[-1])) + len(encode_event(events[-2]))
    for length in range(len(TRANSCRIPT) - last, len(TRANSCRIPT)):
        torn = TRANSCRIPT[:length]
        whole = intact_length(torn)
        assert decode(torn, allow_truncated_tail=True) == decode(torn[:whole])
        if whole != length:
            with pytest.raises(PeerError) as refused:
                decode(torn)
            assert refused.value.code == "message-too-short"
    assert intact_length(TRANSCRIPT) == len(TRANSCRIPT)
    assert decode(TRANSCRIPT[:header]) == (HEADER, ())


def test_a_torn_header_is_refused_even_then() -> None:
    for length in range(len(encode_header(HEADER))):
        with pytest.raises(PeerError):
            decode(TRANSCRIPT[:length], allow_truncated_tail=True)


def test_no_byte_of_a_transcript_can_be_changed() -> None:
    world = consortium(2, length=1)
    transcript = run(world).transcript
    for place in range(len(transcript)):
        with pytest.raises(ConcauseError):
            verify_transcript(flip(transcript, 8 * place + place % 8), world.roster)


def test_a_transcript_that_ends_early_is_refused() -> None:
    header, events = decode(TRANSCRIPT)
    for kept in range(len(events)):
        cut = encode_header(header) + b"".join(map(encode_event, events[:kept]))
        with pytest.raises(PeerError) as refused:
            verify_transcript(cut, WORLD.roster)
        assert refused.value.code == "unfinished-round"


def test_an_event_after_the_end_is_refused() -> None:
    with pytest.raises(PeerError) as refused:
        verify_transcript(TRANSCRIPT + encode_event(StepClosed()), WORLD.roster)
    assert refused.value.code == "out-of-turn"


def test_a_vector_left_out_of_a_transcript_is_noticed() -> None:
    header, events = decode(TRANSCRIPT)
    vector = next(event for event in events if isinstance(event, MaskedVector))
    kept = [event for event in events if event != vector]
    with pytest.raises((CohortError, PeerError)):
        replay(header, kept)


def test_a_transcript_of_another_roster_is_refused() -> None:
    with pytest.raises(PeerError) as refused:
        verify_transcript(TRANSCRIPT, consortium(4, seed="b").roster)
    assert refused.value.code == "other-roster"


def test_a_header_with_another_roster_than_the_descriptor_is_refused() -> None:
    with pytest.raises(PeerError):
        replay(Header(consortium(4, seed="b").roster, WORLD.signed), ())
    renamed = replace(WORLD.roster, name="renamed")
    with pytest.raises(PolicyError) as refused:
        replay(Header(renamed, WORLD.signed), ())
    assert refused.value.code == "other-roster"


def test_a_file_of_another_kind_is_refused() -> None:
    with pytest.raises(PeerError) as refused:
        decode(b"x" * len(TRANSCRIPT))
    assert refused.value.code == "not-a-transcript"


def test_a_header_without_a_roster_is_refused() -> None:
    with pytest.raises(PeerError) as refused:
        decode(MAGIC + (2).to_bytes(4, "big") + b"{}" + TRANSCRIPT[-200:])
    assert refused.value.code == "bad-roster"


def test_an_event_that_claims_to_be_too_long_is_refused_unread() -> None:
    claim = (MAX_EVENT_BYTES + 1).to_bytes(4, "big")
    with pytest.raises(PeerError) as refused:
        decode(encode_header(HEADER) + claim, allow_truncated_tail=True)
    assert refused.value.code == "field-out-of-range"
