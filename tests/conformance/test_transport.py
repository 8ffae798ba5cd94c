"""One suite for every transport, and what Flower's adds."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import pytest
from flwr.app import Message
from flwr.common.constant import ErrorCode

from server.rounds.carrier import Address, Answered, Broken, Declined, Transport
from server.rounds.transport import MESSAGE_TYPE, RECORD, FlowerTransport
from tests.support.flower_grid import (
    Crash,
    InProcessGrid,
    LostReply,
    NodeError,
    Says,
    Silent,
    double_apps,
)
from tests.support.rounds_world import FIRST_ADDRESS, LoopbackTransport, SiteDouble, refusal


class Echo(SiteDouble):
    """Sends back what it gets; refuses an empty request."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def respond(self, body: bytes) -> dict[str, bytes]:
        self.heard.append(body)
        return {"body": body} if body else {"refusal": refusal("policy", "empty", "Nothing.")}


def over_flower(sites: Mapping[Address, Echo]) -> Transport:
    return FlowerTransport(InProcessGrid(double_apps(sites)))


TRANSPORTS: dict[str, Callable[[Mapping[Address, Echo]], Transport]] = {
    "flower": over_flower,
    "loopback": LoopbackTransport,
}
every_transport = pytest.mark.parametrize("make", TRANSPORTS.values(), ids=TRANSPORTS)
ADDRESSES = [Address(FIRST_ADDRESS + place) for place in range(3)]


def echoes() -> dict[Address, Echo]:
    return {address: Echo() for address in reversed(ADDRESSES)}


def test_there_are_transports_to_check() -> None:
    assert len(TRANSPORTS) > 1


@every_transport
def test_addresses_come_in_ascending_order(make: Callable[..., Transport]) -> None:
    found = make(echoes()).addresses()
    assert list(found) == ADDRESSES
    assert all(a < b for a, b in pairwise(found))


@every_transport
def test_nothing_is_pulled_before_something_was_pushed(make: Callable[..., Transport]) -> None:
    transport = make(echoes())
    transport.push({}, 5.0)
    assert list(transport.pull()) == []


@every_transport
def test_each_address_gets_its_own_request_and_answers_once(make: Callable[..., Transport]) -> None:
    transport = make(echoes())
    requests = {address: b"\x01" + address.to_bytes(8, "big") for address in ADDRESSES}
    transport.push(requests, 5.0)
    replies = transport.pull()
    assert {reply.address: reply for reply in replies} == {
        address: Answered(address, body) for address, body in requests.items()
    }
    assert list(transport.pull()) == []


@every_transport
def test_only_the_addresses_named_are_asked(make: Callable[..., Transport]) -> None:
    sites = echoes()
    make(sites).push({ADDRESSES[1]: b"\x01"}, 5.0)
    assert [len(sites[address].heard) for address in ADDRESSES] == [0, 1, 0]


@every_transport
def test_an_answer_comes_back_byte_for_byte(make: Callable[..., Transport]) -> None:
    body = bytes(range(256)) * 4096
    transport = make(echoes())
    transport.push({ADDRESSES[0]: b"\x01" + body}, 5.0)
    assert list(transport.pull()) == [Answered(ADDRESSES[0], b"\x01" + body)]


@every_transport
def test_a_new_request_makes_the_older_one_forgotten(make: Callable[..., Transport]) -> None:
    transport = make(echoes())
    transport.push({ADDRESSES[0]: b"\x01older"}, 5.0)
    transport.push({ADDRESSES[0]: b"\x01newer"}, 5.0)
    assert list(transport.pull()) == [Answered(ADDRESSES[0], b"\x01newer")]


class Refuser(Echo):
    """Refuses everything."""

    def respond(self, body: bytes) -> dict[str, bytes]:
        return super().respond(body[:0])


@every_transport
def test_a_refusal_comes_back_as_one(make: Callable[..., Transport]) -> None:
    transport = make({ADDRESSES[0]: Refuser()})
    transport.push({ADDRESSES[0]: b"\x01"}, 5.0)
    assert list(transport.pull()) == [
        Declined(ADDRESSES[0], refusal("policy", "empty", "Nothing."))
    ]


