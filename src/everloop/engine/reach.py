"""From a function along the names in its bytecode to every function, class, module and global of the project that it can use."""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, MethodWrapperType, ModuleType, WrapperDescriptorType
from typing import Any, cast

from everloop.core.digest import digest
from everloop.engine.bytecode import Reference, static
from everloop.engine.canonical import SCALARS, Canon
from everloop.engine.origin import distribution, label, origin

ABSENT = object()
# Members of a class that describe its source, or that Python and libraries fill as the program runs.
_NOT_CODE = frozenset(
    {"__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__firstlineno__", "__static_attributes__", "_abc_impl"}
    | {"_value2member_map_", "__annotations_cache__", "__abstractmethods__", "__slotnames__", "__signature__", "__subclasshook__"}
)
_DESCRIPTORS = ("member_descriptor", "getset_descriptor", "method_descriptor", "wrapper_descriptor", "classmethod_descriptor")


def shape(value: object) -> tuple[object, ...]:
    """What a function, class or module is made of, to be compared by identity."""
    if isinstance(value, FunctionType):
        return (value.__code__, value.__defaults__, value.__kwdefaults__, *_cells(value), *value.__dict__.values())
    return tuple(vars(value).values())


def _cells(function: FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            yield ABSENT


def data_digest(value: object) -> str:
    return digest(Canon(lambda code: ["id", id(code)], strict=False).form(value))


class Reach:
    """Walks from one object to all that it reaches, breadth first, in an order that does not depend on the process."""

    def __init__(self) -> None:
        self.names: list[tuple[Mapping[str, object], str, object]] = []
        self.shapes: list[tuple[object, tuple[object, ...]]] = []
        self.data: list[tuple[object, str]] = []
        self.parts: dict[str, str] = {}
        self.libraries: dict[str, str] = {}
        self._labels: dict[object, str] = {}
        self._taken: set[str] = set()
        self._unfolded: set[int] = set()
        self._annotated: set[int] = set()
        self._alive: list[object] = []
        self._queue: deque[tuple[str, object]] = deque()

    def walk(self, root: object) -> object:
        """The form of `root`; what it reaches is in `parts` and `libraries`, and what must stay as it is in the other three."""
        if isinstance(root, FunctionType | type | ModuleType):
            # Whatever is asked about is looked into, wherever it comes from; libraries count by version only when reached from elsewhere.
            start: object = self._node(root) if isinstance(root, FunctionType) else self._refer(root)
        else:
            start = self._form(root)
        while self._queue:
            name, value = self._queue.popleft()
            self.parts[name] = digest(self._local(value))
        return start

    def _form(self, value: object) -> object:
        return Canon(self._refer, strict=False).form(value)

    def _watched(self, value: object) -> object:
        """The form of data that can change in place."""
        if type(value) not in SCALARS and type(value) is not float and not isinstance(value, FunctionType | type | ModuleType):
            self.data.append((value, data_digest(value)))
        return self._form(value)

    def _label(self, wanted: str, identity: object, value: object) -> tuple[str, bool]:
        """(label, is new). Two objects of one name, such as closures of one factory, are told apart by the order they are met in."""
        if identity in self._labels:
            return self._labels[identity], False
        number, name = 1, wanted
        while name in self._taken:
            number += 1
            name = f"{wanted}#{number}"
        self._taken.add(name)
        self._labels[identity] = name
        self._alive.append(value)
        return name, True

    def _node(self, value: FunctionType | type | ModuleType) -> object:
        module = _module_of(value)
        name = label(module) if isinstance(value, ModuleType) else f"{label(module)}.{value.__qualname__}"
        name, new = self._label(name, id(value), value)
        if new:
            self._queue.append((name, value))
        return ["ref", name]

    def _refer(self, value: object) -> object:
        """The form of a function, class, module or method that is met on the way."""
        if isinstance(value, MethodType):
            return ["method", self._refer(value.__func__), self._form(value.__self__)]
        if isinstance(value, BuiltinFunctionType | MethodWrapperType | WrapperDescriptorType):
            owner = getattr(value, "__self__", None)
            if owner is not None and not isinstance(owner, ModuleType):
                return ["builtin", value.__name__, self._form(owner)]
            return self._outside(getattr(value, "__module__", None) or "builtins", value.__qualname__)
        if not isinstance(value, FunctionType | type | ModuleType):
            return ["callable", type(value).__qualname__]
        module = _module_of(value)
        if origin(module).kind == "project":
            return self._node(value)
        known = self._outside(module, "" if isinstance(value, ModuleType) else value.__qualname__)
        if isinstance(value, FunctionType) and value.__closure__ and id(value) not in self._unfolded:
            # A library's decorator: it may hold project functions, and settings that the project gave it.
            self._unfolded.add(id(value))
            self._alive.append(value)
            self.shapes.append((value, shape(value)))
            held = [cell for cell in _cells(value) if cell is not ABSENT] + [item for _, item in sorted(value.__dict__.items())]
            # Some (validation, command lines) read the annotations of what they decorate.
            self._annotated.update(id(item) for item in held if isinstance(item, FunctionType))
            return [*known, *map(self._watched, held)]
        return known

    def _outside(self, module: str, name: str) -> list[object]:
        found = origin(module)
        if found.kind == "library":
            name_of, version = distribution(found)
            self.libraries[name_of] = version
            return ["library", module, name]
        if found.kind == "project":
            # An extension module that was built within the project: its machine code is the file.
            file = getattr(sys.modules.get(module), "__file__", None)
            self.parts[module] = digest(Path(file).read_bytes()) if file else ""
        return ["python", module, name]

    def _local(self, value: object) -> object:
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(value)
        return self._module(cast("ModuleType", value))

    def _function(self, function: FunctionType) -> object:
        self.shapes.append((function, shape(function)))
        known = static(function.__code__)
        cells = zip(function.__code__.co_freevars, _cells(function), strict=True)
        attributes = {name: item for name, item in function.__dict__.items() if not name.startswith("__") or name == "__wrapped__"}
        return [
            "function",
            known.digest,
            self._watched(function.__defaults__),
            self._watched(function.__kwdefaults__),
            [[name, None if item is ABSENT else self._watched(item)] for name, item in cells],
            [[name, self._watched(attributes[name])] for name in sorted(attributes)],
            [[*reference.path, self._reached(function.__globals__, reference)] for reference in known.references],
            [[name, self._form(item)] for name, item in function.__annotations__.items()] if id(function) in self._annotated else [],
        ]

    def _class(self, kind: type) -> object:
        self.shapes.append((kind, shape(kind)))
        members: list[object] = []
        for name, item in sorted(vars(kind).items()):
            if name in _NOT_CODE or (name.startswith("__pydantic_") and name != "__pydantic_fields__"):
                continue
            if type(item).__name__ in _DESCRIPTORS:
                members.append([name, "slot"])
            else:
                members.append([name, self._member(item)])
        # msgspec keeps outside the class's own dictionary what a struct's fields default to, and how it behaves.
        members += [[name, self._form(getattr(kind, name))] for name in ("__struct_fields__", "__struct_defaults__") if hasattr(kind, name)]
        config = getattr(kind, "__struct_config__", None)
        members += [[name, self._form(getattr(config, name))] for name in dir(config) if not name.startswith("_") and config is not None]
        return ["class", self._refer(type(kind)), [self._refer(parent) for parent in kind.__bases__], members]

    def _member(self, item: object) -> object:
        match item:
            case staticmethod() | classmethod():
                method = cast("Any", item)
                return [type(method).__name__, self._watched(method.__func__)]
            case property():
                return ["property", *(self._form(part) for part in (item.fget, item.fset, item.fdel))]
            case _:
                return self._watched(item)

    def _module(self, module: ModuleType) -> object:
        """All of a module: it was handed on as a value, or its attributes are taken by computed names."""
        self.shapes.append((module, shape(module)))
        children = f"{module.__name__}."
        members: list[object] = []
        for name, item in sorted(vars(module).items()):
            if name.startswith("__") or (isinstance(item, ModuleType) and item.__name__.startswith(children)):
                continue
            members.append([name, self._value(vars(module), name, item)])
        return ["module", members]

    def _reached(self, namespace: dict[str, Any], reference: Reference) -> object:
        if reference.kind == "global":
            value = namespace.get(reference.name, ABSENT)
            self.names.append((namespace, reference.name, value))
            if value is ABSENT:
                known = hasattr(builtins, reference.name)
                return ["builtin" if known else "absent", reference.name]
            return self._follow(namespace, reference.name, value, reference.path)
        return self._imported(namespace, reference)

    def _imported(self, namespace: dict[str, Any], reference: Reference) -> object:
        """What an import inside a function brings. A project module is imported now: its code must be known before it runs."""
        name = "." * reference.level + reference.name
        try:
            if reference.level:
                name = importlib.util.resolve_name(name, str(namespace.get("__package__") or ""))
            if origin(name).kind != "project":
                return self._outside(name, ".".join(reference.path))
            module = importlib.import_module(name)
            if reference.start != reference.name and not reference.level:
                module = sys.modules[reference.start]
            elif reference.path and not hasattr(module, reference.path[0]) and hasattr(module, "__path__"):
                importlib.import_module(f"{name}.{reference.path[0]}")
        except ImportError:
            return ["absent", name]
        self.names.append((cast("Mapping[str, object]", sys.modules), module.__name__, module))
        return self._follow(vars(module), label(module.__name__), module, reference.path)

    def _follow(self, namespace: Mapping[str, object], name: str, value: object, path: tuple[str, ...]) -> object:
        """Along `module.attribute` while there are modules of the project."""
        for attribute in path:
            if not isinstance(value, ModuleType):
                break
            if origin(value.__name__).kind != "project":
                return self._outside(value.__name__, attribute)
            namespace, name = vars(value), attribute
            found = namespace.get(attribute, ABSENT)
            if found is ABSENT:
                found = getattr(value, attribute, ABSENT)
            self.names.append((namespace, attribute, namespace.get(attribute, ABSENT)))
            if found is ABSENT:
                return ["absent", attribute]
            value = found
        return self._value(namespace, name, value)

    def _value(self, namespace: Mapping[str, object], name: str, value: object) -> object:
        """A function or class counts by itself, data as a part of its own under the module's name for it."""
        if isinstance(value, FunctionType | type | ModuleType | BuiltinFunctionType | MethodType):
            return self._refer(value)
        module = label(str(namespace.get("__name__", "")))
        part, new = self._label(f"{module}.{name}", (id(namespace), name), value)
        if new:
            self.parts[part] = digest(self._watched(value))
        return ["ref", part]


def _module_of(value: FunctionType | type | ModuleType) -> str:
    """Where the code was written; `functools.wraps` gives a wrapper its wrapped function's `__module__`, so that is not asked."""
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, FunctionType):
        return str(value.__globals__.get("__name__", value.__module__))
    # A type made by C code may have a descriptor there.
    module = cast("object", value.__module__)
    return module if isinstance(module, str) else "builtins"
