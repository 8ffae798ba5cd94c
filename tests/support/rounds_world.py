"""What a test of the round driver needs: a clock that nobody waits for, sites, a round folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from protocol import canonical
from protocol.errors import ConcauseError
from protocol.secagg.messages import decode_request, encode_message
from protocol.secagg.rounds import MemberState, answer, invited
from protocol.secagg.site_states import AwaitingContribution, Contribution
from protocol.secagg.split_site import AwaitingSplit
from protocol.secagg.transcript import Header
from server.rounds.carrier import Address, Answered, Declined, Reply
from server.rounds.clock import Timings
from server.rounds.folder import RoundFolder, create_round_folder
from tests.support.secagg_network import Consortium

FIRST_ADDRESS = 2**63 + 7  # Flower's node ids use all 64 bits
TIMINGS = Timings(step_timeout_s=20.0, start_timeout_s=10.0, poll_interval_s=0.5)
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class FakeClock:
    """Time passes only while somebody sleeps."""

    slept_s: float = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.slept_s)

    def monotonic(self) -> float:
        return self.slept_s

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds


class SiteDouble:
    """A gate without consent, budget or disk: the site machine of either kind, and one vector.

    Like the gate, it answers a word-for-word repetition of the last request as before.
    """

    def __init__(self, world: Consortium, position: int) -> None:
        self._world = world
        self._position = position
        self._last: tuple[bytes, bytes] | None = None
        self._state: MemberState = invited(world.invited(position))

    def respond(self, body: bytes) -> dict[str, bytes]:
        """Return what travels back."""
        if self._last is not None and self._last[0] == body:
            return {"body": self._last[1]}
        try:
            self._state, answers = answer(self._state, decode_request(body))
            if isinstance(self._state, AwaitingContribution | AwaitingSplit):
                vector = Contribution(self._world.vector(self._position))
                self._state, answers = answer(self._state, vector)
        except ConcauseError as error:
            return {"refusal": refusal(error.category, error.code, error.cause)}
        (only,) = answers
        self._last = (body, encode_message(only))
        return {"body": self._last[1]}


def refusal(category: str, code: str, cause: str) -> bytes:
    """Return a refusal as a gate sends it."""
    return canonical.encode(
        {"category": category, "code": code, "cause": cause, "remedy": "", "id": "0123abcd"}
    )


def doubles(world: Consortium) -> dict[Address, SiteDouble]:
    """Return one site for each place in the roster, by the address of its node."""
    return {
        Address(FIRST_ADDRESS + position): SiteDouble(world, position)
        for position in range(len(world.keys))
    }


def issued(world: Consortium, path: Path) -> RoundFolder:
    """Return the folder of a round that has not begun."""
    return create_round_folder(path, Header(world.roster, world.signed), "name = 'a study'\n")


@dataclass
class LoopbackTransport:
    """A transport without a carrier: a push is answered at once."""

    sites: Mapping[Address, SiteDouble]
    waiting: dict[Address, Reply] = field(default_factory=dict)
    known: bytes = b""  # the checkpoints that came with the last push

    def addresses(self) -> Sequence[Address]:
        return sorted(self.sites)

    def push(self, requests: Mapping[Address, bytes], ttl_s: float, known: bytes = b"") -> None:
        assert ttl_s > 0
        self.known = known
        for address, body in requests.items():
            self.waiting[address] = reply_of(address, self.sites[address].respond(body))

    def pull(self) -> Sequence[Reply]:
        replies = list(self.waiting.values())
        self.waiting.clear()
        return replies


def reply_of(address: Address, record: Mapping[str, bytes]) -> Reply:
    """Return a record as the driver sees it."""
    if "body" in record:
        return Answered(address, record["body"])
    return Declined(address, record["refusal"])
