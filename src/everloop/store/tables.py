"""Polars tables <-> Parquet blobs, named by what is in them rather than by how a file writer put it.

Tables are hashed and written in pieces: on its way into the store a table does not take its size in memory a second time.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import IO, Any, cast

import numpy as np
import polars as pl
from blake3 import blake3

from everloop.core.digest import digest
from everloop.store.blobs import Blobs

# Of rows that are hashed at a time: a multiple of 8, for packed bits. Part of what a table's digest means: never change it.
PIECE_ROWS = 1 << 16
_WIDE = (pl.Int128, pl.UInt128)


def content_digest(frame: pl.DataFrame) -> str:
    """Digest of the logical table: column names, types, nulls and values in row order. Independent of chunks and file format.

    It is made of the digests of every `PIECE_ROWS` rows, so that a table that grew can be named without its old rows.
    """
    pieces = [piece_digest(frame.slice(start, PIECE_ROWS)) for start in range(0, frame.height, PIECE_ROWS)]
    return digest_of(frame.schema, pieces, frame.height)


def digest_of(schema: Mapping[str, pl.DataType], pieces: Sequence[str], rows: int) -> str:
    """The digest of a table whose pieces are known."""
    return digest([[name, str(dtype)] for name, dtype in schema.items()], list(pieces), rows)


def piece_digest(frame: pl.DataFrame) -> str:
    """Digest of a few rows at once, by the columns' names, types and values."""
    sink = blake3(frame.height.to_bytes(8, "little"))
    for series in frame.iter_columns():
        sink.update(_text(series.name))
        sink.update(_series_digest(series))
    return sink.hexdigest()


def keep_table(blobs: Blobs, frame: pl.DataFrame) -> str:
    """Keep a table as a Parquet blob; the blob's digest."""
    with blobs.writing() as sink:
        write_parquet(frame, cast("IO[bytes]", sink))
    return sink.blob


def write_parquet(frame: pl.DataFrame, file: IO[bytes]) -> None:
    """LZ4: half the CPU of zstd for a tenth more bytes."""
    frame.write_parquet(file, compression="lz4", statistics=False)


def load_table(blobs: Blobs, blob: str) -> pl.DataFrame:
    content = blobs.content(blob)
    return pl.read_parquet(io.BytesIO(content) if isinstance(content, bytes) else content)


def _series_digest(series: pl.Series) -> bytes:
    """Every part has a length that follows from what came before it, so that no two different columns feed the same bytes."""
    sink = blake3(_text(str(series.dtype)))
    nulls = series.null_count()
    sink.update(nulls.to_bytes(8, "little"))
    if nulls:
        sink.update(np.packbits(series.is_null().to_numpy()).tobytes())
    dtype = series.dtype
    if dtype in _WIDE or dtype.is_decimal() or dtype in (pl.Categorical, pl.Enum):
        # By their text: NumPy has no such numbers, and the codes of categories depend on what the process saw before.
        sink.update(_series_digest(series.cast(pl.String)))
    elif dtype.is_numeric():
        sink.update(_raw(series.fill_null(0) if nulls else series))
    elif dtype == pl.Boolean:
        sink.update(np.packbits(series.fill_null(False).to_numpy()).tobytes())
    elif dtype in (pl.String, pl.Binary):
        lengths, data = _texts(series)
        sink.update(lengths)
        sink.update(data)
    elif dtype.is_temporal():
        sink.update(_raw(series.to_physical().cast(pl.Int64).fill_null(0)))
    elif isinstance(dtype, pl.Struct):
        whole = series.drop_nulls()
        for name in (field.name for field in dtype.fields):
            sink.update(_series_digest(whole.struct.field(name)))
    elif isinstance(dtype, pl.List | pl.Array):
        lists = series.drop_nulls() if isinstance(dtype, pl.List) else series.drop_nulls().arr.to_list()
        sink.update(_raw(lists.list.len().cast(pl.UInt64)))
        # Lists without members become nulls here, and their lengths say so.
        sink.update(_series_digest(lists.explode()))
    elif dtype != pl.Null:
        # Exotic types: Arrow's own layout after one rechunk.
        buffer = io.BytesIO()
        series.rechunk().to_frame("").write_ipc(buffer, compression="uncompressed")
        sink.update(buffer.getvalue())
    return sink.digest()


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(8, "little") + data


def _raw(series: pl.Series) -> Any:
    return np.ascontiguousarray(series.to_numpy()).view(np.uint8).data


def _texts(series: pl.Series) -> tuple[Any, Any]:
    """(lengths in bytes, all bytes one after the other); nulls are empty."""
    filled = series.cast(pl.Binary).fill_null(b"").rechunk()
    arrow: Any = filled.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, where, data = arrow.buffers()
    offsets = (
        np.frombuffer(where, dtype=np.int64, count=len(filled) + 1 + arrow.offset)[arrow.offset :] if len(filled) else np.zeros(1, np.int64)
    )
    if data is None:
        return np.diff(offsets).tobytes(), b""
    return np.diff(offsets).tobytes(), memoryview(data)[int(offsets[0]) : int(offsets[-1])]
