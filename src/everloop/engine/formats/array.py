"""NumPy arrays as .npy files, never with pickle in them. Record arrays too, if their layout comes back as it was.

A large one is mapped into memory, each page read when it is touched and copied when it is written to: what a body writes is its own.
Its memory belongs to the map, so `resize` in place is refused on it.
"""

from __future__ import annotations

import io
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from everloop.core.artifacts import Artifact, InBlob, Kept
from everloop.core.digest import digest

if TYPE_CHECKING:
    from everloop.store.blobs import Blobs
    from everloop.store.database import Transaction

_PIECE_BYTES = 1 << 20


class ArrayFormat(InBlob):
    def takes(self, value: Any) -> bool:
        numpy = cast("Any", sys.modules.get("numpy"))
        return numpy is not None and type(value) is numpy.ndarray and not value.dtype.hasobject and _is_exact(value.dtype)

    def save(self, blobs: Blobs, value: Any) -> Kept:
        import numpy

        with blobs.writing() as sink:
            numpy.save(sink, value, allow_pickle=False)
        return Kept(digest(str(value.dtype.descr), value.dtype.str, list(value.shape), _values(value)), sink.blob)

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        import numpy

        content = blobs.content(artifact.blob)
        if isinstance(content, Path):
            return numpy.load(content, mmap_mode="c", allow_pickle=False).view(numpy.ndarray)
        return numpy.load(io.BytesIO(content), allow_pickle=False)

    def duplicate(self, value: Any) -> object:
        return value.copy(order="K")


def _is_exact(dtype: Any) -> bool:
    """Whether the file says all of the type: not of those with notes, or with a layout of their own."""
    from numpy.lib import format as npy

    if dtype.kind not in "biufcmMUSV" or dtype.metadata is not None:
        return False
    try:
        again: Any = npy.descr_to_dtype(npy.dtype_to_descr(dtype))
    except (TypeError, ValueError):
        return False
    return again == dtype and again.isalignedstruct == dtype.isalignedstruct and again.char == dtype.char


def _values(array: Any) -> str:
    """Digest of the values in C order, taken in pieces; of records field by field, for the padding between fields is whatever was in memory."""
    import numpy

    if array.dtype.names is not None:
        return digest([[name, _values(array[name])] for name in array.dtype.names])
    sink = sha256()
    if not array.size or not array.dtype.itemsize:
        return sink.hexdigest()
    rows = max(1, _PIECE_BYTES // array.dtype.itemsize)
    pieces: Any = numpy.nditer(array, flags=["external_loop", "buffered"], order="C", buffersize=rows)
    if array.flags.c_contiguous:
        flat = array.reshape(-1)
        pieces = (flat[start : start + rows] for start in range(0, array.size, rows))
    for piece in pieces:
        sink.update(cast("Any", numpy.ascontiguousarray(piece).view(numpy.uint8)))
    return sink.hexdigest()
