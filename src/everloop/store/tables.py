"""Polars tables <-> Parquet blobs, named by what is in them rather than by how a file writer put it.

Tables are hashed and written in pieces: on its way into the store a table does not take its size in memory a second time.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from typing import IO, Any, cast

import numpy as np
import polars as pl

from everloop.core.digest import digest
from everloop.store.blobs import Blobs

# Of rows that are hashed at a time: a multiple of 8, for packed bits.
_PIECE_ROWS = 1 << 20
_WIDE = (pl.Int128, pl.UInt128)


def content_digest(frame: pl.DataFrame) -> str:
    """Digest of the logical table: column names, types, nulls and values in row order. Independent of chunks and file format."""
    return digest([[name, str(dtype), _series_digest(frame[name])] for name, dtype in frame.schema.items()], frame.height)


def keep_table(blobs: Blobs, frame: pl.DataFrame) -> str:
    """Keep a table as a Parquet blob; the blob's digest."""
    with blobs.writing() as sink:
        frame.write_parquet(cast("IO[bytes]", sink), compression="zstd", compression_level=1, statistics=False)
    return sink.blob


def load_table(blobs: Blobs, blob: str) -> pl.DataFrame:
    content = blobs.content(blob)
    return pl.read_parquet(io.BytesIO(content) if isinstance(content, bytes) else content)


def _series_digest(series: pl.Series) -> str:
    sink = hashlib.sha256()
    _feed(sink, series, lambda piece: np.packbits(piece.is_null().to_numpy()))
    dtype = series.dtype
    if dtype in _WIDE or dtype.is_decimal() or dtype in (pl.Categorical, pl.Enum):
        # By their text: NumPy has no such numbers, and the codes of categories depend on what the process saw before.
        sink.update(_series_digest(series.cast(pl.String)).encode())
    elif dtype.is_numeric():
        _feed(sink, series, lambda piece: np.ascontiguousarray(piece.fill_null(0).to_numpy()))
    elif dtype == pl.Boolean:
        _feed(sink, series, lambda piece: np.packbits(piece.fill_null(False).to_numpy()))
    elif dtype in (pl.String, pl.Binary):
        _feed(sink, series, lambda piece: _bytes(piece).bin.size().cast(pl.UInt64).to_numpy())
        for piece in _pieces(series):
            for value in _bytes(piece):
                sink.update(value)
    elif dtype.is_temporal():
        _feed(sink, series, lambda piece: piece.to_physical().cast(pl.Int64).fill_null(0).to_numpy())
    elif isinstance(dtype, pl.Struct):
        whole = series.drop_nulls()
        for name in (field.name for field in dtype.fields):
            sink.update(_series_digest(whole.struct.field(name)).encode())
    elif isinstance(dtype, pl.List | pl.Array):
        lists = series.drop_nulls() if isinstance(dtype, pl.List) else series.drop_nulls().arr.to_list()
        _feed(sink, lists, lambda piece: piece.list.len().cast(pl.UInt64).to_numpy())
        # Lists without members become nulls here, and their lengths say so.
        sink.update(_series_digest(lists.explode()).encode())
    elif dtype != pl.Null:
        # Exotic types: Arrow's own layout after one rechunk.
        buffer = io.BytesIO()
        series.rechunk().to_frame("").write_ipc(buffer, compression="uncompressed")
        sink.update(buffer.getvalue())
    return sink.hexdigest()


def _pieces(series: pl.Series) -> Iterator[pl.Series]:
    return (series.slice(start, _PIECE_ROWS) for start in range(0, series.len(), _PIECE_ROWS))


def _feed(sink: hashlib._Hash, series: pl.Series, of: Callable[[pl.Series], Any]) -> None:
    for piece in _pieces(series):
        sink.update(cast("Any", np.ascontiguousarray(of(piece)).view(np.uint8)))


def _bytes(piece: pl.Series) -> pl.Series:
    return piece.cast(pl.Binary).fill_null(b"")
