"""Servers on loopback, a thread for each connection; one of them is a hospital's proxy."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Server = Callable[[socket.socket], None]


@contextmanager
def serving(answer: Server) -> Iterator[int]:
    """Serve connections on a free port until the block is left."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_accept, args=(server, answer))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
            thread.join()


def _accept(server: socket.socket, answer: Server) -> None:
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_answered, args=(connection, answer), daemon=True).start()


def _answered(connection: socket.socket, answer: Server) -> None:
    with connection, suppress(OSError):
        answer(connection)


@dataclass
class Proxy:
    """An HTTP proxy that only connects (RFC 9110, 9.3.6), and alone knows where its names are.

    Attributes:
        ports: the loopback port behind each "host:port".
        asked: what it was asked to connect to, in order.
    """

    ports: Mapping[str, int]
    asked: list[str] = field(default_factory=list)

    def __call__(self, connection: socket.socket) -> None:
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            asked += connection.recv(1) or b"\r\n\r\n"
        method, target, *_ = asked.decode().split()
        self.asked.append(target)
        if method != "CONNECT" or target not in self.ports:
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.ports[target])) as onward:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_copy, args=(onward, connection), daemon=True)
            back.start()
            _copy(connection, onward)
            back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            sink.sendall(content)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
