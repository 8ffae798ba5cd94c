"""An aggregator's end of the relay."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from protocol.errors import PeerError, StorageError
from protocol.identifiers import SessionId
from protocol.secagg.messages import Opened, encode_message
from server.api.relay import OPTIONS, SERVICE, SESSION_BYTES
from server.rounds.tls import TlsFiles

_MOST_BYTES = 2**33  # of one transcript


class RelayClient:
    """Asks a coordinator's relay; every call ends within its time."""

    def __init__(self, channel: grpc.Channel, timeout_s: float) -> None:
        self._pending = channel.unary_unary(f"/{SERVICE}/Pending")
        self._fetch = channel.unary_stream(f"/{SERVICE}/Fetch")
        self._hand_in = channel.unary_unary(f"/{SERVICE}/HandIn")
        self._timeout_s = timeout_s

    def pending(self) -> tuple[SessionId, ...]:
        """Return the rounds that wait for openings.

        Raises:
            StorageError: the relay cannot be reached.
        """
        with _translated():
            found: bytes = self._pending(b"", timeout=self._timeout_s)
        starts = range(0, len(found), SESSION_BYTES)
        return tuple(SessionId(found[start : start + SESSION_BYTES]) for start in starts)

    def fetch(self, session: SessionId) -> tuple[str, bytes]:
        """Return the study and the transcript of a round; neither is verified yet.

        Raises:
            StorageError: the relay cannot be reached.
            PeerError: it refuses, or sends without end.
        """
        with _translated():
            chunks = iter(self._fetch(session, timeout=self._timeout_s))
            study = next(chunks, b"").decode(errors="replace")
            transcript = bytearray()
            for chunk in chunks:
                transcript += chunk
                if len(transcript) > _MOST_BYTES:
                    raise PeerError("transcript-too-long", "The relay sends without end.")
        return study, bytes(transcript)

    def hand_in(self, opened: Opened) -> None:
        """Give the relay a signed sum.

        Raises:
            StorageError: the relay cannot be reached.
            PeerError: it refuses.
        """
        with _translated():
            self._hand_in(encode_message(opened), timeout=self._timeout_s)


@contextmanager
def relay_client(address: str, tls: TlsFiles, timeout_s: float) -> Iterator[RelayClient]:
    """Connect to a relay; both ends show certificates.

    Raises:
        UsageError: a certificate cannot be read.
    """
    root, certificate, key = tls.read()
    credentials = grpc.ssl_channel_credentials(root, key, certificate)
    with grpc.secure_channel(address, credentials, options=OPTIONS) as channel:
        yield RelayClient(channel, timeout_s)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        code, details = error.code(), error.details()
        if code is grpc.StatusCode.FAILED_PRECONDITION:
            raise PeerError("relay-refused", f"The relay refuses: {details}") from error
        raise StorageError(
            "relay-unreachable",
            f"Expected the coordinator's relay to answer, found {code.name}: {details}",
            "Check its address, both certificates, and that `concause coordinator start` runs.",
        ) from error
