"""A code object -> a digest of what it does, and the names outside that it reaches.

Line numbers, file names, docstrings and no-ops (left where a statement had a line of its own) are not part of the digest.
"""

from __future__ import annotations

import dis
import sys
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache
from itertools import zip_longest
from types import CodeType, EllipsisType
from typing import Any, NamedTuple, cast

from everloop.core.digest import digest

_CONST = frozenset(dis.hasconst)
_JUMP = frozenset(dis.hasjrel)
_BACKWARD = frozenset(code for name, code in dis.opmap.items() if "JUMP_BACKWARD" in name)
_CACHE, _NOP, _EXTENDED = dis.opmap["CACHE"], dis.opmap["NOP"], dis.opmap["EXTENDED_ARG"]
# What the body of a class says about its own source.
_ABOUT_SOURCE = frozenset({"__doc__", "__firstlineno__", "__static_attributes__"})
# Without the flags of `from __future__`.
_FLAGS = 0x3FF


class Reference(NamedTuple):
    """A name that code reaches outside itself, and the attributes that it takes from there: `helpers.scale` is (helpers, (scale,)).

    `kind` is `global`, or `import` for an import inside the function; then `name` is the module, `level` the number of dots, and
    `start` how much of the dotted name `path` starts from (`import a.b` binds a).
    """

    kind: str
    name: str
    path: tuple[str, ...] = ()
    level: int = 0
    start: str = ""


class Static(NamedTuple):
    digest: str
    references: tuple[Reference, ...]


class _Instruction(NamedTuple):
    offset: int
    end: int
    op: int
    arg: int


@cache
def static(code: CodeType) -> Static:
    """What can be read off a code object without knowing the module it runs in. Nested code objects are included."""
    instructions = list(_without_source(code, [item for item in _instructions(code.co_code) if item.op != _NOP]))
    stream, constants = _stream(code, instructions)
    references = dict.fromkeys(_references(code, instructions))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            references.update(dict.fromkeys(static(constant).references))
    counts = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _FLAGS]
    names = [code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars]
    spans = _spans(code.co_exceptiontable, instructions)
    return Static(digest(stream, [_constant(item) for item in constants], counts, names, spans), tuple(references))


def _instructions(raw: bytes) -> Iterator[_Instruction]:
    """Instructions with their full arguments; `end` is where the next one begins, behind the inline caches."""
    at, start, extended = 0, 0, 0
    while at < len(raw):
        op, arg = raw[at], raw[at + 1] | extended
        at += 2
        if op == _EXTENDED:
            extended = arg << 8
            continue
        while at < len(raw) and raw[at] == _CACHE:
            at += 2
        yield _Instruction(start, at, op, arg)
        start, extended = at, 0


def _index(offset: int, starts: list[int]) -> int:
    return bisect_left(starts, offset)


def _stream(code: CodeType, instructions: list[_Instruction]) -> tuple[bytes, list[object]]:
    """Instructions at a fixed width, constants numbered by first use and jumps by the instruction they lead to."""
    starts = [item.offset for item in instructions]
    constants: list[object] = []
    numbers: dict[int, int] = {}
    stream = bytearray()
    for item in instructions:
        arg = item.arg
        if item.op in _CONST:
            if arg not in numbers:
                numbers[arg] = len(constants)
                constants.append(code.co_consts[arg])
            arg = numbers[arg]
        elif item.op in _JUMP:
            arg = _index(item.end + (-arg if item.op in _BACKWARD else arg) * 2, starts)
        stream += item.op.to_bytes(2, "big") + arg.to_bytes(4, "big")
    return bytes(stream), constants


def _without_source(code: CodeType, instructions: list[_Instruction]) -> Iterator[_Instruction]:
    """Without the pairs that load and store what a class body says about its own source."""
    skip = False
    for item, following in zip_longest(instructions, instructions[1:]):
        about = following is not None and dis.opname[following.op] == "STORE_NAME" and code.co_names[following.arg] in _ABOUT_SOURCE
        if not about and not skip and item is not None:
            yield item
        skip = about


