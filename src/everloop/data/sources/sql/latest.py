"""The last value of a cursor column, as a provenance can hold it."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from everloop.core.errors import BadInput


class Latest(NamedTuple):
    kind: str
    text: str

    @classmethod
    def of(cls, value: object, *, column: str, exact: bool = False) -> Latest:
        """BadInput for what has no order that can be gone on from."""
        match value:
            case str():
                return cls("decimal" if exact else "text", value)
            case bool():
                pass
            case int():
                return cls("int", str(value))
            case float():
                return cls("float", repr(value))
            case datetime():
                return cls("time", value.isoformat())
            case date():
                return cls("date", value.isoformat())
            case _:
                pass
        raise BadInput(
            f"cursor={column!r}: {type(value).__name__} values do not grow with the rows. Name a column with a time of change or a number."
        )

    def value(self) -> Any:
        match self.kind:
            case "int":
                return int(self.text)
            case "float":
                return float(self.text)
            case "decimal":
                return Decimal(self.text)
            case "time":
                return datetime.fromisoformat(self.text)
            case "date":
                return date.fromisoformat(self.text)
            case _:
                return self.text
