"""A signature -> the decoder of its requests: typed, compiled once, with errors that name row and feature.

The body is `{"rows": [{feature: value, ...}, ...]}`, or the list alone. All features must be there; null means missing and is for the
model's transform to impute. An int is taken where a float is expected, nothing else is converted. NaN and Infinity are no JSON.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta

from everloop.core.errors import BadInput
from everloop.core.models import Signature
from everloop.core.tables import Column, Kind
from everloop.serve.errors import Malformed, TooLarge
from everloop.serve.frame import Plain, parse_bytes, parse_time

Row = tuple[Plain, ...]

_LOW, _HIGH = -(2**63), 2**63 - 1
_TYPES: dict[Kind, Any] = {
    "int": Annotated[int, Meta(ge=_LOW, le=_HIGH)],
    "float": float,
    "bool": bool,
    "text": str,
    "time": str,
    "bytes": str,
    "list": list[bool | int | float | str | None],
}
_EXPECTED: dict[Kind, str] = {"time": "time as ISO 8601 text", "bytes": "bytes as base64 text", "list": "list of plain values of one kind"}


class RowDecoder:
    """Bytes of a request -> its rows as plain tuples in signature order."""

    def __init__(self, signature: Signature) -> None:
        self.inputs = signature.inputs
        names = [f"f{at}" for at in range(len(self.inputs))]
        # Field names of our own, so that any text may be the name of a feature.
        row = msgspec.defstruct(
            "Row",
            [(name, _TYPES[column.kind] | None) for name, column in zip(names, self.inputs, strict=True)],
            rename={name: column.name for name, column in zip(names, self.inputs, strict=True)},
            forbid_unknown_fields=True,
            gc=False,
            frozen=True,
        )
        request = msgspec.defstruct("Request", [("rows", list[row])], forbid_unknown_fields=True)
        self._decoder = msgspec.json.Decoder(request | list[row])
        self._checks = [(at, column, _CHECKS[column.kind]) for at, column in enumerate(self.inputs) if column.kind in _CHECKS]

    def decode(self, body: bytes, *, limit: int) -> list[Row]:
        """Raises Malformed (no JSON), BadInput (row and feature named) or TooLarge (more than `limit` rows)."""
        try:
            found: Any = self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise explain(body, self.inputs, error) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(body, error) from None
        items: list[Any] = cast("list[Any]", found) if isinstance(found, list) else found.rows
        if not items:
            raise BadInput("'rows' is empty; at least one row is expected.")
        if len(items) > limit:
            raise TooLarge(f"{len(items)} rows are more than the {limit} that one request may hold. Send several requests.")
        rows = [msgspec.structs.astuple(item) for item in items]
        return self._checked(rows) if self._checks else rows

    def _checked(self, rows: list[Row]) -> list[Row]:
        kept: list[Row] = []
        members: dict[int, str] = {}
        for number, row in enumerate(rows):
            values: list[Any] = list(row)
            for at, column, check in self._checks:
                if values[at] is None:
                    continue
                try:
                    if column.kind == "list":
                        for item in values[at]:
                            kind = "number" if kind_of(item) in {"int", "float"} else kind_of(item)
                            if item is not None and members.setdefault(at, kind) != kind:
                                raise ValueError(kind)
                    values[at] = check(values[at])
                except (ValueError, OverflowError):
                    raise mistyped(number, column, values[at]) from None
            kept.append(tuple(values))
        return kept


def malformed(body: bytes, error: Exception) -> Malformed:
    """The sentence for a body that is no JSON."""
    if isinstance(error, RecursionError):
        return Malformed("The body is nested too deeply.")
    hint = " NaN and Infinity are no JSON: send null for a missing value." if b"NaN" in body or b"Infinity" in body else ""
    return Malformed(f"The body is not valid JSON: {error}.{hint}")


def explain(body: bytes, inputs: tuple[Column, ...], error: msgspec.ValidationError) -> BadInput:
    """Why a JSON body does not fit, found by reading it again without types: only requests that fail pay for good sentences."""
    try:
        found: Any = msgspec.json.decode(body)
    except msgspec.ValidationError as again:
        # A number that no float can hold; the typed decoder knew the feature's name.
        return BadInput(f"{error if 'out of range' in str(error) else again}.")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as again:
        return malformed(body, again)
    if isinstance(found, dict):
        extra = sorted(set(cast("dict[str, Any]", found)) - {"rows"})
        if "rows" not in found or extra:
            return BadInput(f'The body must be {{"rows": [{{feature: value, ...}}, ...]}} or the list alone; it has {extra or "no rows"}.')
        found = cast("dict[str, Any]", found)["rows"]
    if not isinstance(found, list):
        return BadInput(f"Rows are a {kind_of(found)}; a list of objects is expected.")
    for number, row in enumerate(cast("list[Any]", found)):
        if not isinstance(row, dict):
            return BadInput(f"row {number}: is a {kind_of(row)}; an object with a value for each feature is expected.")
        fault = _fault(number, cast("Mapping[str, Any]", row), inputs)
        if fault is not None:
            return fault
    return BadInput(f"{error}.")


def _fault(number: int, row: Mapping[str, Any], inputs: tuple[Column, ...]) -> BadInput | None:
    names = [column.name for column in inputs]
    for name in row:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            return BadInput(f"row {number}: {name[:80]!r} is not a feature of this model.{hint}")
    for column in inputs:
        if column.name not in row:
            return BadInput(f"row {number}: feature {column.name!r} is missing ({column.kind} expected)")
        if not _fits(row[column.name], column.kind):
            return mistyped(number, column, row[column.name])
    return None


def _fits(value: Any, kind: Kind) -> bool:
    if value is None:
        return True
    match kind:
        case "int":
            return isinstance(value, int) and not isinstance(value, bool) and _LOW <= value <= _HIGH
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "bool":
            return isinstance(value, bool)
        case "list":
            return isinstance(value, list) and not any(isinstance(item, list | dict) for item in cast("list[Any]", value))
        case _:
            return isinstance(value, str)


def mistyped(number: int, column: Column, value: Any) -> BadInput:
    shown = msgspec.json.encode(value).decode()
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    expected = _EXPECTED.get(column.kind, column.kind)
    if column.kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        expected = "int of 64 bits"
    return BadInput(f"row {number}: feature {column.name!r} is {shown} ({kind_of(value)}); {expected} expected")


def kind_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "text"
        case list():
            return "list"
        case _:
            return "object"


def _time(value: Any) -> str:
    parse_time(value)
    return value


def _bytes(value: Any) -> str:
    parse_bytes(value)
    return value


def _list(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_CHECKS: dict[Kind, Callable[[Any], Plain]] = {"time": _time, "bytes": _bytes, "list": _list}