def pushed(*faults: object) -> FlowerTransport:
    """Return a transport that has asked three sites, the last of which suffers the fault."""
    transport = FlowerTransport(InProcessGrid(double_apps(echoes()), faults))  # type: ignore[arg-type]
    transport.push(dict.fromkeys(ADDRESSES, b"\x01"), 5.0)
    return transport


@pytest.mark.parametrize("fault", [Silent(0, 2), LostReply(0, 2)])
def test_flower_silence_gives_no_reply(fault: object) -> None:
    assert [reply.address for reply in pushed(fault).pull()] == ADDRESSES[:2]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (NodeError(0, 2), "the node is not connected any more (Flower error 5)"),
        (
            NodeError(0, 2, ErrorCode.MESSAGE_UNAVAILABLE),
            "no reply before the request expired (Flower error 3)",
        ),
        (NodeError(0, 2, ErrorCode.UNKNOWN), "the node is unavailable (Flower error 0)"),
        (Crash(0, 2), "the site's gate failed; its log says why (Flower error 2)"),
    ],
)
def test_flower_error_reply_is_broken_and_says_what_it_means(fault: object, reason: str) -> None:
    assert pushed(fault).pull()[2] == Broken(ADDRESSES[2], reason)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"other": {"body": b"x"}},
        {RECORD: {}},
        {RECORD: {"body": 5}},
        {RECORD: {"body": b"x", "more": b"y"}},
        {RECORD: {"body": b"x", "refusal": b"y"}},
        {RECORD: {"refusal": 5}},
        {RECORD: {"body": b"x"}, "other": {}},
    ],
)
def test_flower_reply_of_another_form_is_broken(content: Mapping[str, Mapping[str, bytes]]) -> None:
    broken = pushed(Says(0, 2, content)).pull()[2]
    assert broken == Broken(ADDRESSES[2], "expected one record 'concause' with a body or a refusal")


def test_flower_messages_carry_type_lifetime_and_one_record() -> None:
    grid = InProcessGrid(double_apps(echoes()))
    FlowerTransport(grid).push({ADDRESSES[0]: b"\x01"}, 12.5)
    (message,) = grid.pushed
    assert message.metadata.message_type == MESSAGE_TYPE
    assert message.metadata.ttl == 12.5
    assert message.metadata.dst_node_id == ADDRESSES[0]
    assert {name: dict(record) for name, record in message.content.items()} == {
        RECORD: {"body": b"\x01"}
    }


class Picky(InProcessGrid):
    """A SuperLink that takes no message for the last node, or none at all."""

    takes_some = True

    def push_messages(self, messages: list[Message]) -> list[str]:  # type: ignore[override]
        if not self.takes_some:
            return []  # what Flower returns for a batch that is too large
        *taken, last = messages
        assert last.metadata.dst_node_id == ADDRESSES[2]
        return [*super().push_messages(taken), ""]


@pytest.mark.parametrize(("takes_some", "answers"), [(True, 2), (False, 0)])
def test_a_request_that_flower_does_not_take_is_broken_at_once(
    takes_some: bool, answers: int
) -> None:
    grid = Picky(double_apps(echoes()))
    grid.takes_some = takes_some
    transport = FlowerTransport(grid)
    transport.push(dict.fromkeys(ADDRESSES, b"\x01"), 5.0)
    replies = sorted(transport.pull(), key=lambda reply: reply.address)
    assert [type(reply) for reply in replies] == [Answered] * answers + [Broken] * (3 - answers)
    assert list(transport.pull()) == []


class Chatty(InProcessGrid):
    """A SuperLink that also returns replies to what was never asked."""

    def pull_messages(self, message_ids: list[str]) -> list[Message]:  # type: ignore[override]
        found = list(super().pull_messages(message_ids))
        return [*found, *found]


def test_flower_reply_that_comes_twice_counts_once() -> None:
    transport = FlowerTransport(Chatty(double_apps(echoes())))
    transport.push({ADDRESSES[0]: b"\x01"}, 5.0)
    assert list(transport.pull()) == [Answered(ADDRESSES[0], b"\x01")]
