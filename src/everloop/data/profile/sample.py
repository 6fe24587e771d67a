"""A uniform sample of a column's different texts: those with the smallest hashes, whatever the order and the cut."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl

from everloop.data.hashing import Bits, Bytes

Texts: TypeAlias = np.ndarray[Any, np.dtype[np.object_]]

# Characters kept of a text: no category is longer, and a cell of 100 MB must not travel with the statistics.
KEPT = 256


class Sample(NamedTuple):
    """`hashes` (k,) ascending, without repeats, and the `texts` they belong to, cut after KEPT + 1 characters."""

    hashes: Bits
    texts: Texts


EMPTY = Sample(np.zeros(0, np.uint64), np.zeros(0, object))


def texts_at(values: pl.Series, at: Any) -> Texts:
    """The texts at places (k,) of `values`, cut."""
    texts = values[at].to_list()
    out = np.empty(len(texts), dtype=object)
    out[:] = texts if max(map(len, texts), default=0) <= KEPT else [text[: KEPT + 1] for text in texts]
    return out


def least(hashes: Bits, size: int) -> Any:
    """Where the `size` smallest of different hashes are, (at most size,), smallest first."""
    at: Any = np.arange(len(hashes))
    if len(hashes) > 8 * size:
        # Hashes are spread evenly: a threshold leaves about twice as many as are wanted.
        at = np.flatnonzero(hashes < np.uint64(int(2.0 * size / len(hashes) * 2.0**64)))
        if len(at) < size:
            at = np.arange(len(hashes))
    return at[np.argsort(hashes[at])[:size]]


def merge(a: Sample, b: Sample, size: int) -> Sample:
    if not len(a.hashes) or not len(b.hashes):
        some = a if len(a.hashes) else b
        return Sample(some.hashes[:size], some.texts[:size])
    hashes, at = np.unique(np.concatenate([a.hashes, b.hashes]), return_index=True)
    return Sample(hashes[:size], np.concatenate([a.texts, b.texts])[at[:size]])


def holding(byte: int, offsets: Any, data: Bytes) -> Any:
    """Which of the texts laid out by `flat` hold an (ASCII) byte, (n,) of booleans; None if none does."""
    found = data == byte
    if not found.any():
        return None
    # The bytes that are one, up to the beginning of each text.
    before = np.concatenate([np.zeros(1, np.int32), np.cumsum(found, dtype=np.int32)])[offsets]
    return before[1:] > before[:-1]
