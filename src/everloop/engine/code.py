"""A function -> the digest of all code that it can run: its own, and every function, class and global of the project that it reaches.

Bytecode in memory is read, never source text, so a file that is edited after import changes nothing. Library code counts by its
distribution's version. What is reached only by computed names (`getattr(x, name)` on an object, `eval`, `importlib`) is not seen.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from operator import is_
from types import BuiltinFunctionType, MethodType, ModuleType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from everloop.core.digest import digest
from everloop.engine.canonical import Canon
from everloop.engine.reach import ABSENT, Reach, data_digest, shape


class Code(NamedTuple):
    """`parts` names each project object that is reached (`helpers.scale`, `helpers.LIMIT`) with its own digest, `libraries` each
    distribution with its version: what differs between two of them explains why the digests differ."""

    digest: str
    parts: Mapping[str, str]
    libraries: Mapping[str, str] = {}


class _Seen(NamedTuple):
    """A digest with all that must still be as it was for the digest to hold."""

    code: Code
    names: list[tuple[Mapping[str, object], str, object]]
    shapes: list[tuple[object, tuple[object, ...]]]
    data: list[tuple[object, str]]


_seen: WeakKeyDictionary[Any, _Seen] = WeakKeyDictionary()
_folded: dict[str, Mapping[str, str]] = {}


def code_digest(function: object) -> Code:
    """The code behind a function, method or class. The second call in a process only looks whether something was rebound."""
    try:
        found = _seen.get(function)
    except TypeError:
        return _code(Reach(), function)
    if found is not None and _holds(found):
        return found.code
    reach = Reach()
    code = _code(reach, function)
    with suppress(TypeError):
        _seen[function] = _Seen(code, reach.names, reach.shapes, reach.data)
    return code


def folded(code: Code, most: int) -> Mapping[str, str]:
    """Its parts, or when there are more than `most`, one a module: `module helpers` -> digest."""
    if len(code.parts) <= most:
        return code.parts
    if code.digest not in _folded:
        modules: dict[str, dict[str, str]] = {}
        for name, part in code.parts.items():
            modules.setdefault(_home(name), {})[name] = part
        if len(_folded) > 1000:
            _folded.clear()
        _folded[code.digest] = {f"module {name}": digest(parts) for name, parts in modules.items()}
    return _folded[code.digest]


def _home(part: str) -> str:
    """The module that a part is in: the longest beginning of its name that is one."""
    words = part.split(".")
    return next((name for count in range(len(words), 0, -1) if (name := ".".join(words[:count])) in sys.modules), words[0])


def code_form(value: object) -> list[object]:
    """The canonical form of a function, class or module that is itself a parameter: its name and its code."""
    if isinstance(value, MethodType):
        return ["method", code_form(value.__func__), Canon(code_form, strict=True).form(value.__self__)]
    if isinstance(value, BuiltinFunctionType) and not isinstance(value.__self__, ModuleType | type(None)):
        return ["method", value.__name__, Canon(code_form, strict=True).form(value.__self__)]
    return ["code", code_digest(value).digest]


def _code(reach: Reach, root: object) -> Code:
    start = reach.walk(root)
    return Code(digest(start, reach.parts, reach.libraries), reach.parts, reach.libraries)


def _holds(seen: _Seen) -> bool:
    return (
        all(namespace.get(name, ABSENT) is value for namespace, name, value in seen.names)
        and all(_same(shape(value), known) for value, known in seen.shapes)
        and all(data_digest(value) == known for value, known in seen.data)
    )


def _same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return len(one) == len(other) and all(map(is_, one, other))
