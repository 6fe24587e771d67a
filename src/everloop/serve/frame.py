"""Rows of plain values <-> the table that a predictor takes.

A plain row is what JSON carries and what is captured: bool, int, float, str or None a feature, in signature order. Times are ISO 8601
text, bytes are base64 text, lists are JSON text.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import polars as pl

from everloop.core.models import Signature
from everloop.core.tables import Kind

Plain = bool | int | float | str | None
PlainRow = Sequence[Plain]

DTYPES: dict[Kind, Any] = {
    "int": pl.Int64,
    "float": pl.Float64,
    "bool": pl.Boolean,
    "text": pl.String,
    "time": pl.Datetime("us"),
    "bytes": pl.Binary,
}

# Up to here one call with rows is the faster way into Polars, above it one series a column.
_FEW_ROWS = 100


class Framer:
    """Compiled from a signature once, called for each batch."""

    def __init__(self, signature: Signature) -> None:
        self._names = [column.name for column in signature.inputs]
        self._dtypes = [DTYPES.get(column.kind) for column in signature.inputs]
        self._parsers = [(at, _PARSERS[column.kind]) for at, column in enumerate(signature.inputs) if column.kind in _PARSERS]
        self._schema: dict[str, Any] = dict(zip(self._names, self._dtypes, strict=True))

    def __call__(self, rows: Sequence[PlainRow]) -> pl.DataFrame:
        """Columns in signature order. ValueError when a value does not parse as its kind."""
        if len(rows) <= _FEW_ROWS and not self._parsers:
            return pl.DataFrame(rows, schema=self._schema, orient="row")
        columns: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * len(self._names)
        for at, parse in self._parsers:
            columns[at] = [None if value is None else parse(value) for value in columns[at]]
        # Lists of numbers may begin with whole ones.
        return pl.DataFrame(
            [
                pl.Series(name, values, dtype=dtype, strict=dtype is not None)
                for name, values, dtype in zip(self._names, columns, self._dtypes, strict=True)
            ]
        )


def to_plain(value: Any) -> Plain:
    """A cell of a table as JSON carries it. NaN and infinities, which JSON cannot carry, become None."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            return value.isoformat()
        case list() | pl.Series():
            return msgspec.json.encode(list(cast("Any", value))).decode()
        case _:
            # NumPy scalars in object arrays; dates.
            return to_plain(value.item()) if hasattr(value, "item") else str(value)


def parse_time(text: str) -> datetime:
    """ISO 8601, with or without a time of day. Times with a zone are turned into UTC, as all times here are."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def parse_bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def parse_list(text: str) -> list[Any]:
    return msgspec.json.decode(text, type=list[Any])


_PARSERS: dict[Kind, Callable[[Any], Any]] = {"time": parse_time, "bytes": parse_bytes, "list": parse_list}
