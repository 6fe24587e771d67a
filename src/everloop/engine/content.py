"""Arrays, tensors and tables -> what is in them, as a digest. Libraries are used only if somebody else imported them."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable
from typing import Any, cast

from everloop.core.digest import digest
from everloop.core.errors import BadInput

DATA_LIBRARIES = ("numpy", "polars", "pyarrow", "pandas", "torch")


def form_of_data(value: object, form: Callable[[object], object]) -> list[object] | None:
    """The form of an array or table of a loaded library; None when `value` is none. `form` gives that of Python objects within."""
    top = str(type(value).__module__).partition(".")[0]
    if top not in DATA_LIBRARIES or top not in sys.modules:
        return None
    match top:
        case "numpy":
            return _numpy(value, form)
        case "polars":
            return _polars(value)
        case "pyarrow":
            return _arrow(value)
        case "pandas":
            return _pandas(value, form)
        case "torch":
            return _torch(value, form)
        case _:
            return None


def array_digest(array: Any) -> str:
    """Digest of dtype, shape and values in C order."""
    numpy = cast("Any", sys.modules["numpy"])
    return digest(array.dtype.str, list(array.shape), hashlib.sha256(numpy.ascontiguousarray(array).tobytes()).digest())


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
        return ["arrow array", type(value) is arrow.ChunkedArray, _arrow(arrow.table({"": value}))]
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
    if isinstance(value, pandas.MultiIndex):
        return ["pandas index", [_pandas(value.get_level_values(level), form) for level in range(value.nlevels)]]
    if isinstance(value, pandas.Index):
        about = [type(value).__name__, str(value.dtype), str(getattr(value, "freq", None))]
        return ["pandas index", form(list(value.names)), about, _pandas_values(value, form)]
    return None


def _pandas_values(column: Any, form: Callable[[object], object]) -> object:
    values = column.array
    numpy = cast("Any", sys.modules["numpy"])
    inner: Any = getattr(values, "_ndarray", None)
    if isinstance(inner, numpy.ndarray) and not inner.dtype.hasobject:
        return _numpy(numpy.ascontiguousarray(inner), form)
    items = column.tolist()
    missing = [index for index, gone in enumerate(column.isna().tolist()) if gone] if hasattr(column, "isna") else []
    kinds = [type(items[index]).__name__ for index in missing]
    for index in missing:
        items[index] = None
    return [missing, kinds, form(items), str(column.dtype)]


def _torch(value: Any, form: Callable[[object], object]) -> list[object] | None:
    """Tensors by type, shape, kind of device, values and whether gradients are taken; modules and optimizers are plain objects of those.

    Not by strides, nor by how the values came about.
    """
    torch = cast("Any", sys.modules["torch"])
    if isinstance(value, torch.Generator):
        return ["torch generator", value.device.type, _torch(value.get_state(), form)]
    if not isinstance(value, torch.Tensor) or type(value) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer):
        return None
    if value.device.type == "meta":
        raise BadInput("a tensor on the device 'meta' has no values")
    about = ["torch", type(value).__name__, str(value.dtype), list(value.shape), value.device.type, value.requires_grad]
    if value.is_leaf and value.grad is not None:
        about.append(_torch(value.grad, form))
    plain = value.detach()
    if plain.layout == torch.sparse_coo:
        plain = plain.coalesce()
        return [*about, "coo", _torch(plain.indices(), form), _torch(plain.values(), form)]
    if plain.layout != torch.strided:
        rows = plain.layout in (torch.sparse_csr, torch.sparse_bsr)
        places = (plain.crow_indices(), plain.col_indices()) if rows else (plain.ccol_indices(), plain.row_indices())
        return [*about, str(plain.layout), *(_torch(part, form) for part in (*places, plain.values()))]
    if plain.is_quantized:
        raise BadInput("a quantized tensor has no form. Pass .int_repr() with its scale and zero point")
    # As bytes, since NumPy lacks some of the types.
    data = plain.resolve_conj().resolve_neg().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return [*about, hashlib.sha256(data).digest()]
