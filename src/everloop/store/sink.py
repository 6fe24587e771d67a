"""A file on its way into the store: hashed as it is written, in memory while it is small."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# What is read, hashed and written at a time.
PIECE_BYTES = 1 << 20


class Sink(io.RawIOBase):
    """Bytes in order, no seeking. Beyond `large_bytes` they lie in a file at `place`, and `path` is that; closing removes it if it is still there. `size` is how
    many bytes were written."""

    def __init__(self, place: Path, *, large_bytes: int) -> None:
        super().__init__()
        self.path: Path | None = None
        self.blob = ""
        self.size = 0
        self._place = place
        self._large_bytes = large_bytes
        self._hash = hashlib.sha256()
        self._memory = bytearray()
        self._handle = -1

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data)
        if not view.nbytes:
            return 0
        view = view.cast("B")
        self._hash.update(view)
        self.size += len(view)
        if self.path is None and len(self._memory) + len(view) < self._large_bytes:
            self._memory += view
        else:
            self._spill()
            write_all(self._handle, view)
        return len(view)

    def digest(self) -> str:
        """SHA-256 of what was written so far."""
        return self._hash.hexdigest()

    def getvalue(self) -> bytes:
        """All of it, while it is small."""
        return bytes(self._memory)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
            self._place.unlink(missing_ok=True)
        super().close()

    def _spill(self) -> None:
        if self.path is None:
            self._handle = os.open(self._place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            self.path = self._place
            write_all(self._handle, self._memory)
            self._memory = bytearray()


def write_all(handle: int, data: ReadableBuffer) -> None:
    """The operating system may write less than asked for, above 2 GB always."""
    view = memoryview(data).cast("B")
    while len(view):
        view = view[os.write(handle, view) :]
