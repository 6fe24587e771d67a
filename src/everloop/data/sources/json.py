"""JSON and JSON lines -> a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec
import polars as pl

from everloop.core.errors import BadInput

_INT64 = range(-(2**63), 2**63)


def read_json_lines(data: bytes, *, name: str) -> pl.DataFrame:
    """One object a line. Keys that a line lacks are null; a key whose values have different types becomes text."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            rows.append(_object(_decode(line, f"{name}, line {number}"), f"{name}, line {number}"))
    return table(rows)


def read_json(data: bytes, *, name: str) -> pl.DataFrame:
    """An array of objects, or an object of equally long arrays."""
    value = _decode(data.removeprefix(b"\xef\xbb\xbf"), name)
    if isinstance(value, dict):
        columns = cast("dict[str, Any]", value)
        lengths = {name: len(cells) if isinstance(cells, list) else -1 for name, cells in columns.items()}  # pyright: ignore[reportUnknownArgumentType]
        if -1 in lengths.values() or len(set(lengths.values())) > 1:
            raise BadInput(f"{name} is an object, but not one of equally long arrays. Give an array of objects: [{{...}}, {{...}}]")
        return pl.DataFrame([column(key, cells) for key, cells in columns.items()])
    if not isinstance(value, list):
        raise BadInput(f"{name} holds one {type(value).__name__}. A table is an array of objects: [{{...}}, {{...}}]")
    return table([_object(item, f"{name}, row {number}") for number, item in enumerate(cast("list[Any]", value), 1)])


def table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    names = list(dict.fromkeys(key for row in rows for key in row))
    return pl.DataFrame([column(name, [row.get(name) for row in rows]) for name in names])


def column(name: str, values: Iterable[Any]) -> pl.Series:
    """Integers with floats become floats; other mixtures, and objects, become text: nothing is dropped to fit a type."""
    cells = list(values)
    types: set[type[Any]] = {type(cell) for cell in cells if cell is not None}
    if not types:
        return pl.Series(name, cells, dtype=pl.String)
    if types == {int} and all(cell in _INT64 for cell in cells if cell is not None):
        return pl.Series(name, cells, dtype=pl.Int64)
    if types == {bool}:
        return pl.Series(name, cells, dtype=pl.Boolean)
    if types in ({float}, {int, float}):
        return pl.Series(name, [None if cell is None else float(cell) for cell in cells], dtype=pl.Float64)
    if types == {list}:
        try:
            return pl.Series(name, cells, strict=True)
        except (TypeError, pl.exceptions.PolarsError):
            pass
    return pl.Series(name, [cell if cell is None or isinstance(cell, str) else _text(cell) for cell in cells], dtype=pl.String)


def _text(cell: Any) -> str:
    return msgspec.json.encode(cell).decode()


def _decode(data: bytes, where: str) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{where} is not JSON: {error}.") from error


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"{where} is a {type(value).__name__}, not an object with one key a column.")
    return cast("dict[str, Any]", value)
