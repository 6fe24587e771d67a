"""A rule's tree -> the Polars expression that means the same as its Python form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from everloop.core.errors import BadInput
from everloop.core.rules.patterns import pattern
from everloop.core.rules.tree import Node

_CALCULATIONS: Mapping[str, Callable[[Any, Any], Any]] = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}
_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def expression(node: Node, dtypes: Mapping[str, pl.DataType]) -> pl.Expr:
    """Over a table whose columns have these types. BadInput for a time of day, which is no moment."""
    return _Builder(dtypes).settled(node)


class _Builder:
    def __init__(self, dtypes: Mapping[str, pl.DataType]) -> None:
        self._dtypes = dtypes

    def settled(self, node: Node) -> Any:
        """With null where the value is not finite."""
        built, loose = self._build(node)
        return pl.when(built.is_finite()).then(built) if loose else built

    def _build(self, node: Node) -> tuple[Any, bool]:
        """The expression, and whether it may hold NaN or infinities. Those stay what they are through + - and *, so that only what
        reads them needs to look: one pass for a sum, not one a term."""
        match node.op:
            case "lit":
                return self._literal(node), False
            case "col":
                return self._column(node.value), node.type == "float" and self._dtypes[node.value].is_float()
            case "+" | "-" | "*" if node.type == "float":
                a, b = (self._float(arg) for arg in node.args)
                return _CALCULATIONS[node.op](a, b), True
            case "neg" | "abs":
                built, loose = self._build(node.args[0])
                return (-built if node.op == "neg" else built.abs()), loose
            case "/":
                return self._ratio(node), True
            case "//" if node.type == "float":
                return self._ratio(node).floor(), True
            case "%" if node.type == "float":
                a, b = (self._settled_float(arg) for arg in node.args)
                return a - (a / b).floor() * b, True
            case _:
                return self._strict(node), False

    def _ratio(self, node: Node) -> Any:
        return self._float(node.args[0]) / self._settled_float(node.args[1])

    def _float(self, node: Node) -> Any:
        built, _ = self._build(node)
        return built.cast(pl.Float64) if node.type == "int" else built

    def _settled_float(self, node: Node) -> Any:
        built = self.settled(node)
        return built.cast(pl.Float64) if node.type == "int" else built

    def _strict(self, node: Node) -> Any:
        if node.op in _COMPARISONS:
            return _COMPARISONS[node.op](*self._alike(node.args[0], node.args[1]))
        on = self.settled(node.args[0])
        match node.op:
            case "+" | "-" | "*":
                return _CALCULATIONS[node.op](on, self.settled(node.args[1]))
            case "//":
                return on // self.settled(node.args[1])
            case "%":
                return on % self.settled(node.args[1])
            case "&":
                return on & self.settled(node.args[1])
            case "|":
                return on | self.settled(node.args[1])
            case "~":
                return ~on
            case "is_null":
                return on.is_null()
            case "is_not_null":
                return on.is_not_null()
            case "fill_null":
                a, b = self._alike(node.args[0], node.args[1])
                return pl.coalesce(a, b)
            case "is_between":
                return self._between(node)
            case "is_in":
                return self._is_in(node, on)
            case _:
                return self._method(node, on)

    def _between(self, node: Node) -> Any:
        a, low = self._alike(node.args[0], node.args[1])
        b, high = self._alike(node.args[0], node.args[2])
        above = a >= low if node.value in ("both", "left") else a > low
        below = b <= high if node.value in ("both", "right") else b < high
        # Unknown as soon as one of the three is, as it is in Python's form: Kleene's "and" would know more.
        return pl.when(above.is_not_null() & below.is_not_null()).then(above & below)

    @staticmethod
    def _is_in(node: Node, on: Any) -> Any:
        floats = node.args[0].type == "float" or any(one.type == "float" for one in node.args[1:])
        values = [float(one.value) if floats else one.value for one in node.args[1:]]
        if not node.args[0].columns():
            # Polars does not stretch a constant over a list's members.
            return pl.any_horizontal([on == pl.lit(value) for value in values])
        left = on.cast(pl.Float64) if floats and node.args[0].type == "int" else on
        return left.is_in(pl.Series(values, dtype=_TYPES[node.args[0].type] if not floats else pl.Float64).implode())

    @staticmethod
    def _method(node: Node, on: Any) -> Any:
        match node.op:
            case "str.len_chars":
                return on.str.len_chars().cast(pl.Int64)
            case "str.strip_chars":
                return on.str.strip_chars()
            case "str.starts_with":
                return on.str.starts_with(node.value[0])
            case "str.ends_with":
                return on.str.ends_with(node.value[0])
            case "str.contains":
                text, literal = node.value
                return on.str.contains(text, literal=True) if literal else on.str.contains(pattern(text).rust)
            case op:
                return getattr(on.dt, op.removeprefix("dt."))().cast(pl.Int64)

    def _alike(self, left: Node, right: Node) -> tuple[Any, Any]:
        a, b = self.settled(left), self.settled(right)
        if left.type == right.type:
            return a, b
        return (a.cast(pl.Float64) if left.type == "int" else a), (b.cast(pl.Float64) if right.type == "int" else b)

    @staticmethod
    def _literal(node: Node) -> Any:
        return pl.lit(node.value, dtype=_TYPES[node.type])

    def _column(self, name: str) -> Any:
        column: Any = pl.col(name)
        match self._dtypes[name]:
            case pl.Time():
                raise BadInput(f"Column {name!r} holds times of day; rules know moments and dates only.")
            case pl.Date():
                return column.cast(pl.Datetime("us"))
            case pl.Datetime(time_unit=unit, time_zone=zone):
                plain = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zone else column
                return plain if unit == "us" else plain.dt.cast_time_unit("us")
            case dtype if dtype.is_integer() and dtype != pl.Int64:
                # Beyond 64 bits with a sign there is no such number for a rule.
                return column.cast(pl.Int64, strict=False)
            case dtype if dtype.is_float() and dtype != pl.Float64:
                return column.cast(pl.Float64)
            case _:
                return column


_TYPES: Mapping[str, Any] = {
    "int": pl.Int64,
    "float": pl.Float64,
    "bool": pl.Boolean,
    "text": pl.String,
    "time": pl.Datetime("us"),
    "span": pl.Duration("us"),
}
