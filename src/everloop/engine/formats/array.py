"""NumPy arrays and scalars as .npy files, never with pickle in them."""

from __future__ import annotations

import io
import sys
from typing import Any, cast

from everloop.engine.artifacts import Artifact, Kept
from everloop.engine.content import array_digest
from everloop.engine.formats.blob import InBlob
from everloop.store.blobs import Blobs
from everloop.store.database import Transaction


class ArrayFormat(InBlob):
    def takes(self, value: Any) -> bool:
        numpy = cast("Any", sys.modules.get("numpy"))
        return numpy is not None and type(value) is numpy.ndarray and not value.dtype.hasobject and value.dtype.names is None

    def save(self, blobs: Blobs, value: Any) -> Kept:
        return Kept(array_digest(value), blobs.put(_write(value)))

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        return _read(blobs.get(artifact.blob))

    def duplicate(self, value: Any) -> object:
        return value.copy(order="K")


class ScalarFormat(InBlob):
    def takes(self, value: Any) -> bool:
        numpy = cast("Any", sys.modules.get("numpy"))
        return numpy is not None and isinstance(value, numpy.generic) and not value.dtype.hasobject and value.dtype.names is None

    def save(self, blobs: Blobs, value: Any) -> Kept:
        blob = blobs.put(_write(value))
        return Kept(blob, blob)

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        return _read(blobs.get(artifact.blob))[()]

    def duplicate(self, value: object) -> object:
        return value


def _write(value: Any) -> bytes:
    import numpy

    sink = io.BytesIO()
    numpy.save(sink, value, allow_pickle=False)
    return sink.getvalue()


def _read(data: bytes) -> Any:
    import numpy

    return numpy.load(io.BytesIO(data), allow_pickle=False)
