"""A Python value -> plain, tagged lists for `core.digest`: equal values give equal forms, different values different ones."""

from __future__ import annotations

import copyreg
import math
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache, cached_property
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, cast

from everloop.core.digest import digest
from everloop.core.errors import BadInput
from everloop.engine.content import DATA_LIBRARIES, form_of_data
from everloop.engine.origin import origin
from everloop.engine.paths import path_form

SCALARS = frozenset({type(None), bool, int, str, bytes})
_CODE = (FunctionType, BuiltinFunctionType, MethodType, ModuleType, type)
# How many objects an object of a library's class among the globals may be made of, to count by content.
_LIBRARY_OBJECTS = 1500
_ITERATORS = ("builtins", "itertools")
# Modules and name endings of what is bound to this process: locks, connections, cursors, sessions.
_PRESENT = ("_thread", "threading", "asyncio", "queue", "_queue", "multiprocessing")
_LIVE = ("Connection", "Cursor", "Session", "Client", "Pool", "Engine")
_tangled: dict[int, object] = {}
_WEAK = (weakref.ref, weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet)


class NoForm(BadInput):
    """The value has no canonical form. The message says which part, and the cure; who meets it adds the step and the parameter."""


def record_form(id: str) -> object:
    """A record counts by its id, be it passed as itself or as the handle of the step that made it."""
    return ["record", id]


def culprit(value: object, name: str, code: Callable[[object], object], depth: int = 20) -> str:
    """Which part of a value has no form: `data['pool'].lock`. Walks it anew, for a message only."""
    for part, child in _children(value):
        try:
            Canon(code, strict=True).form(child)
        except (NoForm, RecursionError):
            return culprit(child, name + part, code, depth - 1) if depth else name
    return name


def _children(value: object) -> Iterator[tuple[str, object]]:
    if type(value) is list or type(value) is tuple:
        yield from ((f"[{index}]", item) for index, item in enumerate(cast("Sequence[object]", value)))
    elif type(value) is dict:
        yield from ((f"[{key!r:.40}]", item) for key, item in cast("Mapping[object, object]", value).items())
    elif str(type(value).__module__).partition(".")[0] not in DATA_LIBRARIES:
        yield from ((f".{key}", item) for key, item in cast("dict[str, object]", getattr(value, "__dict__", {})).items())


