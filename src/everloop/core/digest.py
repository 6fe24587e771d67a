"""Anything plain -> its content digest.

Every field is tagged with its type and prefixed with its length, so that no two different inputs share an encoding
(`"ab", "c"` against `"a", "bc"`, `1` against `True` against `"1"`).
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Mapping
from typing import Protocol, cast

import msgspec


class _Sink(Protocol):
    def update(self, data: bytes, /) -> None: ...


def digest(*fields: object) -> str:
    """SHA-256 (64 hex characters) over `fields`.

    Accepts None, bool, int, float, str, bytes, sequences, sets of those, mappings with string keys and msgspec structs.
    Raises TypeError on anything else: an object without a canonical form must not slip into an identity.
    """
    sink = hashlib.sha256()
    for field in fields:
        _feed(sink, field)
    return sink.hexdigest()


def _put(sink: _Sink, tag: bytes, payload: bytes) -> None:
    sink.update(tag + len(payload).to_bytes(8, "big"))
    sink.update(payload)


def _feed(sink: _Sink, value: object) -> None:
    match value:
        case None:
            _put(sink, b"n", b"")
        case bool():
            _put(sink, b"b", b"1" if value else b"0")
        case int():
            _put(sink, b"i", str(value).encode())
        case float():
            # All NaNs are one value, and -0.0 equals 0.0: identity follows equality.
            number = math.nan if math.isnan(value) else value + 0.0
            _put(sink, b"f", struct.pack(">d", number))
        case str():
            _put(sink, b"s", value.encode("utf-8", "surrogatepass"))
        case bytes():
            _put(sink, b"y", value)
        case msgspec.Struct():
            _put(sink, b"r", type(value).__name__.encode())
            _feed(sink, {name: getattr(value, name) for name in value.__struct_fields__})
        case Mapping():
            _feed_mapping(sink, cast("Mapping[object, object]", value))
        case set() | frozenset():
            members = sorted(digest(item) for item in cast("Iterable[object]", value))
            _put(sink, b"S", str(len(members)).encode())
            for member in members:
                _put(sink, b"s", member.encode())
        case list() | tuple():
            items = cast("list[object]", value)
            _put(sink, b"l", str(len(items)).encode())
            for item in items:
                _feed(sink, item)
        case _:
            raise TypeError(f"no canonical form for {type(value).__module__}.{type(value).__qualname__}: {value!r:.80}")


def _feed_mapping(sink: _Sink, value: Mapping[object, object]) -> None:
    if not all(isinstance(key, str) for key in value):
        raise TypeError(f"only string keys have a canonical order, got {list(value)!r:.80}")
    _put(sink, b"m", str(len(value)).encode())
    for key in sorted(cast("Mapping[str, object]", value)):
        _feed(sink, key)
        _feed(sink, value[key])
