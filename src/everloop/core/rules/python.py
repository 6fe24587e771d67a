"""A rule's tree -> Python statements over the values of one row, with the same meaning as its Polars form.

One local name an operation, and None for what is unknown. No text from the rule gets into the source: columns and literals are reached by names
of our own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from everloop.core.rules.patterns import pattern
from everloop.core.rules.tree import INT_HIGH, INT_LOW, OF_SPAN, Node

_WHITE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
"""Unicode's White_Space, which Rust strips; Python's own `strip` takes four control characters more."""


class Writer:
    """The body of one function: its lines, and the constants that they name."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = dict(_NAMES)
        self._count = 0
        self._known: dict[Node, str] = {}

    def name(self) -> str:
        self._count += 1
        return f"t{self._count}"

    def constant(self, value: object) -> str:
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def add(self, line: str) -> None:
        self.lines.append(line)

    def expression(self, node: Node, columns: Mapping[str, str]) -> str:
        """Write what computes `node`; the local name that holds its value. `columns` are the local names of columns' raw values."""
        known = self._known.get(node)
        if known is None:
            known = self._known[node] = self._write(node, columns)
        return known

    def _write(self, node: Node, columns: Mapping[str, str]) -> str:
        if node.op == "lit":
            return self.constant(float(node.value) if node.type == "float" else node.value)
        out = self.name()
        if node.op == "col":
            raw = columns[node.value]
            match node.type:
                case "float":
                    # What is no float breaks the chain and is reported as another kind.
                    self.add(f"{out} = {raw} if {raw} is None or NINF < {raw} < INF else None")
                    self.add(f"if {out} is not None: {out} = float({out})")
                case "time":
                    self.add(f"{out} = None if {raw} is None else moment({raw})")
                case "int":
                    self.add(f"{out} = None if {raw} is None else whole({raw})")
                case _:
                    self.add(f"{out} = {raw}")
            return out
        args = [self.expression(arg, columns) for arg in node.args]
        if node.op in _KLEENE:
            self.add(_KLEENE[node.op].format(out=out, a=args[0], b=args[-1]))
            return out
        if node.op == "fill_null":
            a, b = self._alike(node.args[0], node.args[1], args[0], args[1])
            other = b if b == args[1] else f"(None if {args[1]} is None else {b})"
            self.add(f"{out} = {other} if {args[0]} is None else {a}")
            return out
        value = self._value(node, args)
        unknown = " or ".join(
            f"{arg} is None" for arg, of in zip(args, node.args, strict=True) if of.op != "lit" and (node.op != "is_in" or arg == args[0])
        )
        self.add(f"{out} = None if {unknown} else {value}" if unknown else f"{out} = {value}")
        if node.type == "float":
            self.add(f"if {out} is not None and not NINF < {out} < INF: {out} = None")
        elif node.type == "int" and node.op in ("+", "-", "*", "//", "neg", "abs"):
            self.add(f"if {out} is not None and not {INT_LOW} <= {out} <= {INT_HIGH}: {out} = wrapped({out})")
        return out

    def _value(self, node: Node, args: list[str]) -> str:
        a = args[0]
        match node.op:
            case "+" | "-" | "*":
                x, y = self._alike(node.args[0], node.args[1], a, args[1])
                return f"{x} {node.op} {y}"
            case "/":
                return f"divided(float({a}), float({args[1]}))"
            case "//" | "%" if node.type == "int":
                return f"{a} {node.op} {args[1]} if {args[1]} else None"
            case "//":
                return f"floored(float({a}), float({args[1]}))"
            case "%":
                return f"rest(float({a}), float({args[1]}))"
            case "==" | "!=" | "<" | "<=" | ">" | ">=":
                x, y = self._alike(node.args[0], node.args[1], a, args[1])
                return f"{x} {node.op} {y}"
            case "neg":
                return f"-{a}"
            case "abs":
                return f"abs({a})"
            case "is_between":
                return self._between(node, args)
            case "is_in":
                values = frozenset(float(one.value) if node.args[0].type == "float" else one.value for one in node.args[1:])
                if node.args[0].type == "int" and any(one.type == "float" for one in node.args[1:]):
                    return f"float({a}) in {self.constant(frozenset(map(float, values)))}"
                return f"{a} in {self.constant(values)}"
            case _:
                return self._method(node, a)

    def _between(self, node: Node, args: list[str]) -> str:
        on, low, high = node.args
        a, b = self._alike(on, low, args[0], args[1])
        c, d = self._alike(on, high, args[0], args[2])
        below = "<=" if node.value in ("both", "left") else "<"
        above = "<=" if node.value in ("both", "right") else "<"
        return f"{b} {below} {a} and {c} {above} {d}"

    def _method(self, node: Node, a: str) -> str:
        match node.op:
            case "str.len_chars":
                return f"len({a})"
            case "str.strip_chars":
                return f"{a}.strip({self.constant(_WHITE)})"
            case "str.starts_with":
                return f"{a}.startswith({self.constant(node.value[0])})"
            case "str.ends_with":
                return f"{a}.endswith({self.constant(node.value[0])})"
            case "str.contains":
                text, literal = node.value
                return f"{self.constant(text)} in {a}" if literal else f"{self.constant(pattern(text).search())}({a}) is not None"
            case "dt.weekday":
                return f"{a}.isoweekday()"
            case op if op in OF_SPAN:
                return f"whole_spans({a}, {self.constant(_SPANS[op])})"
            case op:
                return f"{a}.{op.removeprefix('dt.')}"

    @staticmethod
    def _alike(left: Node, right: Node, a: str, b: str) -> tuple[str, str]:
        """Where a whole number meets another, both are floats, as Polars casts them: Python would compare them exactly."""
        if left.type == right.type:
            return a, b
        return (f"float({a})" if left.type == "int" else a), (f"float({b})" if right.type == "int" else b)


