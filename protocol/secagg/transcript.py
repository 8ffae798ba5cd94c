"""The transcript: every event of a round in order, from which the sum can be made again (SPEC 4.8).

It is the coordinator's checkpoint and the auditor's evidence in one: replaying runs the
same machine, so every signature, commitment and secret is verified again. Bytes only
are ever added at the end.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from protocol.codec import Reader, Writer
from protocol.errors import PeerError, UsageError
from protocol.secagg.coordinator_states import Complete, Event, StepClosed
from protocol.secagg.descriptor import SignedDescriptor
from protocol.secagg.messages import (
    MAX_SEALED_BYTES,
    Opened,
    decode_answer,
    decode_opened,
    encode_message,
)
from protocol.secagg.roster import Roster, parse_roster
from protocol.secagg.rounds import RoundState, advance, open_round

MAGIC = b"concause-transcript/1\n"
MAX_ROSTER_BYTES = 64 << 10
MAX_EVENT_BYTES = MAX_SEALED_BYTES + (1 << 10)  # the longest event is a vector
_LENGTH_BYTES = 4
_STEP_CLOSED = StepClosed.type_byte.to_bytes(1, "big")
_OPENED = Opened.type_byte.to_bytes(1, "big")


@dataclass(frozen=True, slots=True)
class Header:
    """The round of a transcript."""

    roster: Roster
    signed: SignedDescriptor


def encode_header(header: Header) -> bytes:
    """Return the bytes that open a transcript."""
    signed = header.signed.encode()
    writer = Writer().fixed(MAGIC, len(MAGIC)).opaque(header.roster.canonical)
    return writer.fixed(signed, len(signed)).finish()


def encode_event(event: Event) -> bytes:
    """Return the frame to append for one event that the machine accepted."""
    if isinstance(event, StepClosed):
        return Writer().opaque(_STEP_CLOSED).finish()
    return Writer().opaque(encode_message(event)).finish()


def decode(
    transcript: bytes, *, allow_truncated_tail: bool = False
) -> tuple[Header, tuple[Event, ...]]:
    """Return header and events.

    With `allow_truncated_tail`, a last frame that a crash cut short is dropped; before
    appending, cut the file to `intact_length`.

    Raises:
        PeerError: the bytes are not exactly a transcript.
    """
    header = _read_header(transcript)
    frames, end = _frames(transcript, len(encode_header(header)))
    if end != len(transcript) and not allow_truncated_tail:
        raise PeerError("message-too-short", "The transcript ends inside an event.")
    return header, tuple(_decode_event(transcript[frame]) for frame in frames)


def intact_length(transcript: bytes) -> int:
    """Return how many bytes make up the header and the whole frames.

    Raises:
        PeerError: the header itself is not whole.
    """
    _, end = _frames(transcript, len(encode_header(_read_header(transcript))))
    return end


def replay(header: Header, events: Iterable[Event]) -> RoundState:
    """Return the state that the machine reaches.

    Raises:
        PeerError, PolicyError, CohortError: where the machine refuses an event.
    """
    state = open_round(header.signed, header.roster)
    for event in events:
        state, _ = advance(state, event)
    return state


def verify_transcript(transcript: bytes, roster: Roster) -> Complete:
    """Return the outcome of a round, every step of it verified against a pinned roster.

    Raises:
        PeerError: not a transcript, of another roster, unfinished, or an event in it breaks
            the protocol.
        PolicyError, CohortError: the round itself broke a rule.
    """
    header, events = decode(transcript)
    if header.roster != roster:
        raise PeerError("other-roster", "The transcript is of another roster than the one given.")
    state = replay(header, events)
    if not isinstance(state, Complete):
        raise PeerError("unfinished-round", "The transcript ends before the sum is opened.")
    return state


def _read_header(transcript: bytes) -> Header:
    reader = Reader(transcript)
    if reader.fixed(len(MAGIC)) != MAGIC:
        raise PeerError("not-a-transcript", f"Expected {MAGIC.decode().strip()!r} at the start.")
    try:
        roster = parse_roster(reader.opaque(MAX_ROSTER_BYTES))
    except UsageError as error:
        raise PeerError("bad-roster", error.cause, error.remedy) from error
    return Header(roster, SignedDescriptor.read(reader))


def _frames(transcript: bytes, start: int) -> tuple[list[slice], int]:
    """Return where each whole frame from `start` on lies, and where the last one ends."""
    frames = []
    while start + _LENGTH_BYTES <= len(transcript):
        begin = start + _LENGTH_BYTES
        length = int.from_bytes(transcript[start:begin], "big")
        if length > MAX_EVENT_BYTES:
            raise PeerError(
                "field-out-of-range", "An event of the transcript is too long to be one."
            )
        end = begin + length
        if end > len(transcript):
            break
        frames.append(slice(begin, end))
        start = end
    return frames, start


def _decode_event(frame: bytes) -> Event:
    if frame == _STEP_CLOSED:
        return StepClosed()
    return decode_opened(frame) if frame[:1] == _OPENED else decode_answer(frame)
