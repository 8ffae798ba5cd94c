"""The relay: hands sealed shares to aggregators, and takes the sums that they sign (SPEC 4.9).

gRPC with mutual TLS. Bodies are the protocol's own strict encodings, so there is no second
schema of them. The relay holds nothing secret: shares are sealed, and what is handed in is
checked against the round before it is kept.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias

import grpc

from protocol.errors import ConcauseError, PeerError, UsageError
from protocol.secagg.messages import MAX_VECTOR_BYTES, decode_opened
from protocol.secagg.split_coordinator import CollectingOpenings, advance
from protocol.secagg.transcript import decode, replay
from server.rounds.folder import RoundFolder
from server.rounds.tls import TlsFiles

SERVICE = "concause.Relay"
CHUNK_BYTES = 1 << 20
SESSION_BYTES = 32
MESSAGE_BYTES = MAX_VECTOR_BYTES + (1 << 12)
OPTIONS = (("grpc.max_receive_message_length", MESSAGE_BYTES),)
_WORKERS = 6  # two requests of each of three aggregators
_GRACE_S = 2.0

Handler: TypeAlias = Callable[[bytes, grpc.ServicerContext], bytes]


@contextmanager
def running_relay(rounds: Path, listen: str, tls: TlsFiles) -> Iterator[int]:
    """Serve the rounds of a coordinator's folder; yields the port.

    Raises:
        UsageError: a certificate cannot be read, or nothing can listen there.
    """
    root, certificate, key = tls.read()
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=root, require_client_auth=True
    )
    server = grpc.server(futures.ThreadPoolExecutor(_WORKERS), options=OPTIONS)
    server.add_generic_rpc_handlers((_handlers(_Relay(rounds)),))
    try:
        port = server.add_secure_port(listen, credentials)
    except RuntimeError as error:
        raise UsageError(
            "relay-address",
            f"Expected to listen on {listen}, found that it is taken or not an address here.",
            "Stop what listens there, or change [relay] listen in coordinator.toml.",
        ) from error
    server.start()
    try:
        yield port
    finally:
        server.stop(_GRACE_S).wait()


class _Relay:
    """What is asked of the relay, answered from the folders of the rounds."""

    def __init__(self, rounds: Path) -> None:
        self._rounds = rounds
        self._lock = threading.Lock()

    def pending(self, _request: bytes, _context: grpc.ServicerContext) -> bytes:
        """Return the session ids of the rounds that wait for openings, one after another."""
        return b"".join(session for session, _ in self._open())

    def fetch(self, request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        """Return the study, then the transcript in chunks."""
        papers = self._find(request).read_papers()
        yield papers.study_text.encode()
        for start in range(0, len(papers.transcript), CHUNK_BYTES):
            yield papers.transcript[start : start + CHUNK_BYTES]

    def hand_in(self, request: bytes, _context: grpc.ServicerContext) -> bytes:
        """Check a signed sum against its round, and keep it."""
        opened = decode_opened(request)
        folder = self._find(opened.session)
        header, events = decode(folder.transcript.read_bytes(), allow_truncated_tail=True)
        state = replay(header, events)
        if not isinstance(state, CollectingOpenings):
            raise PeerError("out-of-turn", "The round does not wait for openings.")
        advance(state, opened)
        with self._lock:
            folder.write_opening(opened.aggregator, request)
        return b""

    def _open(self) -> Iterator[tuple[bytes, RoundFolder]]:
        for path in sorted(self._rounds.glob("*/")):
            folder = RoundFolder(path)
            try:
                status = folder.read_status()
            except ConcauseError:
                continue
            if status is not None and status.step == "open" and not status.over:
                yield bytes.fromhex(status.round), folder

    def _find(self, session: bytes) -> RoundFolder:
        for known, folder in self._open():
            if known == session:
                return folder
        raise PeerError("round-unknown", "No round of that id waits for openings.")


def _handlers(relay: _Relay) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Pending": grpc.unary_unary_rpc_method_handler(partial(_guarded, relay.pending)),
            "Fetch": grpc.unary_stream_rpc_method_handler(partial(_guarded_stream, relay.fetch)),
            "HandIn": grpc.unary_unary_rpc_method_handler(partial(_guarded, relay.hand_in)),
        },
    )


def _guarded(answer: Handler, request: bytes, context: grpc.ServicerContext) -> bytes:
    try:
        return answer(request, context)
    except ConcauseError as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{error.code}: {error.cause}")
        raise AssertionError("abort raises") from error


def _guarded_stream(
    answer: Callable[[bytes, grpc.ServicerContext], Iterator[bytes]],
    request: bytes,
    context: grpc.ServicerContext,
) -> Iterator[bytes]:
    try:
        yield from answer(request, context)
    except ConcauseError as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{error.code}: {error.cause}")
