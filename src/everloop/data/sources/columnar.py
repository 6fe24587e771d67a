"""Parquet and Arrow files -> tables, a stretch of rows each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from typing import Any, BinaryIO

import polars as pl

from everloop.core.errors import BadInput
from everloop.core.ports import BATCH_BYTES

_MOST_ROWS = 1 << 18
pa: Any = import_module("pyarrow")
pq: Any = import_module("pyarrow.parquet")
_BROKEN: tuple[type[BaseException], ...] = (
    pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, OverflowError,
)  # fmt: skip


def parquet(file: BinaryIO, *, name: str, batch_bytes: int = BATCH_BYTES) -> Iterator[pl.DataFrame]:
    try:
        with pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20) as reader:
            _one_name_each(reader.schema_arrow, name)
            meta = reader.metadata
            size = sum(meta.row_group(at).total_byte_size for at in range(meta.num_row_groups))
            rows = max(1, min(_MOST_ROWS, batch_bytes * max(1, meta.num_rows) // max(1, size)))
            yield from _tables(reader.iter_batches(batch_size=rows), reader.schema_arrow, batch_bytes)
    except _BROKEN as error:
        raise _broken(name, "Parquet", error) from error


def arrow(file: BinaryIO, *, name: str, batch_bytes: int = BATCH_BYTES) -> Iterator[pl.DataFrame]:
    """An IPC file (Feather is one) or an IPC stream: the first bytes tell."""
    stream = file.read(6) != b"ARROW1"
    file.seek(0)
    try:
        if stream:
            with pa.ipc.open_stream(file) as reader:
                _one_name_each(reader.schema, name)
                yield from _tables(iter(reader), reader.schema, batch_bytes)
        else:
            with pa.ipc.open_file(file) as reader:
                _one_name_each(reader.schema, name)
                yield from _tables((reader.get_batch(at) for at in range(reader.num_record_batches)), reader.schema, batch_bytes)
    except _BROKEN as error:
        raise _broken(name, "Arrow", error) from error


def _broken(name: str, kind: str, error: BaseException) -> BadInput:
    said = str(error).splitlines() or [type(error).__name__]
    return BadInput(f"{name} is not a whole {kind} file: {said[0].rstrip('.')}. Write, copy or download it again.")


def _one_name_each(schema: Any, name: str) -> None:
    names: list[str] = schema.names
    twice = sorted(column for column, times in Counter(names).items() if times > 1)
    if twice:
        raise BadInput(f"{name}: several columns are named {', '.join(map(repr, twice))}. Give each column a name of its own.")


def _tables(batches: Iterator[Any], schema: Any, batch_bytes: int) -> Iterator[pl.DataFrame]:
    given = False
    for batch in batches:
        if not batch.num_rows:
            continue
        given = True
        yield from sliced(_frame(pa.Table.from_batches([batch])), batch_bytes)
    if not given:
        yield _frame(schema.empty_table())


def _frame(rows: Any) -> pl.DataFrame:
    polars: Any = pl
    return polars.from_arrow(rows)


def sliced(frame: pl.DataFrame, batch_bytes: int = BATCH_BYTES) -> Iterator[pl.DataFrame]:
    """The table in stretches of at most about `batch_bytes`, at least a row each."""
    size = int(frame.estimated_size())
    if size <= batch_bytes:
        yield frame
        return
    yield from frame.iter_slices(max(1, frame.height * batch_bytes // size))
