"""JSON lines -> tables, each of a stretch of lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import polars as pl

from everloop.core.errors import BadInput
from everloop.data.sources.csv.cut import RECORD_BYTES
from everloop.data.sources.csv.text import utf8
from everloop.data.sources.json import Kinds, as_object, table


def read(
    blocks: Iterable[bytes], *, name: str, kinds: Kinds, encoding: str | None = None, record_bytes: int = RECORD_BYTES
) -> Iterator[pl.DataFrame]:
    """One object a line; blank lines are none. Keys that a line lacks are null; a key whose values have different types becomes text, the whole
    file considered: `kinds.sound()` tells whether what was given can stand, and if not, a second reading with the same `kinds` is right.
    """
    kinds.begin()
    line = 1 + kinds.lines_before
    for data in _lines(utf8(blocks, name=name, encoding=encoding).blocks, name, record_bytes):
        rows = kinds.with_bare(_rows(data, name, line))
        line += data.count(b"\n")
        if not rows:
            continue
        found = table(rows, kinds)
        if kinds.sound():
            kinds.give(found.columns)
            if kinds.sound():
                yield found


def _lines(blocks: Iterable[bytes], name: str, most: int) -> Iterator[bytes]:
    """Stretches of whole lines."""
    held: list[bytes] = []
    size = 0
    for block in blocks:
        end = block.rfind(b"\n") + 1
        if end:
            yield b"".join([*held, block[:end]])
            held, size = [], 0
        held.append(block[end:])
        size += len(block) - end
        if size > most:
            raise BadInput(
                f"{name}: a line has more than {most / 1e6:,.0f} MB. JSON lines hold one object a line; a JSON array is format='json'."
            )
    if rest := b"".join(held):
        yield rest


def _rows(data: bytes, name: str, line: int) -> list[dict[str, Any]]:
    try:
        found = msgspec.json.decode(b"[" + b",".join([row for row in data.split(b"\n") if row.strip()]) + b"]", type=list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    else:
        # Two objects on a line with a comma between them would be two rows here, and are an error below.
        if len(found) == sum(1 for row in data.split(b"\n") if row.strip()):
            return found
    return [
        as_object(decode(row, f"{name}, line {number}"), f"{name}, line {number}")
        for number, row in enumerate(data.split(b"\n"), line)
        if row.strip()
    ]


def decode(data: bytes, where: str) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = " JSON has no NaN and no Infinity: write null." if b"NaN" in data or b"Infinity" in data else ""
        raise BadInput(f"{where} is not JSON: {error}.{hint}") from error
