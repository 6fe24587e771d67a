"""The content of a value -> a digest that is equal in every process, and different wherever a pickle of the value would be.

It is the digest of a pickle in which three accidents of a process are taken out: the order of sets, whether equal texts are one object
in memory, and the way in which code is pickled. Functions and classes of the project count by their code, those of libraries by name
and version.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

from everloop.core.digest import digest

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def identity(value: object, parts: Mapping[int, str] = {}) -> str:
    """The digest. `parts` says by their `id()` what some objects within count as. Raises what pickling raises."""
    sink = _Hash()
    _pickler(parts)(sink, protocol=5).dump(value)
    return sink.hash.hexdigest()


def code_identity(value: FunctionType | type) -> str:
    """Of a function or class: its code, or the version of the library where it is found by its name."""
    from everloop.engine.code import code_digest
    from everloop.engine.origin import distribution, origin

    module = str(value.__module__)
    found = origin(module)
    if found.kind == "project" or not _is_found(value, module):
        return code_digest(value).digest
    return digest(module, value.__qualname__, distribution(found) if found.kind == "library" else "")


def _is_found(value: FunctionType | type, module: str) -> bool:
    there: object = sys.modules.get(module)
    for name in value.__qualname__.split("."):
        there = getattr(there, name, None)
    return there is value


class _Hash:
    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def write(self, data: ReadableBuffer) -> int:
        self.hash.update(data)
        return memoryview(data).nbytes


def _pickler(parts: Mapping[int, str]) -> Any:
    parent: Any = import_module("cloudpickle").Pickler

    class Pickler(parent):
        def persistent_id(self, obj: object) -> bytes | None:
            """What stands in the stream for an object: bytes, which are made anew each time, so that they are never one object."""
            kind = type(obj)
            if id(obj) in parts:
                return f"part {parts[id(obj)]}".encode()
            if kind is str:
                return b"text " + cast("str", obj).encode("utf-8", "surrogatepass")
            if kind is set or kind is frozenset:
                members = sorted(identity(member, parts) for member in cast("frozenset[object]", obj))
                return f"{kind.__name__} {digest(members)}".encode()
            if isinstance(obj, FunctionType | type):
                return f"code {code_identity(obj)}".encode()
            return None

    return Pickler
