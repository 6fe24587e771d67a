"""What bodies tell of themselves on the way: from the worker to the coordinator, by a socket. Ray's own ways cost an actor or a poll.

A frame is token (16 bytes), ticket (8), length (4), body. An empty one asks for a byte back, when all before it have been taken.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

_HEAD = struct.Struct("!16sQI")
_LONGEST_BYTES = 1 << 20
_PATIENCE_S = 5.0


class Address(NamedTuple):
    host: str
    port: int
    token: bytes


class Inbox:
    """The coordinator's end. `take(ticket, body)` is called from a thread for each connection."""

    def __init__(self, host: str, take: Callable[[int, bytes], None]) -> None:
        token = secrets.token_bytes(16)

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while len(head := self.rfile.read(_HEAD.size)) == _HEAD.size:
                    shown, ticket, length = _HEAD.unpack(head)
                    if not hmac.compare_digest(shown, token) or length > _LONGEST_BYTES:
                        return
                    if length:
                        take(ticket, self.rfile.read(length))
                    else:
                        self.wfile.write(b"\0")

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A worker that died while it told something is reported as lost, not here."""

        self._server = Server((host, 0), Handler)
        self.address = Address(host, self._server.server_address[1], token)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="everloop-ray-inbox", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Teller:
    """The worker's end, for one ticket. Connects when there is something to tell; a coordinator out of reach is not told."""

    def __init__(self, address: Address, ticket: int) -> None:
        self._address = address
        self._ticket = ticket
        self._socket: socket.socket | None = None
        self._deaf = False
        self._lock = threading.Lock()

    def tell(self, body: bytes) -> None:
        with self._lock:
            if self._deaf or not body:
                return
            try:
                if self._socket is None:
                    self._socket = socket.create_connection(self._address[:2], timeout=_PATIENCE_S)
                self._socket.sendall(_HEAD.pack(self._address.token, self._ticket, len(body)) + body)
            except OSError:
                self._deaf = True

    def close(self) -> None:
        """Returns when all that was told has arrived: an answer never overtakes it."""
        with self._lock:
            if self._socket is None:
                return
            try:
                if not self._deaf:
                    self._socket.sendall(_HEAD.pack(self._address.token, self._ticket, 0))
                    self._socket.recv(1)
            except OSError:
                pass
            finally:
                self._deaf = True
                self._socket.close()
                self._socket = None