_KLEENE: Mapping[str, str] = {
    "&": "{out} = False if {a} is False or {b} is False else None if {a} is None or {b} is None else True",
    "|": "{out} = True if {a} is True or {b} is True else None if {a} is None or {b} is None else False",
    "~": "{out} = None if {a} is None else not {a}",
    "is_null": "{out} = {a} is None",
    "is_not_null": "{out} = {a} is not None",
}

_SPANS: Mapping[str, timedelta] = {
    "dt.total_days": timedelta(days=1),
    "dt.total_hours": timedelta(hours=1),
    "dt.total_minutes": timedelta(minutes=1),
    "dt.total_seconds": timedelta(seconds=1),
}


def _wrapped(value: int) -> int:
    return (value - INT_LOW) % 2**64 + INT_LOW


def _divided(a: float, b: float) -> float | None:
    return a / b if b else None


def _floored(a: float, b: float) -> float | None:
    ratio = a / b if b else math.inf
    return float(math.floor(ratio)) if -math.inf < ratio < math.inf else None


def _rest(a: float, b: float) -> float | None:
    times = _floored(a, b)
    return None if times is None else a - times * b


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(value)


def _whole_spans(a: timedelta, unit: timedelta) -> int:
    return a // unit if a >= timedelta(0) else -(-a // unit)


def moment(value: object) -> datetime:
    """A time as rows carry it, ISO 8601 text, in UTC without a zone."""
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(found, datetime):
        raise TypeError(value)
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)


_NAMES: Mapping[str, Any] = {
    "INF": math.inf,
    "NINF": -math.inf,
    "wrapped": _wrapped,
    "divided": _divided,
    "floored": _floored,
    "rest": _rest,
    "whole": _whole,
    "whole_spans": _whole_spans,
    "moment": moment,
}


def function(node: Node, columns: Mapping[str, int]) -> Callable[[Sequence[Any]], bool | None]:
    """The rule as a function of a row; `columns` are the places of its columns in it."""
    writer = Writer()
    local = {name: f"v{at}" for at, name in enumerate(sorted(node.columns()))}
    for name, variable in local.items():
        writer.add(f"{variable} = row[{columns[name]}]")
    out = writer.expression(node, local)
    return define("rule", [*writer.lines, f"return {out}"], writer.names)


def define(name: str, body: list[str], names: dict[str, Any]) -> Callable[[Sequence[Any]], Any]:
    """Compile a function of one argument, `row`, from lines that were written here."""
    # No text of a schema is in the source: columns and literals have names of our own.
    source = "\n".join([f"def {name}(row):", *(f"    {line}" for line in body)])
    exec(compile(source, f"<{name} of a schema>", "exec"), names)  # noqa: S102
    return names[name]
