"""Captured predictions: append-only segments that survive `kill -9` of their writer, read while they grow.

A segment is one writer's file; a frame in it is a length, a CRC-32 and one msgpack Prediction. `append` hands the bytes to the kernel
before it returns: a killed process loses nothing that it answered. A torn last frame (power cut) ends the segment there.
A prediction's id names its segment and its ordinal, so that one is found without an index.
"""

from __future__ import annotations

import os
import secrets
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from everloop.core.errors import NotFound
from everloop.core.live import Prediction

Position = dict[str, int]
"""Segment -> byte offset behind the last frame that was read."""

SEGMENT_BYTES = 64 * 1024 * 1024
_HEADER = struct.Struct(">II")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Prediction)


class Spot(NamedTuple):
    """Where in a segment a prediction's bytes lie."""

    segment: str
    start: int
    end: int


class _Head(msgspec.Struct):
    id: str


_head_decoder = msgspec.msgpack.Decoder(_Head)


class Writer:
    """Appends one loop's predictions. Not for several threads at once; each process has its own."""

    def __init__(self, folder: Path, loop: str, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder / loop
        self._limit = segment_bytes
        self._handle = -1
        self._began_ms = 0
        self._roll()

    def next_id(self) -> str:
        """The id for the next prediction to append; each call gives another one."""
        self._ordinal += 1
        return f"p-{self._segment}-{self._ordinal:x}"

    def append(self, predictions: Sequence[Prediction]) -> None:
        """Write all, or raise OSError and leave the segment as it was."""
        parts: list[bytes] = []
        for prediction in predictions:
            body = _encoder.encode(prediction)
            parts += (_HEADER.pack(len(body), zlib.crc32(body)), body)
        data = b"".join(parts)
        try:
            written = os.write(self._handle, data)
            if written != len(data):
                raise OSError(28, "No space left on device")
        except OSError:
            os.ftruncate(self._handle, self._size)
            raise
        self._size += len(data)
        if self._size >= self._limit:
            self._roll()

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _roll(self) -> None:
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        # Later than the segment before, also within one millisecond or when the clock was set back: segments sort in the order of writing.
        self._began_ms = max(int(time.time() * 1000), self._began_ms + 1)
        self._segment = f"{self._began_ms:011x}{secrets.token_hex(4)}"
        self._ordinal = 0
        self._size = 0
        self._handle = os.open(
            self._folder / f"{self._segment}.seg", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644
        )


def stream(folder: Path, loop: str, after: Position | None = None, *, limit: int | None = None) -> tuple[list[Prediction], Position]:
    """What was captured behind `after`, segment by segment in the order they were begun, and the position to go on from."""
    position = dict(after or {})
    found: list[Prediction] = []
    for path in _segments(folder, loop):
        for prediction, end in _frames(path, position.get(path.stem, 0)):
            if limit is not None and len(found) >= limit:
                return found, position
            found.append(prediction)
            position[path.stem] = end
    return found, position


def frames(folder: Path, loop: str, after: Position | None = None) -> Iterator[tuple[str, int, Prediction]]:
    """(segment, byte offset behind the frame, prediction) behind `after`, as `stream` orders them, one segment in memory at a time."""
    position = after or {}
    for path in _segments(folder, loop):
        segment = path.stem
        for prediction, end in _frames(path, position.get(segment, 0)):
            yield segment, end, prediction


def tail(folder: Path, loop: str, rows: int, wanted: Callable[[Prediction], bool]) -> tuple[Position, Prediction | None]:
    """A position behind which lie at least the last `rows` predictions that are wanted, if there are so many, and the newest such
    prediction. Reads segments from the newest back, and no more than it must."""
    position: Position = {}
    newest: Prediction | None = None
    found = 0
    for path in reversed(_segments(folder, loop)):
        # A segment that nobody has appended to for a minute ends at its size; another may hold half a frame there.
        if found >= rows and newest is not None and time.time() - path.stat().st_mtime > 60:
            position[path.stem] = path.stat().st_size
            continue
        before = 0
        starts: deque[int] = deque(maxlen=max(rows, 1))
        last: Prediction | None = None
        for prediction, end in _frames(path, 0):
            if wanted(prediction):
                starts.append(before)
                last = prediction
            before = end
        if rows and found < rows and starts:
            found += len(starts)
            position[path.stem] = starts[0]
        else:
            position[path.stem] = before
        if last is not None and (newest is None or last.at > newest.at):
            newest = last
    return position, newest


def find(folder: Path, id: str) -> Prediction:
    """One prediction of any loop by its id."""
    _, _, rest = id.partition("p-")
    segment = rest.rpartition("-")[0]
    if segment and segment.isalnum():
        for first in folder.glob(f"*/{segment}.seg"):
            # An id that was given out before its segment was full may have been written to a later one.
            for path in [first, *(later for later in _segments(folder, first.parent.name) if later.stem > segment)]:
                for prediction, _ in _frames(path, 0):
                    if prediction.id == id:
                        return prediction
    raise NotFound(f"Prediction {id!r} is not among those captured in {folder}.")


def sizes(folder: Path, loop: str) -> Position:
    """How long each segment is now: a position at its end, unless half a frame lies there."""
    return {path.stem: path.stat().st_size for path in _segments(folder, loop)}


def ids_behind(folder: Path, loop: str, segment: str, offset: int) -> set[str]:
    """The ids of a segment's predictions behind a byte offset."""
    return {_head_decoder.decode(body).id for body, _ in _bodies(folder / loop / f"{segment}.seg", offset)}


def segment_of(id: str) -> str:
    """The segment that a prediction's id was given out for."""
    return id.partition("p-")[2].rpartition("-")[0]


def locate(folder: Path, loop: str, ids: Collection[str]) -> dict[str, Spot]:
    """Where those predictions lie that were captured here. Reads the segments that the ids name, one in memory at a time; and later ones
    for an id that is not where it should be, as `find` does."""
    wanted: dict[str, set[str]] = {}
    for id in ids:
        wanted.setdefault(segment_of(id), set()).add(id)
    found: dict[str, Spot] = {}
    strays: set[str] = set()
    for path in _segments(folder, loop):
        here = wanted.get(path.stem, set[str]())
        if here or strays:
            spots = _spots(path, here | strays)
            found |= spots
            strays = (strays | here) - spots.keys()
    return found


def load(folder: Path, loop: str, spots: Sequence[Spot]) -> list[Prediction]:
    """The predictions at those places, in that order."""
    found: dict[Spot, Prediction] = {}
    for segment in {spot.segment for spot in spots}:
        with (folder / loop / f"{segment}.seg").open("rb") as file:
            for spot in spots:
                if spot.segment == segment:
                    found[spot] = _decoder.decode(os.pread(file.fileno(), spot.end - spot.start, spot.start))
    return [found[spot] for spot in spots]


def loops(folder: Path) -> list[str]:
    """The loops that have captured predictions."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _segments(folder: Path, loop: str) -> list[Path]:
    return sorted((folder / loop).glob("*.seg"))


def _spots(path: Path, ids: Collection[str]) -> dict[str, Spot]:
    found: dict[str, Spot] = {}
    for body, end in _bodies(path, 0):
        id = _head_decoder.decode(body).id
        if id in ids:
            found[id] = Spot(path.stem, end - len(body), end)
    return found


def _frames(path: Path, offset: int) -> Iterator[tuple[Prediction, int]]:
    for body, end in _bodies(path, offset):
        yield _decoder.decode(body), end


def _bodies(path: Path, offset: int) -> Iterator[tuple[bytes, int]]:
    """The bytes of each sound frame behind `offset`, and the offset behind it."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    at = 0
    while at + _HEADER.size <= len(data):
        length, checksum = _HEADER.unpack_from(data, at)
        body = data[at + _HEADER.size : at + _HEADER.size + length]
        # No prediction is empty: after a power cut the tail may be zeros, whose checksum would be right.
        if length == 0 or len(body) < length or zlib.crc32(body) != checksum:
            return
        at += _HEADER.size + length
        yield body, offset + at
