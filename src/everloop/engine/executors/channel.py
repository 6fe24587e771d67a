"""The coordinator's end of the way to one worker: nothing here ever waits."""

from __future__ import annotations

import socket

from everloop.engine.executors import frames


class Channel:
    """`unread` is known once the other end is gone: it had not read all that it was sent. (Linux; elsewhere only if it was gone before.)"""

    def __init__(self, own: socket.socket) -> None:
        own.setblocking(False)
        self.socket = own
        self.unread = False
        self._inbox = frames.Inbox()
        self._outgoing = memoryview(b"")

    @property
    def closed(self) -> bool:
        return self.socket.fileno() < 0

    def send(self, kind: bytes, body: bytes) -> bool:
        """As much as the other end takes at once; whether that was all. The rest is for `flush`."""
        self._outgoing = memoryview(frames.pack(kind, body))
        return self.flush()

    def flush(self) -> bool:
        try:
            self._outgoing = self._outgoing[self.socket.send(self._outgoing) :]
        except BlockingIOError:
            return False
        except OSError:
            self.unread = True
            self._outgoing = memoryview(b"")
        return not self._outgoing

    def read(self) -> list[tuple[bytes, bytes]] | None:
        """The frames that are complete with one more piece; None when no more will come."""
        try:
            data = self.socket.recv(frames.READ_BYTES)
        except BlockingIOError:
            return []
        except OSError as error:
            self.unread = self.unread or isinstance(error, ConnectionResetError)
            return None
        return self._inbox.feed(data) if data else None

    def rest(self) -> list[tuple[bytes, bytes]]:
        """All that is there to be read from one that has ended."""
        found: list[tuple[bytes, bytes]] = []
        while self._has_data():
            found += self.read() or []
        return found

    def _has_data(self) -> bool:
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except OSError as error:
            self.unread = self.unread or isinstance(error, ConnectionResetError)
            return False

    def close(self) -> None:
        self.socket.close()
