"""Flower's own Runtime API of a SuperNode, served on loopback from a thread of the test.

What the SuperLink would bring is put in by the test: a message with a bundle. What the
SuperNode would send is read back out. Everything between is Flower's code.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TypeVar

import uvicorn
from flwr.app import Context, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory

BUNDLE = b"not a zip file: to unpack it would fail"
BUNDLE_HASH = sha256(BUNDLE).hexdigest()
T = TypeVar("T")
RUN = 7
NODE = 11
SECRET = b"e" * 32


@dataclass
class RuntimeDouble:
    """A SuperNode without its SuperLink."""

    states: NodeStateFactory = field(default_factory=lambda: NodeStateFactory(ObjectStoreFactory()))

    def __post_init__(self) -> None:
        self.state = self.states.state()
        self.store = self.states.objectstore_factory.store()
        run = replace(Run.create_empty(RUN), fab_hash=BUNDLE_HASH, series_id=1)
        self.state.store_run(run)
        self.state.store_fab(Fab(BUNDLE_HASH, BUNDLE, {}))
        context = Context(
            run_id=RUN, node_id=NODE, node_config={}, state=RecordDict(), run_config={}
        )
        self.state.set_run_series_context(1, context)

    def ask(self, message: Message) -> str:
        """Put a message in as if it had come from the SuperLink; return its id."""
        message.metadata.__dict__["_run_id"] = RUN
        with no_object_id_recompute():
            message_id: str = message.object_id
            message.metadata.__dict__["_message_id"] = message_id
            self.add_task(TaskType.CLIENT_APP)
            self.store.preregister(RUN, get_object_tree(message))
            for object_id, part in get_all_nested_objects(message).items():
                self.store.put(object_id, part.deflate())
            self.state.store_message(remove_content_from_message(message))
        return message_id

    def add_task(self, task_type: str) -> None:
        """Put a task in that an executor may claim."""
        self.state.create_task(task_type=task_type, run_id=RUN, fab_hash=BUNDLE_HASH)

    def next_reply(self) -> Message:
        """Return the next reply that the SuperNode would send, as soon as it is whole."""
        (found,) = _soon(lambda: self.state.get_messages_legacy(is_reply=True))
        reply = _soon(lambda: self._whole(found.metadata.message_id))
        asked = found.metadata.reply_to_message_id
        self.state.delete_messages(message_ids=[asked, found.metadata.message_id])
        return reply

    def pending(self) -> int:
        """Return how many tasks nobody has claimed."""
        return len(self.state.get_tasks(statuses=["pending"]))

    def _whole(self, object_id: str) -> Message | None:
        parts = iterate_object_tree(self.store.get_object_tree(object_id))
        contents = {part.object_id: self.store.get(part.object_id) for part in parts}
        present = {name: content for name, content in contents.items() if content}
        if len(present) < len(contents):
            return None
        message = inflate_object_from_contents(object_id, present)
        assert isinstance(message, Message)
        return message


def _soon(look: Callable[[], T | None]) -> T:
    for _ in range(1000):
        if found := look():
            return found
        threading.Event().wait(0.02)
    raise AssertionError("no reply came")


@contextmanager
def serving(runtime: RuntimeDouble, port: int, secret: bytes = SECRET) -> Iterator[None]:
    """Serve the Runtime API on a loopback port until the block is left."""
    app = create_app(state_factory=runtime.states, superexec_auth_secret=secret)
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level=logging.CRITICAL, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="runtime")
    thread.start()
    while not server.started and thread.is_alive():
        threading.Event().wait(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(20)


def free_port() -> int:
    """Return a loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
