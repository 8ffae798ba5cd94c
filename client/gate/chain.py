"""The audit log as lines: each names the hash of the one before, so that none can be changed.

A line is canonical JSON; its hash is SHA-256 over its bytes, without the line feed. Checkpoints
show that hash to others, so each line has a salt: without it, what a line says could be guessed.
Pure: reads and writes nothing. What a chain cannot show by itself is that its end was cut off; a
checkpoint can: the hash of a line under the site's signature, kept by someone else.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from protocol import canonical
from protocol.canonical import Json
from protocol.checkpoints import Checkpoint
from protocol.errors import PolicyError, SiteOnlyError, UsageError
from protocol.identifiers import DIGEST_BYTES, Digest

GENESIS = Digest(bytes(DIGEST_BYTES))
MAX_WHY = 1000
_REQUIRED = {"number", "at", "event", "who", "previous", "salt"}
_OPTIONAL = {"study", "session", "hash", "rho", "code", "incident", "why"}
_PLACE = ("number", "at", "previous", "salt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What one line tells beside its place in the chain.

    Attributes:
        event: what was done, as "round-charged".
        who: a person's name and role, or "gate".
        hash: of what it is about: an approval's terms, an envelope, a vector, in hex.
        rho: what was charged, a fraction.
        code, incident: of a refusal.
        why: a person's own words.
    """

    event: str
    who: str = "gate"
    study: str | None = None
    session: str | None = None
    hash: str | None = None
    rho: str | None = None
    code: str | None = None
    incident: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its place; `at` in seconds since 1970, `salt` random and in hex."""

    number: int
    at: int
    previous: Digest
    salt: str
    event: Event

    @property
    def encoded(self) -> bytes:
        """Return the canonical JSON, without a line feed."""
        told: dict[str, Json] = {n: v for n, v in asdict(self.event).items() if v is not None}
        place: dict[str, Json] = {
            "number": self.number,
            "at": self.at,
            "previous": self.previous.hex(),
            "salt": self.salt,
        }
        return canonical.encode({**told, **place})

    @property
    def hash(self) -> Digest:
        """Return what the next line names as `previous`."""
        return line_hash(self.encoded)


def line_hash(encoded: bytes) -> Digest:
    """Return the hash of a line's bytes."""
    return Digest(hashlib.sha256(encoded).digest())


def read_lines(content: bytes) -> tuple[Line, ...]:
    """Return the lines of a log, each in its place in one chain from the first.

    Raises:
        PolicyError: a line was changed, added, removed or cut off; says which.
    """
    if content and not content.endswith(b"\n"):
        raise _broken(content.count(b"\n") + 1, "is cut off in the middle")
    return tuple(_chained(content.splitlines()))


def check_holds(lines: Sequence[Line], checkpoint: Checkpoint) -> None:
    """Check that a log still has the line that a checkpoint names.

    Raises:
        PolicyError: it does not; its end was cut off, or an older copy was put in its place.
    """
    if checkpoint.head != GENESIS and all(line.hash != checkpoint.head for line in lines):
        raise SiteOnlyError(
            "audit-truncated",
            f"The log has {len(lines)} lines in an unbroken chain, but not the one that a later "
            "checkpoint of this site names: its end was cut off, or an older copy put in place.",
            "Ask the site's administrator where the newer log is, and who had access to it.",
        )


def _chained(encoded: Sequence[bytes]) -> Iterator[Line]:
    previous = GENESIS
    for number, text in enumerate(encoded, start=1):
        line = read_line(text, number)
        if line.number != number or line.previous != previous:
            raise _broken(number, "does not follow from the one before")
        yield line
        previous = line_hash(text)


def read_line(text: bytes, number: int) -> Line:
    """Return one line by itself; `number` is its place, for the error.

    Raises:
        PolicyError: it is not as it was written.
    """
    try:
        fields = canonical.decode(text)
        if not isinstance(fields, dict) or not _REQUIRED <= set(fields) <= _REQUIRED | _OPTIONAL:
            raise _broken(number, "has other fields than a line of this log")
        place = {name: fields.pop(name) for name in _PLACE}
        event = Event(**{name: _text(value) for name, value in fields.items()})
        return Line(
            _integer(place["number"]),
            _integer(place["at"]),
            Digest(bytes.fromhex(_text(place["previous"]))),
            _text(place["salt"]),
            event,
        )
    except (UsageError, ValueError, TypeError) as error:
        raise _broken(number, "is not as it was written") from error


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _integer(value: Json) -> int:
    if type(value) is not int:
        raise TypeError("not a number")
    return value


def _broken(number: int, words: str) -> PolicyError:
    return SiteOnlyError(
        "audit-edited",
        f"Line {number} of the audit log {words}.",
        "If the gate was just killed, start it again. Else ask who may write to the file, and "
        "compare it with a copy that was exported earlier; `concause site audit restore` writes it "
        "anew from the gate's database.",
    )
