"""Polars tables <-> Parquet blobs, named by what is in them rather than by how a file writer put it."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import polars as pl

from everloop.core.digest import digest
from everloop.store.blobs import Blobs


def content_digest(frame: pl.DataFrame) -> str:
    """Digest of the logical table: column names, types, nulls and values in row order. Independent of chunks and file format."""
    return digest([[name, str(dtype), _series_digest(frame[name])] for name, dtype in frame.schema.items()], frame.height)


def keep_table(blobs: Blobs, frame: pl.DataFrame) -> str:
    """Keep a table as a Parquet blob; the blob's digest."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=1, statistics=False)
    return blobs.put(buffer.getvalue())


def load_table(blobs: Blobs, blob: str) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(blobs.get(blob)))


def _series_digest(series: pl.Series) -> str:
    sink = hashlib.sha256()
    nulls = series.is_null().to_numpy()
    sink.update(np.packbits(nulls).tobytes())
    dtype = series.dtype
    if dtype.is_numeric() and not dtype.is_decimal():
        sink.update(np.ascontiguousarray(series.fill_null(0).to_numpy()).tobytes())
    elif dtype == pl.Boolean:
        sink.update(np.packbits(series.fill_null(False).to_numpy()).tobytes())
    elif dtype in (pl.String, pl.Binary):
        data = series.cast(pl.Binary).fill_null(b"")
        sink.update(data.bin.size().cast(pl.UInt64).to_numpy().tobytes())
        for value in data:
            sink.update(value)
    elif dtype.is_temporal():
        sink.update(series.to_physical().cast(pl.Int64).fill_null(0).to_numpy().tobytes())
    else:
        # Nested and exotic types: Arrow's own layout after one rechunk.
        buffer = io.BytesIO()
        series.rechunk().to_frame("").write_ipc(buffer, compression="uncompressed")
        sink.update(buffer.getvalue())
    return sink.hexdigest()
