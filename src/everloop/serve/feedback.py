"""Labels that arrive over HTTP -> the store, joined with predictions by id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from everloop.core.errors import BadInput
from everloop.core.models import Signature
from everloop.serve.decode import kind_of, malformed
from everloop.serve.errors import TooLarge
from everloop.serve.limits import Limits
from everloop.store import labels
from everloop.store.workspace import Workspace

Value = bool | int | float | str


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    labels: dict[str, Value]


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """`contradicted` already have another value, which stays; `unknown` are no ids of predictions."""

    added: int
    contradicted: list[str]
    unknown: list[str]


_decoder = msgspec.json.Decoder(_Request)
_ID = re.compile(r"p-[0-9a-z]+-[0-9a-f]+")


def decode(body: bytes, signature: Signature | None, limits: Limits) -> Mapping[str, Value]:
    """`{"labels": {id: value}}` with values of the output's own kind, without which no label would ever equal a prediction."""
    try:
        found = _decoder.decode(body).labels
    except msgspec.ValidationError as error:
        raise BadInput(f'{error}. The body must be {{"labels": {{prediction id: value, ...}}}}.') from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(body, error) from None
    if len(found) > limits.request_rows:
        raise TooLarge(f"{len(found)} labels are more than the {limits.request_rows} that one request may hold. Send several requests.")
    if signature is not None:
        expected = signature.output.kind
        accepted = {"float": ("float", "int")}.get(expected, (expected,))
        for id, value in found.items():
            if kind_of(value) not in accepted:
                shown = msgspec.json.encode(value).decode()[:60]
                raise BadInput(f"label of {id[:80]!r} is {shown} ({kind_of(value)}); {expected} expected, as the model answers.")
    return found


def keep(workspace: Workspace, loop: str, found: Mapping[str, Value]) -> Added:
    """In one transaction. Whether a prediction exists is not looked up: its segment may be on another machine."""
    known: dict[str, Any] = {id: value for id, value in found.items() if _ID.fullmatch(id) and len(id) <= 80}
    added, contradicted = 0, list[str]()
    if known:
        with workspace.write() as tx:
            added, contradicted = labels.add(tx, loop, known)
    return Added(added=added, contradicted=contradicted, unknown=[id for id in found if id not in known])
