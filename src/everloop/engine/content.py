"""Files, arrays and tables -> what is in them, as a digest. Libraries are used only if somebody else imported them."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from everloop.core.digest import digest
from everloop.core.errors import BadInput


def path_form(path: Path) -> list[object]:
    """Content and last name of a file or folder: where it lies does not count, what it is called may decide how it is read."""
    if path.is_file():
        return ["file", path.name, _file_digest(path)]
    if path.is_dir():
        files = sorted(item for item in path.rglob("*") if item.is_file())
        return ["folder", path.name, digest([[item.relative_to(path).as_posix(), _file_digest(item)] for item in files])]
    return ["absent", str(path)]


def form_of_data(value: object, form: Callable[[object], object]) -> list[object] | None:
    """The form of an array or table of a loaded library; None when `value` is none. `form` gives that of Python objects within."""
    top = str(type(value).__module__).partition(".")[0]
    match top:
        case "numpy" if "numpy" in sys.modules:
            return _numpy(value, form)
        case "polars" if "polars" in sys.modules:
            return _polars(value)
        case "pyarrow" if "pyarrow" in sys.modules:
            return _arrow(value)
        case "pandas" if "pandas" in sys.modules:
            return _pandas(value, form)
        case _:
            return None


def array_digest(array: Any) -> str:
    """Digest of dtype, shape and values in C order."""
    numpy = cast("Any", sys.modules["numpy"])
    return digest(array.dtype.str, list(array.shape), hashlib.sha256(numpy.ascontiguousarray(array).tobytes()).digest())


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _numpy(value: Any, form: Callable[[object], object]) -> list[object] | None:
    numpy = cast("Any", sys.modules["numpy"])
    if isinstance(value, numpy.generic) and not value.dtype.hasobject and value.dtype.names is None:
        return ["numpy scalar", value.dtype.str, value.tobytes()]
    if type(value) is not numpy.ndarray:
        return None
    if value.dtype.hasobject:
        return ["numpy objects", str(value.dtype), list(value.shape), form(value.tolist())]
    if value.dtype.names is not None:
        # Field by field: the padding between fields holds whatever was in memory.
        return ["numpy record", str(value.dtype), [[name, _numpy(value[name], form)] for name in value.dtype.names]]
    return ["numpy", array_digest(value)]


def _polars(value: Any) -> list[object] | None:
    polars = cast("Any", sys.modules["polars"])
    from everloop.store.tables import content_digest

    if isinstance(value, polars.DataFrame):
        return ["polars", content_digest(value)]
    if isinstance(value, polars.Series):
        return ["polars series", content_digest(value.to_frame())]
    if isinstance(value, polars.LazyFrame):
        raise BadInput("a LazyFrame is a plan, not data. Call .collect() and pass the table")
    return None


def _arrow(value: Any) -> list[object] | None:
    arrow = cast("Any", sys.modules["pyarrow"])
    if isinstance(value, arrow.RecordBatch):
        return ["arrow batch", _arrow(arrow.Table.from_batches([value]))]
    if isinstance(value, arrow.Array | arrow.ChunkedArray):
        return ["arrow array", _arrow(arrow.table({"": value}))]
    if not isinstance(value, arrow.Table):
        return None
    # `take` copies every value into fresh buffers: chunks, slices and what lies beneath nulls do not count.
    rows: Any = arrow.array(range(value.num_rows), type=arrow.int64())
    plain: Any = value.take(rows).combine_chunks() if value.num_columns else value
    sink = io.BytesIO()
    with arrow.ipc.new_stream(sink, plain.schema) as writer:
        writer.write_table(plain)
    return ["arrow", value.num_rows, hashlib.sha256(sink.getvalue()).digest()]


def _pandas(value: Any, form: Callable[[object], object]) -> list[object] | None:
    pandas = cast("Any", sys.modules["pandas"])
    if isinstance(value, pandas.DataFrame):
        columns = [_pandas(value.iloc[:, index], form) for index in range(value.shape[1])]
        return ["pandas", form(value.columns.tolist()), _pandas(value.index, form), columns, form(dict(value.attrs))]
    if isinstance(value, pandas.Series):
        return ["pandas series", form(value.name), str(value.dtype), _pandas(value.index, form), _pandas_values(value, form)]
    if isinstance(value, pandas.Index):
        return ["pandas index", form(list(value.names)), type(value).__name__, str(value.dtype), _pandas_values(value, form)]
    return None


def _pandas_values(column: Any, form: Callable[[object], object]) -> object:
    values = column.array
    numpy = cast("Any", sys.modules["numpy"])
    inner: Any = getattr(values, "_ndarray", None)
    if isinstance(inner, numpy.ndarray) and not inner.dtype.hasobject:
        return _numpy(numpy.ascontiguousarray(inner), form)
    missing = [index for index, gone in enumerate(column.isna().tolist()) if gone] if hasattr(column, "isna") else []
    items = column.tolist()
    for index in missing:
        items[index] = None
    return [missing, form(items), str(column.dtype)]
