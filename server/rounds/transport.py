"""The transport over Flower: one ConfigRecord a message (SPEC 5)."""

from collections.abc import Mapping, Sequence

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from server.rounds.carrier import Address, Answered, Broken, Declined, Reply

RECORD = "concause"
MESSAGE_TYPE = "query.round"
_WORDS = {
    ErrorCode.CLIENT_APP_RAISED_EXCEPTION: "the site's gate failed; its log says why",
    ErrorCode.MESSAGE_UNAVAILABLE: "no reply before the request expired",
    ErrorCode.REPLY_MESSAGE_UNAVAILABLE: "the reply expired on its way",
    ErrorCode.NODE_UNAVAILABLE: "the node is not connected any more",
    ErrorCode.CLIENT_APP_CRASHED: "the site's gate is gone",
}


class FlowerTransport:
    """Carries requests over a Flower Grid, to whose nodes addresses are node ids."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._awaited: dict[str, Address] = {}  # by message id
        self._undelivered: list[Reply] = []

    def addresses(self) -> Sequence[Address]:
        """Return the connected nodes, ascending."""
        return sorted(Address(node) for node in self._grid.get_node_ids())

    def push(self, requests: Mapping[Address, bytes], ttl_s: float, known: bytes = b"") -> None:
        """Hand one message for each address to the SuperLink."""
        if not requests:
            return
        self._awaited = {i: a for i, a in self._awaited.items() if a not in requests}
        messages = [_message(address, body, ttl_s, known) for address, body in requests.items()]
        identifiers = list(self._grid.push_messages(messages)) or [""] * len(messages)
        for address, identifier in zip(requests, identifiers, strict=True):
            if identifier:
                self._awaited[identifier] = address
            else:  # Flower's way to say that it would not take a message
                self._undelivered.append(Broken(address, "the SuperLink did not take the request"))

    def pull(self) -> Sequence[Reply]:
        """Return what the SuperLink holds for the awaited messages."""
        replies, self._undelivered = self._undelivered, []
        if self._awaited:
            for message in self._grid.pull_messages(list(self._awaited)):
                # By the id of the request, not by what the sender says of itself.
                address = self._awaited.pop(message.metadata.reply_to_message_id, None)
                if address is not None:
                    replies.append(_reply(address, message))
        return replies


def _message(address: Address, body: bytes, ttl_s: float, known: bytes) -> Message:
    beside = {"checkpoint": known} if known else {}
    content = RecordDict({RECORD: ConfigRecord({"body": body, **beside})})
    return Message(content, dst_node_id=address, message_type=MESSAGE_TYPE, ttl=ttl_s)


def _reply(address: Address, message: Message) -> Reply:
    if message.has_error():
        code = message.error.code
        words = _WORDS.get(code) or message.error.reason
        return Broken(address, f"{words} (Flower error {code})")
    record = message.content.get(RECORD)
    if len(message.content) == 1 and isinstance(record, ConfigRecord):
        entries = dict(record)
        match entries.pop("checkpoint", b""), entries:
            case bytes(checkpoint), {"body": bytes(body), **rest} if not rest:
                return Answered(address, body, checkpoint)
            case bytes(), {"refusal": bytes(refusal), **rest} if not rest:
                return Declined(address, refusal)
    return Broken(address, f"expected one record {RECORD!r} with a body or a refusal")