class Canon:
    """One walk over a value. `code` gives the form of functions, classes and modules.

    A strict walk raises NoForm at whatever has no form. A forgiving one (for globals) counts an object that holds such a
    thing, say a connection or a lock, by its class and the plain values it holds; and so a library's object of very many parts.

    `path` gives the form of a file or folder. `own` gives that of a value that knows its own (a handle), else it is asked.
    After a walk, `fixed` says that nothing was met that can change in place, and `owning` that something knew its own form.
    """

    def __init__(
        self,
        code: Callable[[object], object],
        *,
        strict: bool,
        path: Callable[[Path], object] = path_form,
        own: Callable[[object], object] | None = None,
    ) -> None:
        self.fixed = True
        self.owning = False
        self._code = code
        self._strict = strict
        self._path = path
        self._own = own
        self._open: dict[int, int] = {}
        self._inside_object = 0
        self._loops = 0
        self._left = sys.maxsize
        self._known: dict[int, tuple[object, object]] = {}

    def form(self, value: object) -> object:
        kind = type(value)
        if kind in SCALARS:
            return value
        if kind is float:
            number = cast("float", value)
            return ["float", "-0.0"] if number == 0.0 and math.copysign(1.0, number) < 0 else number
        if not self._strict and not self._inside_object:
            return self._forgiving(value)
        return self._nested(value)

    def _forgiving(self, value: object) -> object:
        kind = type(value)
        if id(value) not in _tangled:
            # What libraries build around their own state (an SQL table, an application) may hang together with thousands of objects.
            self._left = _LIBRARY_OBJECTS if origin(str(kind.__module__)).kind == "library" else sys.maxsize
            try:
                return self._nested(value)
            except (NoForm, RecursionError):
                if self._left < 0:
                    _tangled[id(value)] = value
        return ["opaque", self._code(kind), *self._held(value)]

    def _held(self, value: object) -> list[object]:
        """Functions, classes, texts and numbers in an opaque object's attributes: a lock beside them must not hide them.

        Other attributes do not count: a client that opens its connection when it is first used would else change by being used.
        """
        held: list[object] = []
        for name, item in sorted(cast("dict[str, object]", getattr(value, "__dict__", {})).items()):
            if isinstance(item, FunctionType | type):
                held.append([name, self._code(item)])
            elif type(item) in SCALARS or type(item) is float:
                held.append([name, self.form(item)])
        return held

    def _nested(self, value: object) -> object:
        if id(value) in self._open:
            self._loops += 1
            return ["cycle", len(self._open) - self._open[id(value)]]
        self._open[id(value)] = len(self._open)
        try:
            return self._compound(value)
        finally:
            del self._open[id(value)]

    def _compound(self, value: object) -> object:
        kind = type(value)
        own = getattr(kind, "__canonical__", None)
        if own is not None:
            self.owning = True
            return self._own(value) if self._own is not None else own(value, self._inside_object > 0, self.form)
        if kind is tuple:
            return ["tuple", *map(self.form, cast("Sequence[object]", value))]
        if kind is frozenset:
            return ["frozenset", *sorted(digest(self.form(item)) for item in cast("Iterable[object]", value))]
        if isinstance(value, Enum):
            return ["enum", self._code(kind), value.name, self.form(value.value)]
        if isinstance(value, _CODE):
            return self._code(value)
        if isinstance(value, PurePath):
            try:
                return self._path(Path(value))
            except BadInput as error:
                raise NoForm(str(error)) from error
        self.fixed = self.fixed and str(kind.__module__).startswith("pyarrow")
        if kind is list:
            return ["list", *map(self.form, cast("Sequence[object]", value))]
        if kind is dict or kind is MappingProxyType:
            # In order: a body that iterates over the mapping sees it.
            return ["dict", *([self.form(k), self.form(v)] for k, v in cast("Mapping[object, object]", value).items())]
        if kind is set:
            return ["set", *sorted(digest(self.form(item)) for item in cast("Iterable[object]", value))]
        if kind is object:
            raise NoForm("an object() without content equals only itself")
        if kind.__module__ in _ITERATORS and hasattr(kind, "__next__"):
            raise NoForm(f"an iterator ({kind.__qualname__}) is gone once it was read. Pass a list of what it gives")
        if isinstance(value, _WEAK):
            if self._strict:
                raise NoForm(f"a {kind.__name__} may lose its content at any time")
            return ["weak"]
        try:
            data = form_of_data(value, self.form)
        except (NoForm, RecursionError):
            raise
        except BadInput as error:
            raise NoForm(str(error)) from error
        except Exception as error:  # what libraries raise when asked for values that are not plain
            raise NoForm(f"a {kind.__module__}.{kind.__qualname__} whose values cannot be read ({error})") from error
        return data if data is not None else self._object(value)

    def _object(self, value: object) -> object:
        record = self._record(value)
        if record is not None:
            return record
        if id(value) in self._known:
            return self._known[id(value)][1]
        self._left -= 1
        if self._left < 0:
            raise NoForm("it is made of too many objects to be compared")
        loops = self._loops
        self._inside_object += 1
        try:
            form: object = ["object", digest(self._struct(value) or self._wrapped(value) or self._reduced(value))]
        finally:
            self._inside_object -= 1
        if loops == self._loops:
            self._known[id(value)] = (value, form)
        return form

    def _record(self, value: object) -> object | None:
        record = cast("Any", sys.modules.get("everloop.core.record"))
        return record_form(cast("Any", value).id) if record is not None and isinstance(value, record.Record) else None

    def _struct(self, value: object) -> list[object] | None:
        msgspec = cast("Any", sys.modules.get("msgspec"))
        if msgspec is None or not isinstance(value, msgspec.Struct):
            return None
        names: tuple[str, ...] = cast("Any", value).__struct_fields__
        return ["struct", self._code(type(value)), *([name, self.form(getattr(value, name))] for name in names)]

    def _wrapped(self, value: object) -> list[object] | None:
        """What `functools.cache` and the like make of a function: the function and the settings, not what was remembered."""
        inner = getattr(value, "__wrapped__", None)
        if not callable(inner) or not callable(value):
            return None
        settings = getattr(value, "cache_parameters", None)
        return ["wrapped", self._code(type(value)), self.form(inner), self.form(settings()) if callable(settings) else None]

    def _reduced(self, value: object) -> list[object]:
        """By the pickle protocol's own answer to "what are you made of": class or maker, arguments, state, items."""
        kind = type(value)
        reducer = cast("Callable[[object], object] | None", copyreg.dispatch_table.get(kind))
        try:
            parts: Any = reducer(value) if reducer is not None else value.__reduce_ex__(2)
        except BadInput:
            raise
        except Exception as error:
            name = f"{kind.__module__}.{kind.__qualname__}"
            if hasattr(value, "fileno"):
                raise NoForm(f"a {name} is open in this process only. Pass the path or address, and open it in the step") from error
            if kind.__module__ in _PRESENT or kind.__name__.endswith(_LIVE):
                raise NoForm(f"a {name} lives in this process only. Make it in the step, from plain parameters") from error
            raise NoForm(f"a {name} has no content to compare ({error})") from error
        if isinstance(parts, str):
            module = sys.modules.get(str(getattr(value, "__module__", None)))
            library = module is not None and origin(module.__name__).kind == "library"
            return ["global", self._code(kind), self._code(module) if library else str(getattr(value, "__module__", "")), parts]
        maker, arguments = cast("tuple[object, tuple[object, ...]]", parts[:2])
        state, items, pairs = cast("tuple[Any, Any, Any]", (*parts[2:5], None, None, None)[:3])
        members = [
            self._state(state, _derived(kind)),
            [self.form(item) for item in items] if items is not None else [],
            [[self.form(k), self.form(v)] for k, v in pairs] if pairs is not None else [],
        ]
        if getattr(maker, "__name__", "") == "__newobj__":
            return ["new", self._code(arguments[0]), [self.form(item) for item in arguments[1:]], *members]
        return ["made", self._code(kind), self.form(maker), [self.form(item) for item in arguments], *members]

    def _state(self, state: Any, left_out: frozenset[str]) -> object:
        """Attributes by name: in which order they were set is nobody's meaning. Nor is documentation."""
        kind: object = cast("object", type(state))
        if kind is dict and all(type(name) is str for name in state):
            return ["state", *([name, self.form(state[name])] for name in sorted(state) if name not in left_out)]
        if kind is tuple and len(state) == 2:
            return ["states", *(self._state(part, left_out) for part in state)]
        return self.form(state)


@cache
def _derived(kind: type) -> frozenset[str]:
    """Names of attributes that say nothing more: documentation, and what a `cached_property` remembers of the others."""
    names = {name for parent in kind.__mro__ for name, item in vars(parent).items() if isinstance(item, cached_property)}
    return frozenset(names | {"__doc__"})
