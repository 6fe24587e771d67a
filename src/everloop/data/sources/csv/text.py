"""Bytes in whatever encoding -> blocks of UTF-8 whose lines end as they do today."""

from __future__ import annotations

import codecs
import difflib
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from everloop.core.errors import BadInput

_SNIFF_BYTES = 4096
_FIRST_LINE_BYTES = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FIRST_END = re.compile(rb'(?:[^"\r\n]++|"[^"]*+")*+(\r\n|\n|\r(?!\Z))')
_COMMON = ("utf-8", "utf-16", "latin-1", "cp1252", "cp1250", "cp1251", "iso8859-15", "gb18030", "shift_jis", "euc_kr", "big5")


class Text(NamedTuple):
    """`plain` says that the blocks are the very bytes that were given."""

    blocks: Iterator[bytes]
    plain: bool


def utf8(blocks: Iterable[bytes], *, name: str, encoding: str | None = None) -> Text:
    """Blocks without a byte order mark, in UTF-8. Without `encoding` the mark decides, or the zero bytes that UTF-16 is full of; bytes that
    are UTF-8 already are not looked at here: whoever parses them finds those that are not."""
    rest = iter(blocks)
    seen: list[bytes] = []
    while sum(map(len, seen)) < _SNIFF_BYTES and (block := next(rest, None)) is not None:
        seen.append(block)
    head = b"".join(seen)[:_SNIFF_BYTES]
    mark, marked = next(((mark, known) for mark, known in _MARKS if head.startswith(mark)), (b"", None))
    found = marked or (_codec(encoding) if encoding else _by_zeros(head))
    blocks = _without(len(mark), chain(seen, rest))
    given = found in (None, "utf-8")
    blocks, unix = _unix(blocks if given else _decoded(blocks, name, str(found)))
    return Text(blocks, given and unix and not mark)


def not_utf8(data: bytes, *, name: str, line: int) -> BadInput | None:
    """What is wrong with the first byte that is not UTF-8; None when all are. `line` is the number of the first one in `data`."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        at = line + data.count(b"\n", 0, error.start)
        return BadInput(
            f"{name}, line {at}: byte 0x{data[error.start]:02x} is not UTF-8. Say what it is, for example encoding='cp1252' "
            f"(Windows, western Europe) or encoding='latin-1', or save the file as UTF-8: iconv -f cp1252 -t utf-8 {name}"
        )
    return None


def _without(size: int, blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        if kept := block[size:]:
            yield kept
        size -= min(size, len(block))


def _codec(encoding: str) -> str:
    try:
        known = codecs.lookup(encoding)
    except LookupError:
        known = None
    if known is None or not known._is_text_encoding:
        close = difflib.get_close_matches(encoding.lower(), _COMMON, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise BadInput(f"Encoding {encoding!r} does not exist.{hint} Common: {', '.join(_COMMON)}.")
    # A mark has been cut off; without one these mean the order that Windows writes.
    return {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(known.name, known.name)


def _by_zeros(head: bytes) -> str | None:
    pairs = len(head) // 2
    if not pairs or b"\0" not in head:
        return None
    even, odd = head[0::2].count(0) / pairs, head[1::2].count(0) / pairs
    if odd > 0.5 > 10 * even:
        return "utf-16-le"
    return "utf-16-be" if even > 0.5 > 10 * odd else None


def _decoded(blocks: Iterable[bytes], name: str, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    blocks = iter(blocks)
    while True:
        block = next(blocks, None)
        try:
            text = decoder.decode(block or b"", final=block is None)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].decode(encoding, "replace").count("\n")
            raise BadInput(
                f"{name}, line {line}: byte 0x{error.object[error.start]:02x} is not {encoding} ({error.reason}). "
                "Say which encoding it is: encoding='...'"
            ) from error
        line += text.count("\n")
        if text:
            yield text.encode("utf-8", "surrogatepass")
        if block is None:
            return


def _unix(blocks: Iterable[bytes]) -> tuple[Iterator[bytes], bool]:
    """Lines of old Macs end in a carriage return alone: where the first line does, so do all. And whether the blocks are as they were."""
    rest = iter(blocks)
    seen: list[bytes] = []
    head, found = b"", None
    while found is None and len(head) < _FIRST_LINE_BYTES:
        # At least as much again each time: a long first line is not looked at over and over.
        more: list[bytes] = []
        while sum(map(len, more)) <= len(head) and (block := next(rest, None)) is not None:
            more.append(block)
        if not more:
            break
        seen += more
        head += b"".join(more)
        found = _FIRST_END.match(head)
    whole = chain(seen, rest)
    if (found is not None and found[1] == b"\r") or (found is None and head.endswith(b"\r")):
        return _returned(whole), False
    return whole, True


def _returned(blocks: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for block in blocks:
        data = held + block
        held = b"\r" if data.endswith(b"\r") else b""
        data = data[: len(data) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if data:
            yield data
    if held:
        yield b"\n"
