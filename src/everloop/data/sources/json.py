"""Values as JSON has them -> columns, whatever the block they came in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, cast

import msgspec
import polars as pl

from everloop.core.errors import BadInput

_INT64 = range(-(2**63), 2**63)
# Kinds: none, bool, int, Integers beyond 64 bits, float, text, mixture (text that JSON is written in); [k] lists of a kind.
_PLAIN: dict[str, Any] = {"b": pl.Boolean, "i": pl.Int64, "f": pl.Float64, "t": pl.String, "x": pl.String, "I": pl.String, "n": pl.String}


def table(rows: Sequence[dict[str, Any]], kinds: Kinds | None = None) -> pl.DataFrame:
    """One row an object, columns in the order of first appearance; keys that a row lacks are null. Without any key there is no column to be null. `kinds` is what earlier rows of the same file
    had, and learns what these have."""
    names = list(dict.fromkeys(key for row in rows for key in row)) or list(kinds.now if kinds is not None else ())
    columns = {name: [row.get(name) for row in rows] for name in names}
    found = {name: kind_of(cells) for name, cells in columns.items()}
    if kinds is not None:
        kinds.widen(found)
        found = {name: kinds.now[name] for name in names}
    return pl.DataFrame([_column(name, cells, found[name]) for name, cells in columns.items()])


def column(name: str, values: Iterable[Any]) -> pl.Series:
    """Integers with floats become floats; other mixtures, and objects, become text: nothing is dropped to fit a type."""
    cells = list(values)
    return _column(name, cells, kind_of(cells))


def kind_of(cells: Iterable[Any]) -> str:
    cells = [cell for cell in cells if cell is not None]
    types: set[type[Any]] = set(map(type, cells))
    found = {_KINDS.get(kind, "x") for kind in types - {int, list}}
    if int in types:
        found.add("i" if all(cell in _INT64 for cell in cells if type(cell) is int) else "I")
    if list in types:
        inner = reduce(join, (kind_of(cast("list[Any]", cell)) for cell in cells if type(cell) is list), "n")
        found.add("x" if inner in ("x", "I") else f"[{inner}]")
    return reduce(join, found, "n")


_KINDS: dict[type[Any], str] = {bool: "b", float: "f", str: "t"}


def join(a: str, b: str) -> str:
    """The kind of a column that has cells of both."""
    if b in {a, "n"}:
        return a
    if a == "n":
        return b
    if a[0] == b[0] == "[":
        inner = join(a[1:-1], b[1:-1])
        return "x" if inner in ("x", "I") else f"[{inner}]"
    both = {a, b}
    if both <= {"i", "I", "f"}:
        return "f" if "f" in both else "I"
    return "x"


def stands(given: str, final: str) -> bool:
    """Whether cells given as one kind are still right when the column turns out to be of another."""
    return given in (final, "n") or (given, final) in (("i", "f"), ("t", "x"), ("I", "x"))


@dataclass
class Kinds:
    """What is known of a file's columns so far, and what has been given as what. Outlives a reading that has to begin again."""

    now: dict[str, str] = field(default_factory=dict[str, str])
    given: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    before: dict[str, str] = field(default_factory=dict[str, str])
    """For the rest of a file that grew: the kinds under which its first part was given, and how many lines that has."""
    lines_before: int = 0
    bare: int = 0
    """Rows without any key before the first that has one."""

    def begin(self) -> None:
        """Forget what was given in an earlier reading."""
        self.now = {**self.before, **self.now}
        self.given = {name: {kind} for name, kind in self.before.items()}
        self.bare = 0

    def with_bare(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows with those that had to wait for a column; none as long as there is no column."""
        if not self.now and not any(rows):
            self.bare += len(rows)
            return []
        found = [*({} for _ in range(self.bare)), *rows]
        self.bare = 0
        return found

    def since_before(self) -> list[tuple[str, str]]:
        return [(kind, self.now[name]) for name, kind in self.before.items()]

    def widen(self, found: dict[str, str]) -> None:
        for name, kind in found.items():
            self.now[name] = join(self.now.get(name, "n"), kind)

    def give(self, names: Iterable[str]) -> None:
        for name in names:
            self.given.setdefault(name, set()).add(self.now[name])

    def sound(self) -> bool:
        return all(stands(kind, self.now[name]) for name, kinds in self.given.items() for kind in kinds)


def as_object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"{where} is {_said(value)}, not an object with one key a column.")
    return cast("dict[str, Any]", value)


def _said(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}" if not isinstance(value, int) else f"an {type(value).__name__}"


def _column(name: str, cells: list[Any], kind: str) -> pl.Series:
    if kind in "biItn":
        if kind == "I":
            cells = [None if cell is None else str(cell) for cell in cells]
        return pl.Series(name, cells, dtype=_PLAIN[kind])
    if kind == "f":
        return pl.Series(name, [None if cell is None else float(cell) for cell in cells], dtype=pl.Float64)
    if kind[0] == "[":
        return pl.Series(name, cells, dtype=_dtype(kind), strict=False)
    return pl.Series(name, [cell if cell is None or isinstance(cell, str) else _text(cell) for cell in cells], dtype=pl.String)


def _dtype(kind: str) -> Any:
    return pl.List(pl.Null if kind == "[n]" else _dtype(kind[1:-1])) if kind[0] == "[" else _PLAIN[kind]


def _text(cell: Any) -> str:
    return msgspec.json.encode(cell).decode()
