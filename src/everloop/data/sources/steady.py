"""A file's bytes, block by block, hashed on the way; and whether somebody changed it meanwhile."""

from __future__ import annotations

import hashlib
import os
import stat
import time as clock
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

from everloop.core.errors import BadInput

# A block of text becomes a table of at most about four times its size: two bytes of "1," are an integer of eight.
BLOCK_BYTES = 8 << 20
# Where a block may end with a line, at most so much shorter: then text need not be moved from one block to the next.
_LINE_BYTES = 1 << 16
# Files are stamped by a clock that ticks every few milliseconds: a change within the tick of the one before does not show.
_TICK_S = 0.02


class State(NamedTuple):
    """What changes when a file does."""

    size: int
    mtime_ns: int
    inode: int


class Changed(Exception):
    """The file is not any more what it was when it was opened."""


def state(path: Path) -> State:
    try:
        found = path.stat()
    except FileNotFoundError:
        return State(0, 0, 0)
    return State(found.st_size, found.st_mtime_ns, found.st_ino)


class Steady:
    """An open file. `blocks` gives its bytes and Changed when they were not one file's; `sha256` is complete then."""

    def __init__(self, path: Path, name: str, *, block_bytes: int = BLOCK_BYTES) -> None:
        self.path, self.name, self._block_bytes = path, name, block_bytes
        self.file: BinaryIO
        self.begun = State(0, 0, 0)
        self.read = 0
        self.head = b""
        self._hash = hashlib.sha256()

    def __enter__(self) -> Steady:
        self.begun = state(self.path)
        age_s = clock.time() - self.begun.mtime_ns / 1e9
        if 0 <= age_s < _TICK_S:
            clock.sleep(_TICK_S - age_s)
        try:
            # A pipe would wait for its writer.
            opened = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        except FileNotFoundError:
            raise Changed from None
        except OSError as error:
            raise BadInput(f"{self.name} cannot be read: {error.strerror}. {_advice(error)}") from error
        self.file = open(opened, "rb", buffering=0)
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            self.file.close()
            raise BadInput(f"{self.name} is {kind_of_node(self.path)}, not a file. Files reads regular files.")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.file.close()

    def blocks(self, *, most: int | None = None) -> Iterator[bytes]:
        """From where reading stopped to the end, or `most` bytes."""
        while most is None or most > 0:
            wanted = self._block_bytes if most is None else min(most, self._block_bytes)
            try:
                block = self.file.read(self._to_line_end(wanted))
            except OSError as error:
                raise BadInput(f"{self.name} cannot be read: {error.strerror}. {_advice(error)}") from error
            if not block:
                break
            if self.changed():
                raise Changed
            self._hash.update(block)
            self.head = self.head or block[:16]
            self.read += len(block)
            if most is not None:
                most -= len(block)
            yield block
        if most is None:
            self.check()

    def _to_line_end(self, wanted: int) -> int:
        """How many of the wanted bytes to read so that the last is a newline; all of them when none is near."""
        if wanted < 2 * _LINE_BYTES:
            return wanted
        self.file.seek(self.read + wanted - _LINE_BYTES)
        last = self.file.read(_LINE_BYTES)
        self.file.seek(self.read)
        return wanted - _LINE_BYTES + (last.rfind(b"\n") + 1 or _LINE_BYTES)

    def drain(self) -> None:
        """Read what is left, for the hash alone."""
        for _ in self.blocks():
            pass

    def check(self) -> None:
        if self.changed() or self.read != self.begun.size:
            raise Changed

    def changed(self) -> bool:
        return state(self.path) != self.begun

    @property
    def sha256(self) -> str:
        """Of the bytes read so far."""
        return self._hash.copy().hexdigest()


def kind_of_node(path: Path) -> str:
    mode = path.stat().st_mode
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"))
    return next((said for test, said in kinds if test(mode)), "a device")


def _advice(error: OSError) -> str:
    return "Give this process the right to read it." if isinstance(error, PermissionError) else "Check the disk or the mount."
