"""Arrow tables as Arrow streams; pandas frames through them where they come back exactly."""

from __future__ import annotations

import io
import sys
from importlib import import_module
from typing import Any, cast

from everloop.core.digest import digest
from everloop.engine.artifacts import Artifact, Kept
from everloop.engine.formats.blob import InBlob
from everloop.store.blobs import Blobs
from everloop.store.database import Transaction


class ArrowFormat(InBlob):
    def takes(self, value: object) -> bool:
        arrow = cast("Any", sys.modules.get("pyarrow"))
        return arrow is not None and isinstance(value, arrow.Table)

    def save(self, blobs: Blobs, value: Any) -> Kept:
        blob = blobs.put(_write(value))
        return Kept(blob, blob)

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        return _read(blobs.get(artifact.blob))

    def duplicate(self, value: object) -> object:
        return value


class PandasFormat(InBlob):
    def takes(self, value: object) -> bool:
        pandas = cast("Any", sys.modules.get("pandas"))
        return pandas is not None and type(value) is pandas.DataFrame

    def save(self, blobs: Blobs, value: Any) -> Kept | None:
        arrow: Any = import_module("pyarrow")
        try:
            stored = _write(arrow.Table.from_pandas(value))
            again: Any = cast("Any", _read(stored)).to_pandas()
        except Exception:  # Arrow has many kinds of refusal, and the next format takes any frame
            return None
        if not _same(value, again):
            return None
        from everloop.engine.keys import canonical

        return Kept(digest("pandas", canonical(value)), blobs.put(stored))

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        return cast("Any", _read(blobs.get(artifact.blob))).to_pandas()

    def duplicate(self, value: Any) -> object:
        return value.copy()


def _same(one: Any, other: Any) -> bool:
    return bool(
        one.dtypes.equals(other.dtypes)
        and one.columns.equals(other.columns)
        and one.columns.dtype == other.columns.dtype
        and list(one.columns.names) == list(other.columns.names)
        and type(one.index) is type(other.index)
        and one.index.dtype == other.index.dtype
        and list(one.index.names) == list(other.index.names)
        and dict(one.attrs) == dict(other.attrs)
        and one.equals(other)
        and all(_types(one, index) == _types(other, index) for index, dtype in enumerate(one.dtypes) if str(dtype) == "object")
    )


def _types(frame: Any, index: int) -> list[type]:
    return list(map(type, frame.iloc[:, index]))


def _write(table: Any) -> bytes:
    arrow = cast("Any", sys.modules["pyarrow"])
    sink = io.BytesIO()
    with arrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue()


def _read(data: bytes) -> object:
    arrow: Any = import_module("pyarrow")
    return arrow.ipc.open_stream(data).read_all()
