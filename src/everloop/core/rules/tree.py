"""What a rule over a row is made of: the tree that both compilers start from, and the operations there are.

- null, NaN and the infinities are no value. What is computed from no value is none, and a division by zero gives none. `&` and `|` are Kleene's: false and
  unknown is false, true or unknown is true.
- Integers have 64 bits and wrap around as Polars' do; `/` always gives a float; `//` rounds down, and `%` has the sign of the divisor.
- Times are moments in UTC; a date is its midnight. Texts compare by code points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Type: TypeAlias = Literal["int", "float", "bool", "text", "time", "span"]

INT_LOW, INT_HIGH = -(2**63), 2**63 - 1

OF_TIME = ("dt.year", "dt.month", "dt.day", "dt.hour", "dt.minute", "dt.second", "dt.weekday")
OF_SPAN = ("dt.total_days", "dt.total_hours", "dt.total_minutes", "dt.total_seconds")
OF_TEXT = ("str.len_chars", "str.starts_with", "str.ends_with", "str.contains", "str.strip_chars")
METHODS = ("is_null", "is_not_null", "is_in", "is_between", "fill_null", "abs", *OF_TEXT, *OF_TIME, *OF_SPAN)
FUNCTIONS = ("col", "lit", "date", "datetime", "duration")
SUPPORTED = "pl.col, pl.lit, pl.date, pl.datetime, pl.duration; + - * / // %; == != < <= > >=; & | ~; " + ", ".join(
    f".{name}()" for name in METHODS
)


@dataclass(frozen=True, slots=True)
class Node:
    """One operation. `op` is "col", "lit", an operator or a method's name; `value` what it holds beside its arguments."""

    op: str
    type: Type
    args: tuple[Node, ...] = ()
    value: Any = None

    def columns(self) -> frozenset[str]:
        found = frozenset[str]().union(*(arg.columns() for arg in self.args))
        return found | {self.value} if self.op == "col" else found
