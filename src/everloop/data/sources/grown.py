"""Whether a file is what it was when it was read, or begins with that; and the rows behind."""

from __future__ import annotations

from collections.abc import Generator
from itertools import chain
from pathlib import Path

import msgspec
import polars as pl

from everloop.core.tables import Origin
from everloop.data.sources.csv.cells import packed, unpacked
from everloop.data.sources.formats import format_of
from everloop.data.sources.parse import Form, Memory, tables
from everloop.data.sources.steady import Changed, Steady, state
from everloop.data.sources.unpack import packing

# Kinds of thousands of keys are no note any more; such a file is read anew when it grew.
_NOTE_BYTES = 1 << 16


class NotGrown(Exception):
    """What was read before is not how the file begins now, or its columns turn out to be of other types with the new rows."""


def facts(file: Steady, form: Form, memory: Memory) -> dict[str, str | int]:
    """What an origin needs to hold for its file to be continued later; nothing for a file that cannot be."""
    format, learned = format_of(file.name, form.format), memory.csv
    if packing(file.head):
        return {}
    if format == "jsonl" and memory.json.now and not form.dialect.encoding:
        kinds = msgspec.json.encode(memory.json.now).decode()
        return {"keys": kinds} if len(kinds) < _NOTE_BYTES else {}
    if format not in ("csv", "tsv") or not learned.plain or not learned.kinds.now:
        return {}
    literal: dict[str, str | int] = {"literal": 1} if learned.quotes is False else {}
    quoted: dict[str, str | int] = {"quoted": 1} if learned.quoted else {}
    return {"head": learned.head, "kinds": packed(learned.kinds.now), **literal, **quoted}


def same(origin: Origin, path: Path) -> bool:
    """Untouched since; or touched, and the same all the same."""
    now = state(path)
    if now.size != origin.get("size"):
        return False
    if now.mtime_ns == origin.get("mtime_ns"):
        return True
    with Steady(path, str(origin["locator"])) as file:
        file.drain()
        return file.sha256 == origin["sha256"]


def continues(origin: Origin, path: Path | None) -> bool:
    """Whether `rest` or nothing at all may be new in the file, as far as can be told without reading it."""
    if path is None or "size" not in origin:
        return False
    try:
        return same(origin, path) or (("kinds" in origin or "keys" in origin) and state(path).size > int(origin["size"]) > 0)
    except Changed:
        return False


def rest(file: Steady, old: Origin, form: Form, memory: Memory) -> Generator[pl.DataFrame, None, None]:
    """The tables behind the rows that `old` tells of. NotGrown, possibly after some of them, when they cannot just be put below those."""
    head = b"".join(file.blocks(most=int(old.get("head", 0))))
    last, lines = head[-1:], 0
    for block in file.blocks(most=int(old["size"]) - len(head)):
        last, lines = block[-1:], lines + block.count(b"\n")
    if file.sha256 != old["sha256"] or last != b"\n" or (head and head[-1:] != b"\n"):
        raise NotGrown
    learned = memory.csv
    if "keys" in old:
        memory.json.before = msgspec.json.decode(str(old["keys"]), type=dict[str, str])
        memory.json.lines_before = lines
    else:
        learned.before, learned.lines_before = unpacked(str(old["kinds"])), lines
        learned.quotes = False if old.get("literal") else None
        learned.quoted_before = bool(old.get("quoted"))
    yield from tables(chain([head], file.blocks()), name=file.name, form=form, memory=memory)
    found = zip(learned.before, learned.kinds.now, strict=True) if learned.before else memory.json.since_before()
    # A column that had no value so far is kept as text, and has a type now.
    if memory.wrong or any(before == "n" != now for before, now in found):
        raise NotGrown
