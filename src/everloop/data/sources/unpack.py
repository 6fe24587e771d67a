"""Compressed bytes -> the bytes that were compressed, in bounded memory and not without end."""

from __future__ import annotations

import bz2
import io
import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any, BinaryIO

from everloop.core.errors import BadInput

# Tables shrink to a tenth, logs to a fiftieth. What unpacks to more than this many times its size, and to more than a gibibyte, is made to harm.
_RATIO = 200
_FREE_BYTES = 1 << 30
_PIECE_BYTES = 8 << 20
_BZIP2 = b"1AY&SY"


def packing(head: bytes) -> str | None:
    """Which packing the first ten bytes of a file tell of."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    if head.startswith(b"\xfd7zXZ\0"):
        return "xz"
    if head.startswith(b"BZh") and head[4:10] == _BZIP2:
        return "bzip2"
    return "zip" if head.startswith(b"PK\x03\x04") else None


def unpacked(blocks: Iterable[bytes], *, name: str, ratio: int = _RATIO, free_bytes: int = _FREE_BYTES) -> Iterator[bytes]:
    """The same blocks when they are not packed. BadInput for a packing that is cut short or damaged, or that unpacks to more than `free_bytes` and
    `ratio` times what it takes."""
    rest = iter(blocks)
    head = b""
    while len(head) < 10 and (block := next(rest, None)) is not None:
        head += block
    how = packing(head)
    source = _Counted(head, rest)
    if how is None:
        yield from source
        return
    given = 0
    try:
        for piece in _HOW[how](source, name):
            given += len(piece)
            if given > free_bytes and given > ratio * source.taken:
                raise BadInput(
                    f"{name} unpacks to more than {ratio} times its size ({given / 1e6:,.0f} MB from {source.taken / 1e6:,.1f} MB so far), as files do that "
                    "are made to fill a disk. If it is sound, unpack it yourself and read what comes out."
                )
            yield piece
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise BadInput(f"{name} is not a whole {how} file: {error}. Copy or download it again.") from error


class _Counted:
    """Blocks, and how many bytes of them were taken."""

    def __init__(self, head: bytes, rest: Iterator[bytes]) -> None:
        self._head, self._rest = head, rest
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        if self._head:
            self.taken += len(self._head)
            yield self._head
        for block in self._rest:
            self.taken += len(block)
            yield block


def _members(blocks: Iterable[bytes], begin: Callable[[], Any]) -> Iterator[bytes]:
    """Packed files may stand one behind the other, as what was packed in parallel does, and zeros may fill them up to a device's block."""
    decoder, used = begin(), False
    for block in blocks:
        data = block
        while data or not decoder.needs_input:
            if not used and not data.strip(b"\0"):
                break
            piece = decoder.decompress(data, _PIECE_BYTES)
            data, used = b"", True
            if piece:
                yield piece
            if decoder.eof:
                data = decoder.unused_data
                decoder, used = begin(), False
    if used:
        raise EOFError("it ends too early")


class _Gzip:
    """zlib's decoder in the form that bz2 and lzma have theirs."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(31)
        self.needs_input = True

    def decompress(self, data: bytes, most: int) -> bytes:
        piece = self._decoder.decompress(self._decoder.unconsumed_tail + data, most)
        self.needs_input = self.eof or not (self._decoder.unconsumed_tail or len(piece) == most)
        return piece

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data


def _gzip(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    return _members(blocks, _Gzip)


def _bzip2(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    return _members(blocks, bz2.BZ2Decompressor)


def _xz(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    return _members(blocks, lzma.LZMADecompressor)


def _zstd(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    pa: Any = import_module("pyarrow")
    with pa.CompressedInputStream(pa.PythonFile(as_file(blocks), mode="r"), "zstd") as stream:
        while piece := stream.read(_PIECE_BYTES):
            yield piece


def _zip(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    with spooled(blocks) as file, zipfile.ZipFile(file) as archive:
        inside = [item for item in archive.infolist() if not item.is_dir() and not item.filename.startswith("__MACOSX/")]
        if len(inside) != 1:
            listed = ", ".join(repr(item.filename) for item in inside[:5]) + (" …" if len(inside) > 5 else "")
            raise BadInput(
                f"{name} holds {len(inside)} files ({listed}); a table is one file. Unpack it and name the files: Files('folder/*.csv')."
            )
        with archive.open(inside[0]) as member:
            while piece := member.read(_PIECE_BYTES):
                yield piece


_HOW = {"gzip": _gzip, "bzip2": _bzip2, "xz": _xz, "zstd": _zstd, "zip": _zip}


def spooled(blocks: Iterable[bytes]) -> BinaryIO:
    """The bytes as a file that can be read at any place: in memory while it is small, then in a temporary file."""
    file = tempfile.SpooledTemporaryFile(max_size=_PIECE_BYTES * 4)  # noqa: SIM115  # whoever asked for it closes it
    try:
        for block in blocks:
            file.write(block)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file  # pyright: ignore[reportReturnType]  # it has all that a binary file has


def as_file(blocks: Iterable[bytes]) -> BinaryIO:
    return io.BufferedReader(_Blocks(iter(blocks)), 1 << 20)


class _Blocks(io.RawIOBase):
    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._left = blocks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._left = block
        taken = self._left[: len(buffer)]
        self._left = self._left[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)
