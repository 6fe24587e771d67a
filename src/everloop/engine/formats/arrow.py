"""Arrow tables as Arrow streams. A large one is mapped into memory when it is loaded, page by page as it is touched."""

from __future__ import annotations

import sys
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from everloop.core.artifacts import Artifact, InBlob, Kept
from everloop.core.digest import digest

if TYPE_CHECKING:
    from everloop.store.blobs import Blobs
    from everloop.store.database import Transaction

# A table is written and hashed in pieces of about this size, and of so many rows at most.
_PIECE_BYTES, _PIECE_ROWS = 8 << 20, 1 << 16
_SAMPLED_ROWS = 64


class ArrowFormat(InBlob):
    def takes(self, value: object) -> bool:
        arrow = cast("Any", sys.modules.get("pyarrow"))
        return arrow is not None and type(value) is arrow.Table

    def save(self, blobs: Blobs, value: Any) -> Kept:
        return Kept(content_digest(value), write(blobs, value))

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        return read(blobs, artifact.blob)

    def duplicate(self, value: object) -> object:
        return value


def write(blobs: Blobs, table: Any) -> str:
    """Keep a table with its chunks as they are, large ones cut; the blob's name."""
    arrow: Any = import_module("pyarrow")
    with blobs.writing() as sink, arrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=_rows_a_piece(table))
    return sink.blob


def read(blobs: Blobs, name: str) -> Any:
    arrow: Any = import_module("pyarrow")
    content = blobs.content(name)
    return arrow.ipc.open_stream(arrow.memory_map(str(content)) if isinstance(content, Path) else content).read_all()


def content_digest(table: Any) -> str:
    """Digest of schema, with its notes, and values. Chunks, slices and what lies beneath nulls do not count; only a piece is copied at a time."""
    arrow: Any = import_module("pyarrow")
    sink = _Hash()
    rows = _rows_a_piece(table)
    with arrow.ipc.new_stream(sink, table.schema) as writer:
        for start in range(0, table.num_rows, rows):
            writer.write_table(_plain(table.slice(start, rows)))
    return digest("arrow", table.num_rows, sink.hash.digest())


def _plain(piece: Any) -> Any:
    """The same rows in fresh buffers."""
    if not piece.num_columns:
        return piece
    try:
        return piece.take(_row_numbers().slice(0, piece.num_rows)).combine_chunks()
    except NotImplementedError:
        # Rare types cannot be taken from: their buffers count as they are.
        return piece.combine_chunks()


def _rows_a_piece(table: Any) -> int:
    """By the size of the first rows in fresh buffers, so that it depends on nothing but the content."""
    sample = _plain(table.slice(0, _SAMPLED_ROWS))
    return max(1, min(_PIECE_ROWS, _PIECE_BYTES * max(1, sample.num_rows) // max(1, sample.nbytes)))


@cache
def _row_numbers() -> Any:
    arrow: Any = import_module("pyarrow")
    return arrow.array(range(_PIECE_ROWS), type=arrow.int64())


class _Hash:
    """A file that keeps nothing but the digest of what is written to it."""

    closed = False

    def __init__(self) -> None:
        self.hash = sha256()

    def write(self, data: Any) -> int:
        self.hash.update(data)
        return len(data)

    def flush(self) -> None: ...

    def close(self) -> None: ...
