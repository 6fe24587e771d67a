"""Rows -> points in space, for telling how alike they are. Not what a model learns from: only good enough to spread labels out."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np
import polars as pl

from everloop.data.kinds import kind_of, normalise
from everloop.data.split import row_hash

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

TEXT_BUCKETS = 64
_TEXT_CHARACTERS = 2000
_MASK = np.uint64(TEXT_BUCKETS - 1)


def standardise(points: Floats) -> Floats:
    """Columns of (n, d) to mean 0 and deviation 1; a missing value is the mean, a constant column 0. Extreme values end at 8 deviations."""
    known = np.isfinite(points)
    counts = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, points, 0.0).sum(axis=0) / counts
    away = np.where(known, points - mean, 0.0)
    scale = np.sqrt((away**2).sum(axis=0) / counts)
    return np.clip(np.divide(away, scale, out=np.zeros_like(away), where=scale > 1e-12), -8.0, 8.0)


def points_of(frame: pl.DataFrame) -> Floats:
    """(rows, d): a column for each of numbers, flags and times; `TEXT_BUCKETS` for all text together. Bytes and lists say nothing. Not standardised."""
    frame = normalise(frame)
    numbers: list[Floats] = []
    texts: list[str] = []
    for name in frame.columns:
        series = frame[name]
        match kind_of(series.dtype):
            case "int" | "float" | "bool":
                numbers.append(series.cast(pl.Float64).fill_null(float("nan")).to_numpy())
            case "time":
                moved = series.to_physical().cast(pl.Float64)
                numbers.append(moved.fill_null(float("nan")).to_numpy())
            case "text":
                texts.append(name)
            case _:
                pass
    parts = [np.column_stack(numbers)] if numbers else [np.empty((frame.height, 0))]
    if texts:
        parts.append(_words(frame, texts))
    return np.hstack(parts)


def _words(frame: pl.DataFrame, names: list[str]) -> Floats:
    """Signed counts of words in hashed buckets, each row of length 1 (Weinberger et al. 2009, Feature hashing for large scale multitask learning)."""
    pieces = [
        pl.col(name).fill_null("").str.slice(0, _TEXT_CHARACTERS).str.to_lowercase().str.extract_all(r"[\p{L}\p{N}]+").alias(name)
        for name in names
    ]
    words = frame.select(pl.concat_list(pieces).alias("word")).with_row_index("row").explode("word").drop_nulls()
    counts = np.zeros((frame.height, TEXT_BUCKETS))
    if words.height:
        hashes = row_hash(words.select("word"))
        sign = np.where((hashes >> np.uint64(32)) & np.uint64(1), 1.0, -1.0)
        np.add.at(counts, (words["row"].to_numpy(), cast("Any", (hashes & _MASK).astype(np.int64))), sign)
    length = np.sqrt((counts**2).sum(axis=1, keepdims=True))
    return np.divide(counts, length, out=counts, where=length > 0)