def _spans(table: bytes, instructions: list[_Instruction]) -> list[list[int]]:
    """The exception table (start, end, target, depth) by instruction; see CPython's Objects/exception_handling_notes.txt."""
    starts = [item.offset for item in instructions]
    numbers: list[int] = []
    value = 0
    for byte in table:
        value = (value << 6) | (byte & 63)
        if not byte & 64:
            numbers.append(value)
            value = 0
    entries = zip(*[iter(numbers)] * 4, strict=True)
    return [[_index(s * 2, starts), _index((s + n) * 2, starts), _index(t * 2, starts), depth] for s, n, t, depth in entries]


def _constant(value: object) -> object:
    match value:
        case CodeType():
            return ["code", static(value).digest]
        case tuple():
            return ["tuple", *map(_constant, cast("tuple[object, ...]", value))]
        case frozenset():
            return ["frozenset", *sorted(digest(_constant(item)) for item in cast("frozenset[object]", value))]
        case float():
            return ["float", repr(value)]
        case complex():
            return ["complex", repr(value)]
        case slice():
            part = cast("Any", value)
            return ["slice", _constant(part.start), _constant(part.stop), _constant(part.step)]
        case EllipsisType():
            return ["ellipsis"]
        case _:
            return value


def _attribute(code: CodeType, item: _Instruction) -> str | None:
    name = dis.opname[item.op]
    if name == "LOAD_METHOD":
        return code.co_names[item.arg]
    if name == "LOAD_ATTR":
        return code.co_names[item.arg >> 1 if sys.version_info >= (3, 12) else item.arg]
    return None


def _path(code: CodeType, instructions: list[_Instruction], position: int) -> tuple[str, ...]:
    """The attributes that are taken one after the other from what the instruction before `position` loaded."""
    path: list[str] = []
    while position < len(instructions) and (name := _attribute(code, instructions[position])) is not None:
        path.append(name)
        position += 1
    return tuple(path)


def _references(code: CodeType, instructions: list[_Instruction]) -> Iterator[Reference]:
    modules: dict[str, Reference] = {}
    for position, item in enumerate(instructions):
        name = dis.opname[item.op]
        if name in ("LOAD_GLOBAL", "LOAD_NAME"):
            root = code.co_names[item.arg >> 1 if name == "LOAD_GLOBAL" else item.arg]
            yield Reference("global", root, _path(code, instructions, position + 1))
        elif name == "IMPORT_NAME":
            yield from _import(code, instructions, position, modules)
        elif modules and name.startswith("LOAD_FAST") and name.count("_FAST") == 1:
            found = modules.get(code.co_varnames[item.arg]) if item.arg < len(code.co_varnames) else None
            if found is not None:
                yield found._replace(path=_path(code, instructions, position + 1))
        elif modules and name.count("_FAST") == 2:
            # Two variables in one instruction: which is followed by what is not worth untangling, the whole module counts.
            for index in (item.arg >> 4, item.arg & 15):
                if index < len(code.co_varnames) and code.co_varnames[index] in modules and "LOAD" in name:
                    yield modules[code.co_varnames[index]]


def _import(code: CodeType, instructions: list[_Instruction], position: int, modules: dict[str, Reference]) -> Iterator[Reference]:
    """`from m import a` reaches m.a. `import m` reaches what is later taken from the variable, or all of m if that is not a local one."""
    module = code.co_names[instructions[position].arg]
    level = _loaded(code, instructions[position - 2])
    dots = level if isinstance(level, int) else 0
    wanted = _loaded(code, instructions[position - 1])
    if wanted:
        for attribute in cast("tuple[str, ...]", wanted):
            yield Reference("import", module, (attribute,), dots, module)
        return
    renamed = position + 1 < len(instructions) and dis.opname[instructions[position + 1].op] == "IMPORT_FROM"
    reference = Reference("import", module, (), dots, module if renamed else module.partition(".")[0])
    store = next((item for item in instructions[position + 1 :] if dis.opname[item.op].startswith("STORE_")), None)
    if store is not None and dis.opname[store.op] == "STORE_FAST":
        modules[code.co_varnames[store.arg]] = reference
    else:
        yield reference


def _loaded(code: CodeType, item: _Instruction) -> object:
    return code.co_consts[item.arg] if item.op in _CONST else item.arg if dis.opname[item.op] == "LOAD_SMALL_INT" else None
