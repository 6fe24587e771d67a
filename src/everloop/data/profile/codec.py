"""Tallies -> bytes and back: a message of small things, and beside it streams of numbers that compress well, each kind in its own.

The blob is the eight bytes `evtally` + version, size and CRC-32 of the message in eight and four bytes, and the message compressed. What a later version cannot read
it can recompute: a tally is a summary of rows that are still there.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

import msgspec
import numpy as np
import polars as pl

from everloop.core.errors import BadInput
from everloop.data.hashing import text_hash
from everloop.data.profile.buckets import Buckets, Numbers
from everloop.data.profile.columns import Body, ColumnTally, SizeTally
from everloop.data.profile.comoments import Comoments
from everloop.data.profile.moments import Moments
from everloop.data.profile.numbers import NumberTally
from everloop.data.profile.sample import KEPT, Sample
from everloop.data.profile.words import Words

MAGIC = b"evtally"
VERSION = 1
_HEAD = 20
_STREAMS = ("ids", "counts", "sketches", "floats")


class _Writer:
    def __init__(self) -> None:
        self.arrays: dict[str, list[Any]] = {name: [] for name in _STREAMS}
        self.texts: list[str] = []
        self.cut: dict[int, int] = {}

    def put(self, stream: str, array: Any) -> int:
        self.arrays[stream].append(array.view(np.uint64))
        return len(array)

    def put_texts(self, texts: Any, hashes: Any) -> int:
        """Hashes follow from the texts, but for those that were cut."""
        first = len(self.texts)
        self.texts += texts.tolist()
        for at in range(first, len(self.texts)) if self.texts else ():
            if len(self.texts[at]) > KEPT:
                self.cut[at] = int(hashes[at - first])
        return len(texts)


class _Reader:
    def __init__(self, arrays: dict[str, Any], texts: list[str], cut: dict[int, int]) -> None:
        self._arrays, self._texts = arrays, texts
        self._hashes = text_hash(pl.Series(texts, dtype=pl.String))
        for at, value in cut.items():
            self._hashes[at] = value
        self._at = dict.fromkeys([*_STREAMS, "texts"], 0)

    def take(self, stream: str, n: int, dtype: Any) -> Any:
        at = self._step(stream, n)
        return self._arrays[stream][at : at + n].view(dtype)

    def take_texts(self, n: int) -> Sample:
        at = self._step("texts", n)
        texts = np.empty(n, dtype=object)
        texts[:] = self._texts[at : at + n]
        return Sample(self._hashes[at : at + n], texts)

    def _step(self, stream: str, n: int) -> int:
        at = self._at[stream]
        self._at[stream] = at + n
        return at


def encode(rows: int, columns: Sequence[ColumnTally], together: Comoments) -> bytes:
    writer = _Writer()
    heads = [[c.name, c.kind, c.rows, c.nulls, *_put(writer, c.body)] for c in columns]
    upper = np.triu_indices(len(together.names))
    writer.put("floats", together.c[upper])
    for table in (together.n, together.mean, together.m2):
        writer.put("floats", table.ravel())
    streams = [_pack(writer.arrays[name], ascending=name in ("ids", "sketches")) for name in _STREAMS]
    body = msgspec.msgpack.encode([rows, heads, together.names, writer.texts, writer.cut, streams])
    packed = _zstd().compress(body, asbytes=True)
    return MAGIC + bytes([VERSION]) + len(body).to_bytes(8, "little") + zlib.crc32(body).to_bytes(4, "little") + packed


def decode(blob: bytes) -> tuple[int, tuple[ColumnTally, ...], Comoments]:
    """BadInput for anything that this version did not write."""
    if len(blob) < _HEAD or blob[:7] != MAGIC:
        raise BadInput(f"These {len(blob)} bytes are no tally of a table. Summarise its rows again.")
    if blob[7] != VERSION:
        raise BadInput(f"This tally has version {blob[7]}; this everloop reads version {VERSION}. Summarise the rows again.")
    try:
        size = int.from_bytes(blob[8:16], "little")
        body = cast("bytes", _zstd().decompress(blob[_HEAD:], decompressed_size=size, asbytes=True))
        if zlib.crc32(body).to_bytes(4, "little") != blob[16:_HEAD]:
            raise ValueError("its check sum is another")
        rows, heads, names, texts, cut, streams = msgspec.msgpack.decode(body)
        reader = _Reader({name: _unpack(stream) for name, stream in zip(_STREAMS, streams, strict=True)}, texts, cut)
        columns = tuple(ColumnTally(name, kind, n, nulls, _take(reader, *rest)) for name, kind, n, nulls, *rest in heads)
        p = len(names)
        c = np.zeros((p, p))
        upper = np.triu_indices(p)
        c[upper] = reader.take("floats", len(upper[0]), np.float64)
        c.T[upper] = c[upper]
        n, mean, m2 = (reader.take("floats", p * p, np.float64).reshape(p, p) for _ in range(3))
        return rows, columns, Comoments(tuple(names), n, mean, m2, c)
    except (OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError, msgspec.DecodeError) as error:
        raise BadInput(f"A tally of {len(blob)} bytes is damaged ({error}). Summarise the rows again.") from error


def _put(writer: _Writer, body: Body) -> list[Any]:
    match body:
        case NumberTally():
            shift, ids, counts = body.buckets
            writer.put("counts", counts)
            plain: list[Any] = ["n", body.nans, body.infinite, body.zeros, body.negatives, body.low, body.high, body.wide, *body.moments]
            return [*plain, shift, writer.put("ids", ids), writer.put("sketches", body.sketch)]
        case Words():
            writer.put("counts", body.counts)
            if body.many:
                writer.put("counts", body.seen)
            n = writer.put_texts(body.texts, body.hashes)
            sketch = writer.put("sketches", body.sketch)
            samples = [writer.put_texts(part.texts, part.hashes) for part in (body.sample, body.emails)]
            return ["w", n, body.error, body.many, sketch, *samples, body.ats, body.shortest, body.longest, body.length]
        case SizeTally():
            return ["s", *body]


def _take(reader: _Reader, tag: str, *fields: Any) -> Body:
    if tag == "n":
        shift, n, sketch = fields[12:]
        found = Buckets(shift, reader.take("ids", n, np.int64), reader.take("counts", n, np.int64))
        nans, infinite, zeros, negatives, low, high, wide, *powers = fields[:12]
        smallest = reader.take("sketches", sketch, np.uint64)
        return NumberTally(nans, infinite, zeros, negatives, low, high, wide, Moments(*powers), found, smallest)
    if tag == "w":
        n, error, many, sketch, sampled, emails, ats, shortest, longest, length = fields
        counts = reader.take("counts", n, np.int64)
        seen = reader.take("counts", n, np.int64) if many else counts
        hashes, texts = reader.take_texts(n)
        smallest = reader.take("sketches", sketch, np.uint64)
        samples = [reader.take_texts(k) for k in (sampled, emails)]
        return Words(hashes, counts, seen, texts, error, many, smallest, samples[0], ats, samples[1], shortest, longest, length)
    return SizeTally(*fields)


def _pack(arrays: list[Any], *, ascending: bool) -> list[Any]:
    """All of a stream's arrays in one: differences where they ascend, the lowest bytes of all first, then the next; planes of zeros left out."""
    joined = np.concatenate(arrays) if arrays else np.zeros(0, np.uint64)
    if ascending and len(joined):
        # Modulo 2^64, so that a new array may begin anywhere.
        joined[1:] -= joined[:-1].copy()
    planes = np.ascontiguousarray(joined.view(np.uint8).reshape(-1, 8).T)
    kept = [plane.tobytes() if plane.any() else b"" for plane in planes]
    return [len(joined), ascending, kept]


def _unpack(stream: list[Any]) -> Any:
    n, ascending, planes = stream
    table = np.zeros((8, n), np.uint8)
    for at, plane in enumerate(planes):
        if plane:
            table[at] = np.frombuffer(plane, np.uint8)
    joined = cast("Numbers", np.ascontiguousarray(table.T).view(np.uint64).ravel())
    return np.cumsum(joined, dtype=np.uint64) if ascending else joined


def _zstd() -> Any:
    arrow: Any = import_module("pyarrow")
    return arrow.Codec("zstd", compression_level=3)
