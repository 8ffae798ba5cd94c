"""The site's Flower ClientApp: messages in, messages out; every decision is the gate's.

A message holds one ConfigRecord "concause" with the bytes of a request under "body"; the
reply holds the bytes of an answer under "body", or of a refusal under "refusal" (SPEC 5). Beside
them may stand a "checkpoint": those that the coordinator holds, and the site's newest.
The gate's agent runs this app from the site's own installation, never from a bundle.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from client.gate.gate import Gate
from client.gate.opening import open_gate
from client.gate.outward import refusal_of
from client.gate.site_config import read_site_config
from protocol.errors import PolicyError

RECORD = "concause"
ACTION = "round"  # the message type is "query.round"
CHECKPOINT = "checkpoint"
_ENTRIES = {"body", CHECKPOINT}
CONFIG_VARIABLE = "CONCAUSE_SITE_CONFIG"


class Responder(Protocol):
    """Answers or refuses any bytes; a `Gate` does."""

    def respond(self, body: bytes, *, now: int, known: bytes = b"") -> dict[str, bytes]:
        """Return "body" or "refusal"; `now` in seconds since 1970, `known` checkpoints."""
        ...

    def checkpoint(self) -> bytes:
        """Return the site's newest checkpoint; empty if there is none."""
        ...


def client_app(gate: Responder, clock: Callable[[], float] = time.time) -> ClientApp:
    """Return the ClientApp through which a gate is asked."""
    app = ClientApp()

    @app.query(ACTION)
    def answer(message: Message, _: Context) -> Message:
        body, known = request_of(message)
        response = gate.respond(body, now=int(clock()), known=known)
        sealed = {CHECKPOINT: checkpoint} if (checkpoint := gate.checkpoint()) else {}
        return Message(RecordDict({RECORD: ConfigRecord({**response, **sealed})}), reply_to=message)

    return app


def request_of(message: Message) -> tuple[bytes, bytes]:
    """Return the bytes of a request and of the checkpoint with it; empty where there is none.

    A message that holds anything else holds no request.
    """
    record = message.content.get(RECORD) if message.has_content() else None
    if isinstance(record, ConfigRecord) and len(message.content) == 1:
        body, known = record.get("body"), record.get(CHECKPOINT, b"")
        if isinstance(body, bytes) and isinstance(known, bytes) and set(record) <= _ENTRIES:
            return body, known
    return b"", b""


class GateOfEnvironment:
    """The gate of the site.toml that CONCAUSE_SITE_CONFIG names, opened at the first request."""

    def __init__(self) -> None:
        self._gate: Gate | None = None
        self._turn = threading.Lock()

    def checkpoint(self) -> bytes:
        """Return the gate's newest checkpoint; nothing if there is no gate."""
        return self._gate.checkpoint() if self._gate else b""

    def respond(self, body: bytes, *, now: int, known: bytes = b"") -> dict[str, bytes]:
        """Return what the gate does; refuse if there is none."""
        try:
            gate = self._opened(now)
        except Exception as error:  # noqa: BLE001 - nothing of it may leave but its class and code
            return {"refusal": refusal_of(error, "no-gate").encode()}
        return gate.respond(body, now=now, known=known)

    def _opened(self, now: int) -> Gate:
        with self._turn:
            if self._gate is None:
                path = os.environ.get(CONFIG_VARIABLE)
                if not path:
                    raise PolicyError(
                        "site-not-configured",
                        f"Expected the path of a site.toml in {CONFIG_VARIABLE}, found none.",
                        "Run `concause site start` at the site; it needs no variable.",
                    )
                self._gate = open_gate(read_site_config(Path(path)), now=now)
            return self._gate


app = client_app(GateOfEnvironment())
