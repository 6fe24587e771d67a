"""pandas frames and series as Arrow streams, where they come back exactly."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from everloop.core.artifacts import Artifact, InBlob, Kept
from everloop.core.digest import digest
from everloop.engine.formats import arrow as streams
from everloop.engine.formats.plain import from_json, is_plain, to_json

if TYPE_CHECKING:
    from everloop.store.blobs import Blobs
    from everloop.store.database import Transaction

_NAME = b"everloop series name"


class PandasFormat(InBlob):
    def takes(self, value: object) -> bool:
        pandas = cast("Any", sys.modules.get("pandas"))
        return pandas is not None and type(value) is pandas.DataFrame

    def save(self, blobs: Blobs, value: Any) -> Kept | None:
        table = _table_of(value)
        return None if table is None else Kept(digest("pandas", streams.content_digest(table)), streams.write(blobs, table))

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        return streams.read(blobs, artifact.blob).to_pandas()

    def duplicate(self, value: Any) -> object:
        return value.copy()


class PandasSeriesFormat(InBlob):
    """A series is kept as a frame of one column, its name among the table's notes."""

    def takes(self, value: Any) -> bool:
        pandas = cast("Any", sys.modules.get("pandas"))
        return pandas is not None and type(value) is pandas.Series and is_plain(value.name)

    def save(self, blobs: Blobs, value: Any) -> Kept | None:
        table = None if value.attrs else _table_of(value.to_frame("values"))
        if table is None:
            return None
        table = table.replace_schema_metadata({**table.schema.metadata, _NAME: json.dumps(to_json(value.name)).encode()})
        return Kept(digest("pandas series", streams.content_digest(table)), streams.write(blobs, table))

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        table = streams.read(blobs, artifact.blob)
        return table.to_pandas()["values"].rename(from_json(json.loads(table.schema.metadata[_NAME])))

    def duplicate(self, value: Any) -> object:
        return value.copy()


def _table_of(frame: Any) -> Any:
    """The Arrow table that gives exactly this frame again, None when there is none."""
    arrow: Any = import_module("pyarrow")
    try:
        table = arrow.Table.from_pandas(frame)
        again = table.to_pandas()
    except Exception:  # Arrow has many kinds of refusal, and the next format takes any frame
        return None
    return table if _same(frame, again) else None


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
