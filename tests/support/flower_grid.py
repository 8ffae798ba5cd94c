"""A Flower Grid in one process: real apps and real serialisation, no SuperLink.

Every message is turned to protobuf bytes and back on its way in and on its way out, so
nothing passes here that would not pass between processes. Faults are data.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from server.rounds.carrier import Address
from server.rounds.transport import RECORD
from tests.support.rounds_world import FIRST_ADDRESS, SiteDouble

STEPS = ("advertise", "share", "mask", "agree", "reveal")
SUPERLINK = 1  # Flower's own node id


@dataclass(frozen=True, slots=True)
class Silent:
    """The node takes the request in this step and is never heard of again."""

    step: int
    site: int


@dataclass(frozen=True, slots=True)
class LostReply:
    """The site answers; the reply is lost."""

    step: int
    site: int


@dataclass(frozen=True, slots=True)
class NodeError:
    """The SuperLink answers for the node with an error, as it does for one that is gone."""

    step: int
    site: int
    code: int = ErrorCode.NODE_UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Crash:
    """The ClientApp raises."""

    step: int
    site: int


@dataclass(frozen=True, slots=True)
class Says:
    """The node replies with this record, whatever it was asked."""

    step: int
    site: int
    content: Mapping[str, Mapping[str, bytes | int]]


Fault = Silent | LostReply | NodeError | Crash | Says


class InProcessGrid(Grid):
    """Carries messages to one ClientApp per node, each with a context of its own."""

    def __init__(self, apps: Mapping[int, ClientApp], faults: Sequence[Fault] = ()) -> None:
        self._apps = dict(apps)
        self._faults = faults
        self._contexts = {node: _context(node) for node in apps}
        self._replies: dict[str, Message] = {}
        self._numbers = itertools.count()
        self.pushed: list[Message] = []
        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, SUPERLINK

    def install(self, node: int, app: ClientApp) -> None:
        """Put another ClientApp in the place of a node's, as a restart does."""
        self._apps[node] = app

    def set_run(self, run: Run) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Run:
        raise NotImplementedError

    def create_message(self, *_: object, **__: object) -> Message:
        raise NotImplementedError

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return list(self._apps)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return [self._push(carried(message)) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self._replies.pop(i) for i in message_ids if i in self._replies]

    def _push(self, message: Message) -> str:
        identifier = f"message-{next(self._numbers)}"
        message.metadata.__dict__["_message_id"] = identifier  # as the SuperLink does
        self.pushed.append(message)
        reply = self._reply(message)
        if reply is not None:
            self._replies[identifier] = carried(reply)
        return identifier

    def _reply(self, message: Message) -> Message | None:
        match self._fault(message):
            case Silent():
                return None
            case NodeError(code=code):
                return Message(Error(code, "the node is unavailable"), reply_to=message)
            case Says(content=content):
                return Message(_records(content), reply_to=message)
            case Crash():
                return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "x"), reply_to=message)
            case LostReply():
                self._run_app(message)
                return None
        return self._run_app(message)

    def _run_app(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        try:
            return self._apps[node](message, self._contexts[node])
        except Exception as error:  # noqa: BLE001 - what Flower's own runtime does
            code = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
            return Message(Error(code, str(type(error))), reply_to=message)

    def _fault(self, message: Message) -> Fault | None:
        step, site = step_of(message), message.metadata.dst_node_id - FIRST_ADDRESS
        found = [fault for fault in self._faults if (fault.step, fault.site) == (step, site)]
        return found[0] if found else None


def step_of(message: Message) -> int:
    """Return the step, 0 to 4, of a coordinator's message: its first byte says it."""
    body = message.content[RECORD]["body"]
    assert isinstance(body, bytes)
    return body[0] - 1


def carried(message: Message) -> Message:
    """Return the message as it arrives: through protobuf bytes and back."""
    sent = message_to_proto(message)
    return message_from_proto(type(sent).FromString(sent.SerializeToString()))


def double_app(site: SiteDouble) -> ClientApp:
    """Return a ClientApp that answers for a double as the gate's does for a site."""
    app = ClientApp()

    @app.query("round")
    def respond(message: Message, _: Context) -> Message:
        body = message.content[RECORD]["body"]
        assert isinstance(body, bytes)
        return Message(_records({RECORD: site.respond(body)}), reply_to=message)

    return app


def double_apps(sites: Mapping[Address, SiteDouble]) -> dict[int, ClientApp]:
    """Return one ClientApp for each double, by node."""
    return {int(address): double_app(site) for address, site in sites.items()}


def _records(content: Mapping[str, Mapping[str, bytes | int]]) -> RecordDict:
    return RecordDict({name: ConfigRecord(dict(record)) for name, record in content.items()})


def _context(node: int) -> Context:
    return Context(run_id=1, node_id=node, node_config={}, state=RecordDict(), run_config={})
