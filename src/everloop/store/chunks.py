"""Rows, batch by batch -> the chunks of a snapshot.

Where a chunk ends is decided by the rows themselves (content-defined chunking as in LBFS: Muthitacharoen, Chen and Mazières 2001): a row that
comes or goes moves the borders near it and no others, so the chunks further away are known already and stored once. Borders are no part of a
snapshot's identity: the pieces that its content digest is made of are counted from the first row.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np
import polars as pl
from blake3 import blake3

from everloop.core.errors import Broken, NotFound
from everloop.core.ports import BATCH_BYTES
from everloop.core.tables import Chunk
from everloop.store.blobs import Blobs
from everloop.store.snapshots import read
from everloop.store.tables import PIECE_ROWS, digest_of, piece_digest, write_parquet

T = TypeVar("T")
Tally: TypeAlias = Callable[[pl.DataFrame], bytes]

# What a value takes in memory, as far as a border may depend on it: it must not depend on the values.
_TEXT_BYTES = 24
_MOST_ROWS = 1 << 17
# Hashes of rows: they decide borders, and where to look for chunks that are known. No identity depends on them: when another release of the library hashes
# in another way, rows are stored once more, and nothing else happens.
_SEED = 7
_HASH = "everloop.hash"


class Written(NamedTuple):
    """What a writer made of the rows it was given."""

    content: str
    rows: int
    schema: Mapping[str, pl.DataType]
    chunks: tuple[Chunk, ...]
    pieces: tuple[str, ...]


class Writer:
    """Takes tables of one schema and keeps them as chunks, in threads of its own until it is closed.

    `known` are chunks of the dataset's last snapshot, in order: where the same rows come again these are used, neither written nor tallied again.
    `tally` makes the mergeable statistics of a chunk. A batch is held until its chunk is full: some hundred megabytes at most.
    """

    def __init__(self, blobs: Blobs, *, known: Sequence[Chunk] = (), tally: Tally | None = None) -> None:
        self._blobs = blobs
        self._tally = tally
        self._known = tuple(known)
        self._by_digest = {chunk.digest: at for at, chunk in enumerate(self._known)}
        self._expected = 0
        self._schema: Mapping[str, pl.DataType] = {}
        self._rows = 0
        self._waiting = _Waiting()
        self._unhashed = _Waiting()
        self._chunks: list[Chunk | Future[Chunk]] = []
        self._pieces: list[str | Future[str]] = []
        threads = max(2, min(4, os.cpu_count() or 1))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="chunks")
        self._keeping: list[Future[Chunk]] = []
        self._at_once = threads + 1
        self._searched = 0

    def close(self) -> None:
        """Let go of its threads; what was not finished is left to the collector."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def rows(self) -> int:
        return self._rows

    def resume(self, chunks: Sequence[Chunk], pieces: Sequence[str], schema: Mapping[str, pl.DataType]) -> None:
        """Begin behind rows that are chunks already. `pieces` may lack the last one, that was not full: then give its rows to `rehash`."""
        for chunk in chunks:
            if not self._still_there(chunk):
                raise NotFound(
                    f"Chunk {chunk.blob[:12]} of the rows that should be appended to is gone from {self._blobs.location}. Take the data in full."
                )
        self._schema = dict(schema)
        self._chunks = list(chunks)
        self._pieces = list(pieces)
        self._rows = sum(chunk.rows for chunk in chunks)

    def rehash(self, frame: pl.DataFrame) -> None:
        """Rows that lie in chunks already, but whose piece is not known, or not any more."""
        self._unhashed.add(frame)
        self._hash()

    def write(self, frame: pl.DataFrame) -> None:
        self._schema = self._schema or dict(frame.schema)
        if not frame.height:
            return
        assert dict(frame.schema) == dict(self._schema), "batches are united before they are written"
        self._rows += frame.height
        self._unhashed.add(frame)
        self._hash()
        self._waiting.add(frame.with_columns(frame.hash_rows(seed=_SEED).alias(_HASH)))
        self._cut(final=False)

    def finish(self) -> Written:
        """All rows were given."""
        self._cut(final=True)
        if self._unhashed.rows:
            self._submit_piece(self._unhashed.take(self._unhashed.rows))
        chunks = tuple(_settled(chunk) for chunk in self._chunks)
        pieces = tuple(_settled(piece) for piece in self._pieces)
        return Written(digest_of(self._schema, pieces, self._rows), self._rows, self._schema, self._compact(chunks), pieces)

    def _hash(self) -> None:
        while self._unhashed.rows >= PIECE_ROWS:
            self._submit_piece(self._unhashed.take(PIECE_ROWS))

    def _submit_piece(self, frame: pl.DataFrame) -> None:
        self._pieces.append(self._pool.submit(piece_digest, frame))

    def _cut(self, *, final: bool) -> None:
        while self._waiting.rows:
            same = self._same_as_before(final=final)
            if same is None:
                return
            if same:
                continue
            rows = self._border(final=final)
            if rows is None:
                return
            frame, digest = _named(self._waiting.take(rows))
            self._searched = 0
            at = self._by_digest.get(digest)
            if at is not None and self._is(frame, self._known[at]):
                self._chunks.append(self._known[at])
                self._expected = at + 1
            else:
                self._expected = len(self._known)
                self._chunks.append(self._submit_chunk(frame, digest))

    def _same_as_before(self, *, final: bool) -> bool | None:
        """Take the next known chunk if the next rows are its; False when they are not, None when there are too few rows to tell yet."""
        if self._expected >= len(self._known):
            return False
        chunk = self._known[self._expected]
        if self._waiting.rows < chunk.rows:
            if not final:
                return None
            self._expected = len(self._known)
            return False
        frame, digest = _named(self._waiting.peek(chunk.rows))
        if digest != chunk.digest or not self._is(frame, chunk):
            self._expected = len(self._known)
            return False
        self._waiting.take(chunk.rows)
        self._chunks.append(chunk)
        self._expected += 1
        return True

    def _is(self, frame: pl.DataFrame, chunk: Chunk) -> bool:
        """Hashes of 64 bits say where to look, the rows themselves say whether they are the same. A damaged chunk is written again."""
        try:
            return self._still_there(chunk) and frame.equals(read(self._blobs, chunk))
        except (Broken, NotFound):
            return False

    def _still_there(self, chunk: Chunk) -> bool:
        """And young again: a collector must not take for garbage what is about to be named by another snapshot."""
        return all(self._blobs.renew(name) for name in (chunk.blob, chunk.tally) if name)

    def _border(self, *, final: bool) -> int | None:
        """How many of the waiting rows make the next chunk; None when more rows are needed to tell."""
        usual = _usual_rows(self._schema)
        least, most = max(usual // 2, 1), usual * 2
        frame = self._waiting.peek(min(self._waiting.rows, most))
        most = min(most, _rows_within(frame, 3 * BATCH_BYTES, most))
        begin = max(least, self._searched)
        if frame.height > begin and most > begin:
            hashes = frame[_HASH].slice(begin, most - begin).to_numpy()
            ends = np.flatnonzero((hashes >> np.uint64(20)) & np.uint64(least - 1) == 0)
            self._searched = min(frame.height, most)
            if len(ends):
                return begin + int(ends[0]) + 1
        if self._waiting.rows >= most:
            return most
        return self._waiting.rows if final else None

    def _submit_chunk(self, frame: pl.DataFrame, digest: str) -> Future[Chunk]:
        """Not more than a few at once: each is in memory until it is kept."""
        while len(self._keeping) >= self._at_once:
            self._keeping.pop(0).result()
        job = self._pool.submit(self._keep, frame, digest)
        self._keeping.append(job)
        return job

    def _keep(self, frame: pl.DataFrame, digest: str) -> Chunk:
        frame = frame.rechunk()
        with self._blobs.writing() as sink:
            write_parquet(frame, cast("IO[bytes]", sink))
        tally = self._blobs.put(self._tally(frame)) if self._tally else ""
        return Chunk(blob=sink.blob, rows=frame.height, bytes=sink.size, digest=digest, tally=tally)

    def _compact(self, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Small chunks at the end, as many small additions leave them, are put together when the last is no smaller than the one before: each row is
        written again a few times at most, and their number stays a logarithm of the number of additions."""
        kept = list(chunks)
        usual = _usual_rows(self._schema)
        while len(kept) >= 2 and kept[-1].rows >= kept[-2].rows and kept[-1].rows + kept[-2].rows <= usual:
            if kept[-1].bytes + kept[-2].bytes > BATCH_BYTES:
                break
            right, left = kept.pop(), kept.pop()
            both = pl.concat([read(self._blobs, left), read(self._blobs, right)])
            kept.append(self._keep(*_named(both.with_columns(both.hash_rows(seed=_SEED).alias(_HASH)))))
        return tuple(kept)


class _Waiting:
    """Rows in the order they came, taken from the front in stretches of any length."""

    def __init__(self) -> None:
        self._frames: list[pl.DataFrame] = []
        self.rows = 0

    def add(self, frame: pl.DataFrame) -> None:
        self._frames.append(frame)
        self.rows += frame.height

    def peek(self, rows: int) -> pl.DataFrame:
        return pl.concat(list(self._front(rows)), rechunk=False)

    def take(self, rows: int) -> pl.DataFrame:
        found = self.peek(rows)
        self.rows -= rows
        while rows:
            first = self._frames[0]
            if first.height <= rows:
                rows -= first.height
                self._frames.pop(0)
            else:
                self._frames[0] = first.slice(rows)
                rows = 0
        return found

    def _front(self, rows: int) -> Iterator[pl.DataFrame]:
        for frame in self._frames:
            if rows <= 0:
                return
            yield frame.slice(0, rows) if frame.height > rows else frame
            rows -= frame.height


def _named(hashed: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """(the rows, a digest to find them by) of rows with their hashes."""
    frame = hashed.drop(_HASH)
    sink = blake3(str(frame.schema).encode())
    sink.update(hashed[_HASH].rechunk().to_numpy().tobytes())
    return frame, sink.hexdigest()


def _usual_rows(schema: Mapping[str, pl.DataType]) -> int:
    """A power of two that depends on the columns' types alone, so that the same table is always cut the same way."""
    width = sum(_TEXT_BYTES if dtype in (pl.String, pl.Binary) or dtype.is_nested() else 8 for dtype in schema.values())
    rows = max(2 * BATCH_BYTES // max(width, 1), 1)
    return min(1 << (rows.bit_length() - 1), _MOST_ROWS)


def _rows_within(frame: pl.DataFrame, limit: int, most: int) -> int:
    """How many rows from the front take no more than `limit` bytes in memory, at least one; `most` if all do."""
    if frame.estimated_size() <= limit:
        return most
    sizes = np.zeros(frame.height, dtype=np.float64)
    for series in frame.iter_columns():
        if series.dtype in (pl.String, pl.Binary):
            sizes += series.cast(pl.Binary).bin.size().fill_null(0).to_numpy()
        else:
            sizes += series.estimated_size() / max(frame.height, 1)
    return max(int(np.searchsorted(np.cumsum(sizes), limit, side="right")), 1)


def _settled(value: T | Future[T]) -> T:
    return cast("T", value.result()) if isinstance(value, Future) else value
