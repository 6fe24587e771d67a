"""JSON -> tables, without holding all of a long array."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np
import polars as pl

from everloop.core.errors import BadInput
from everloop.data.sources.csv.cut import RECORD_BYTES
from everloop.data.sources.csv.text import utf8
from everloop.data.sources.json import Kinds, as_object, column, table
from everloop.data.sources.json_lines import decode

_SPACE = b" \t\r\n"


def read(
    blocks: Iterable[bytes], *, name: str, kinds: Kinds, encoding: str | None = None, record_bytes: int = RECORD_BYTES
) -> Iterator[pl.DataFrame]:
    """An array of objects, stretch by stretch, or an object of equally long arrays, which must fit in `record_bytes`. `kinds` as in `json_lines`."""
    kinds.begin()
    rest = utf8(blocks, name=name, encoding=encoding).blocks
    data = b""
    while not data and (block := next(rest, None)) is not None:
        data = block.lstrip(_SPACE)
    if not data:
        return
    if data[:1] != b"[":
        yield _of_arrays(_all(data, rest, name, record_bytes), name)
        return
    done = 0
    for rows in _stretches(data[1:], rest, name, record_bytes):
        objects = kinds.with_bare([as_object(row, f"{name}, row {done + at}") for at, row in enumerate(rows, 1)])
        done += len(rows)
        if not objects:
            continue
        found = table(objects, kinds)
        if kinds.sound():
            kinds.give(found.columns)
            if kinds.sound():
                yield found


def _all(data: bytes, rest: Iterator[bytes], name: str, most: int) -> bytes:
    parts, size = [data], len(data)
    for block in rest:
        parts.append(block)
        size += len(block)
        if size > most:
            raise BadInput(
                f"{name} is one JSON value of more than {most / 1e6:,.0f} MB. Write an array of objects, JSON lines or Parquet: those are read piece by piece."
            )
    return b"".join(parts)


def _of_arrays(data: bytes, name: str) -> pl.DataFrame:
    value = decode(data, name)
    if not isinstance(value, dict):
        raise BadInput(f"{name} holds one {type(value).__name__}. A table is an array of objects: [{{...}}, {{...}}]")
    columns = cast("dict[str, Any]", value)
    lengths = {key: len(cast("list[Any]", cells)) if isinstance(cells, list) else -1 for key, cells in columns.items()}
    if -1 in lengths.values() or len(set(lengths.values())) > 1:
        raise BadInput(f"{name} is an object, but not one of equally long arrays. Give an array of objects: [{{...}}, {{...}}]")
    return pl.DataFrame([column(key, cells) for key, cells in columns.items()])


def _stretches(data: bytes, rest: Iterator[bytes], name: str, most: int) -> Iterator[list[Any]]:
    """Elements of the array whose opening bracket came before `data`."""
    done = 0
    while True:
        cut = _cut(data)
        if cut.closed or cut.end:
            body = data[: cut.end].strip(_SPACE)
            if body or done == 0:
                if done and body[:1] != b",":
                    raise BadInput(
                        f"{name}, row {done + 1}: expected ',' before the next object, found {body[:1].decode(errors='replace')!r}."
                    )
                items = body[1:] if done else body
                if done and not items.strip(_SPACE):
                    raise BadInput(f"{name}, row {done + 1}: nothing follows the last ','.")
                rows = _decoded(items, name, done)
                yield rows
                done += len(rows)
            data = data[cut.end :]
        if cut.closed:
            behind = _all(data[1:], rest, name, most).strip(_SPACE)
            if behind:
                raise BadInput(
                    f"{name}: {behind[:20].decode(errors='replace')!r} follows the end of the array. A file of one object a line is format='jsonl'."
                )
            return
        parts, got = [data], 0
        while got < max(1, len(data)) and (block := next(rest, None)) is not None:
            parts.append(block)
            got += len(block)
        if not got:
            raise BadInput(f"{name} is not whole: it ends behind row {done}, before the array is closed.")
        data = b"".join(parts)
        if len(data) > most:
            raise BadInput(f"{name}, row {done + 1}: one element has more than {most / 1e6:,.0f} MB.")


class _Cut(NamedTuple):
    """Where the last whole object ends, or, if the array is `closed`, where its bracket stands."""

    end: int
    closed: bool


def _cut(data: bytes) -> _Cut:
    plain = data.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in data else data
    raw: Any = np.frombuffer(plain, dtype=np.uint8)
    inside = np.bitwise_xor.accumulate(raw == ord('"'))
    # { and [ differ from } and ] by two; no other byte becomes one of them by that bit.
    opens = ((raw == ord("{")) | (raw == ord("["))) & ~inside
    closes = ((raw == ord("}")) | (raw == ord("]"))) & ~inside
    at = np.flatnonzero(opens | closes)
    depth = np.cumsum(np.where(opens[at], 1, -1))
    shut = np.flatnonzero(depth == -1)
    if len(shut):
        return _Cut(int(at[shut[0]]), True)
    ends = np.flatnonzero((depth == 0) & closes[at])
    return _Cut(int(at[ends[-1]]) + 1 if len(ends) else 0, False)


def _decoded(items: bytes, name: str, done: int) -> list[Any]:
    try:
        return msgspec.json.decode(b"[" + items + b"]", type=list[Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        decode(b"[" + items + b"]", f"{name}, behind row {done},")
        raise
