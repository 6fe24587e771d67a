"""Plain values as JSON, with tags for what JSON does not know, so that each value comes back with its exact type.

Dicts keep their order, which a body can see; sets have none, and get one here, so that equal sets give equal bytes in every process.
"""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, cast

from everloop.core.artifacts import Artifact, InBlob, Kept

if TYPE_CHECKING:
    from everloop.store.blobs import Blobs
    from everloop.store.database import Transaction

_SCALARS = (type(None), bool, str)
_COMPOUND = (list, tuple, dict, set, frozenset)
_BASIC = frozenset({*_SCALARS, int, float, bytes})
# Nested deeper, or without end, a value is left to pickle.
DEEPEST = 100
# JSON numbers beyond are floats to other readers.
_EXACT = 2**53
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_decode = json.JSONDecoder().decode


class PlainFormat(InBlob):
    def takes(self, value: object) -> bool:
        return is_plain(value)

    def save(self, blobs: Blobs, value: object) -> Kept:
        blob = blobs.put(encode(value))
        return Kept(blob, blob)

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        return decode(blobs.get(artifact.blob))

    def duplicate(self, value: object) -> object | None:
        return value if type(value) in _BASIC else None


def encode(value: object) -> bytes:
    return _encode(to_json(value)).encode()


def decode(data: bytes) -> object:
    return from_json(_decode(data.decode()))


def is_plain(value: object, depth: int = 0) -> bool:
    kind = type(value)
    if kind in _BASIC:
        return True
    if kind not in _COMPOUND:
        return kind in _LEAVES or _is_plain_of(kind, value)
    if depth > DEEPEST:
        return False
    if kind is dict:
        pairs = cast("dict[object, object]", value)
        return all(type(key) is str or is_plain(key, depth + 1) for key in pairs) and all(
            is_plain(item, depth + 1) for item in pairs.values()
        )
    return all(is_plain(item, depth + 1) for item in cast("Sequence[object]", value))


def to_json(value: object) -> object:
    kind = type(value)
    if kind is str:
        text = cast("str", value)
        return (
            text if text.isascii() or _is_unicode(text) else {"$str": base64.b64encode(text.encode("utf-16-le", "surrogatepass")).decode()}
        )
    if kind in _SCALARS:
        return value
    if kind is int:
        # Hexadecimal: Python refuses very long decimals.
        return value if abs(cast("int", value)) <= _EXACT else {"$int": hex(cast("int", value))}
    if kind is float:
        return value if math.isfinite(cast("float", value)) else {"$float": repr(value)}
    if kind is bytes:
        return {"$bytes": base64.b64encode(cast("bytes", value)).decode()}
    if kind is dict:
        pairs = cast("dict[object, object]", value)
        if all(type(key) is str and not key.startswith("$") and (key.isascii() or _is_unicode(key)) for key in pairs):
            return {key: to_json(item) for key, item in pairs.items()}
        return {"$dict": [[to_json(key), to_json(item)] for key, item in pairs.items()]}
    if kind is list:
        return [to_json(item) for item in cast("Sequence[object]", value)]
    if kind not in _COMPOUND:
        return _leaf(kind, value)
    items = [to_json(item) for item in cast("Sequence[object]", value)]
    return {f"${kind.__name__}": items if kind is tuple else sorted(items, key=json.dumps)}


def from_json(value: Any) -> object:
    if isinstance(value, list):
        return [from_json(item) for item in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    content = cast("Mapping[str, Any]", value)
    tag = next(iter(content), "")
    if tag in _TAGS:
        return _TAGS[tag](content[tag])
    return {key: from_json(item) for key, item in content.items()}


def _is_unicode(text: str) -> bool:
    """Without lone halves of surrogate pairs, two of which JSON would join."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_plain_of(kind: type, value: Any) -> bool:
    """Dates and times, and values of modules that are not loaded unless somebody made such a value."""
    if kind is datetime or kind is time:
        # Other time zones are objects of their own kind; `fold` is not in the text.
        return (value.tzinfo is None or value.tzinfo is UTC) and not value.fold
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name == "uuid.UUID":
        return value.is_safe.value is None
    if name == "decimal.Decimal":
        return True
    numpy = cast("Any", sys.modules.get("numpy"))
    return numpy is not None and issubclass(kind, numpy.generic) and _is_numpy_plain(kind, value)


def _is_numpy_plain(kind: type, value: Any) -> bool:
    # Not records, nor objects, nor long doubles, whose bytes are partly whatever was in memory.
    return kind.__module__ == "numpy" and value.dtype.kind in "biufcmMUS" and value.dtype.char not in "gG"


_LEAVES: dict[type, tuple[str, Callable[[Any], object]]] = {
    complex: ("$complex", lambda value: [to_json(value.real), to_json(value.imag)]),
    date: ("$date", lambda value: value.isoformat()),
    timedelta: ("$timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
}


def _leaf(kind: type, value: Any) -> object:
    if kind in _LEAVES:
        tag, of = _LEAVES[kind]
        return {tag: of(value)}
    if kind is datetime or kind is time:
        return {f"${kind.__name__}": value.isoformat()}
    match kind.__module__:
        case "uuid":
            return {"$uuid": value.hex}
        case "decimal":
            return {"$decimal": str(value)}
        case _:
            return {"$numpy": [value.dtype.str, _numpy_data(value)]}


def _numpy_data(value: Any) -> object:
    match value.dtype.kind:
        # NumPy's own ways drop zeros at the end.
        case "U":
            return to_json("".join([value]))
        case "S":
            return to_json(bytes(value))
        case _:
            return base64.b64encode(value.tobytes()).decode()


def _numpy(parts: list[Any]) -> object:
    import numpy

    kind, data = parts
    if numpy.dtype(kind).kind in "US":
        return numpy.dtype(kind).type(from_json(data))
    return numpy.frombuffer(base64.b64decode(data), dtype=kind)[0]


def _zoned(value: Any) -> Any:
    """Parsing gives a time zone equal to UTC; what was kept was the one object of that name."""
    return value if value.tzinfo is None else value.replace(tzinfo=UTC)


def _uuid(text: str) -> object:
    from uuid import UUID

    return UUID(text)


def _decimal(text: str) -> object:
    from decimal import Decimal

    return Decimal(text)


_TAGS: dict[str, Callable[[Any], object]] = {
    "$int": lambda text: int(text, 0),
    "$float": float,
    "$str": lambda text: base64.b64decode(text).decode("utf-16-le", "surrogatepass"),
    "$bytes": base64.b64decode,
    "$dict": lambda pairs: {from_json(key): from_json(item) for key, item in pairs},
    "$tuple": lambda items: tuple(map(from_json, items)),
    "$set": lambda items: set(map(from_json, items)),
    "$frozenset": lambda items: frozenset(map(from_json, items)),
    "$complex": lambda parts: complex(*map(cast("Callable[[Any], float]", from_json), parts)),
    "$date": date.fromisoformat,
    "$time": lambda text: _zoned(time.fromisoformat(text)),
    "$datetime": lambda text: _zoned(datetime.fromisoformat(text)),
    "$timedelta": lambda parts: timedelta(*parts),
    "$uuid": _uuid,
    "$decimal": _decimal,
    "$numpy": _numpy,
}
