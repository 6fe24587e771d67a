"""Plain values as JSON, with tags for what JSON does not know, so that each value comes back with its exact type."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from everloop.engine.artifacts import Artifact, Kept
from everloop.engine.formats.blob import InBlob
from everloop.store.blobs import Blobs
from everloop.store.database import Transaction

_SCALARS = (type(None), bool, str)
_COMPOUND = (list, tuple, dict, set, frozenset)
# JSON numbers beyond are floats to other readers.
_EXACT = 2**53


class PlainFormat(InBlob):
    def takes(self, value: object) -> bool:
        try:
            return is_plain(value)
        except RecursionError:
            return False

    def save(self, blobs: Blobs, value: object) -> Kept:
        blob = blobs.put(json.dumps(to_json(value), separators=(",", ":"), allow_nan=False).encode())
        return Kept(blob, blob)

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        return from_json(json.loads(blobs.get(artifact.blob)))

    def duplicate(self, value: object) -> object | None:
        return value if type(value) in (bool, int, float, str, bytes) else None


def is_plain(value: object) -> bool:
    kind = type(value)
    if kind in _SCALARS or kind is int or kind is float or kind is bytes:
        return True
    if kind is dict:
        return all(is_plain(key) and is_plain(item) for key, item in cast("dict[object, object]", value).items())
    return kind in _COMPOUND and all(map(is_plain, cast("Sequence[object]", value)))


def to_json(value: object) -> object:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is int:
        return value if abs(cast("int", value)) <= _EXACT else {"$int": str(value)}
    if kind is float:
        return value if math.isfinite(cast("float", value)) else {"$float": repr(value)}
    if kind is bytes:
        return {"$bytes": base64.b64encode(cast("bytes", value)).decode()}
    if kind is dict:
        pairs = cast("dict[object, object]", value)
        if all(type(key) is str and not key.startswith("$") for key in pairs):
            return {key: to_json(item) for key, item in pairs.items()}
        return {"$dict": [[to_json(key), to_json(item)] for key, item in pairs.items()]}
    items = [to_json(item) for item in cast("Sequence[object]", value)]
    if kind is list:
        return items
    # Sets have no order; a fixed one keeps equal sets equal blobs.
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


_TAGS: dict[str, Callable[[Any], object]] = {
    "$int": int,
    "$float": float,
    "$bytes": base64.b64decode,
    "$dict": lambda pairs: {from_json(key): from_json(item) for key, item in pairs},
    "$tuple": lambda items: tuple(map(from_json, items)),
    "$set": lambda items: set(map(from_json, items)),
    "$frozenset": lambda items: frozenset(map(from_json, items)),
}
