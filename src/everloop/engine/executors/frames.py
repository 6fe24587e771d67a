"""Bytes on a stream <-> frames: one byte of kind, eight of length, then the body."""

from __future__ import annotations

import socket
import struct

_HEAD = struct.Struct("!cQ")
_TOGETHER_BYTES = 64 * 1024
READ_BYTES = 256 * 1024

# Coordinator -> nursery.
SETTINGS, FORK, END, LEAVE = b"s", b"f", b"e", b"l"
# Nursery -> coordinator.
BORN, ENDED = b"b", b"x"
# Coordinator -> worker.
TASK = b"t"
# Worker -> coordinator. `LAST` is `DONE` from a worker that takes no further task.
TOLD, DONE, LAST, FAILED = b"i", b"d", b"z", b"r"


def pack(kind: bytes, body: bytes) -> bytes:
    return _HEAD.pack(kind, len(body)) + body


def send(channel: socket.socket, kind: bytes, body: bytes) -> None:
    """All of it, however long that takes. OSError when nobody is there to read."""
    if len(body) <= _TOGETHER_BYTES:
        channel.sendall(pack(kind, body))
    else:
        channel.sendall(_HEAD.pack(kind, len(body)))
        channel.sendall(body)


def first(channel: socket.socket) -> bytes | None:
    """The body of the frame that comes first, and not a byte of what follows it; None if the channel is closed before."""
    head = channel.recv(_HEAD.size, socket.MSG_WAITALL)
    if len(head) < _HEAD.size:
        return None
    _, size = _HEAD.unpack(head)
    body = channel.recv(size, socket.MSG_WAITALL)
    return body if len(body) == size else None


class Inbox:
    """Puts together what arrives in pieces."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """The frames (kind, body) that are complete with this piece."""
        self._held += data
        found: list[tuple[bytes, bytes]] = []
        start = 0
        with memoryview(self._held) as held:
            while len(held) - start >= _HEAD.size:
                kind, size = _HEAD.unpack_from(held, start)
                end = start + _HEAD.size + size
                if len(held) < end:
                    break
                found.append((kind, bytes(held[start + _HEAD.size : end])))
                start = end
        del self._held[:start]
        return found
