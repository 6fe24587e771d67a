"""Immutable records and their lineage: kept once under their content id, found by id or a unique beginning of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from everloop.core.errors import BadInput, Broken, NotFound
from everloop.core.labelling import LabelSet
from everloop.core.live import Window
from everloop.core.models import Candidate, Evaluation, Version
from everloop.core.profiles import Profile
from everloop.core.record import COLLECTED, Record
from everloop.core.schemas import Schema
from everloop.core.tables import Prepared, Snapshot
from everloop.core.verdict import Verdict
from everloop.store.database import Transaction

AnyRecord = Snapshot | Profile | Schema | Prepared | Candidate | Evaluation | Version | Verdict | Window | LabelSet
_decoder = msgspec.msgpack.Decoder(AnyRecord)

R = TypeVar("R", bound=Record)

_KEEP = "INSERT INTO records (id, kind, body, created_at) VALUES (:id, :kind, :body, :now) ON CONFLICT DO NOTHING"
_REPLACE = "UPDATE records SET body = :body WHERE id = :id"
_LINK = "INSERT INTO links (child, role, parent) VALUES (:child, :role, :parent) ON CONFLICT DO NOTHING"
_LOAD = "SELECT body FROM records WHERE id = :id"
_RESOLVE = "SELECT id FROM records WHERE substr(id, 1, :length) = :beginning ORDER BY id LIMIT 4"
_OF_KIND = "SELECT id FROM records WHERE kind = :kind ORDER BY created_at, id"
_PARENTS = "SELECT role, parent FROM links WHERE child = :id ORDER BY role"
_CHILDREN = "SELECT role, child FROM links WHERE parent = :id ORDER BY child"
_DANGLING = "SELECT child, role, parent FROM links WHERE NOT EXISTS (SELECT 1 FROM records WHERE records.id = links.parent)"


def encode(record: Record) -> bytes:
    return msgspec.msgpack.encode(record)


def decode(body: bytes) -> AnyRecord:
    return _decoder.decode(body)


def keep(tx: Transaction, *items: Record) -> None:
    """Keep records and the links to their parents. What is already there stays as it is: equal id, equal content. Only a record of
    which something was collected takes the new one's place for it."""
    now = time.time()
    for item in items:
        id = item.id
        new = tx.sql(_KEEP, {"id": id, "kind": item.kind, "body": encode(item), "now": now}).changed
        if not new and item.keeps():
            _mend(tx, item)
        tx.many(_LINK, [{"child": id, "role": role, "parent": parent} for role, parent in item.parents().items()])


def _mend(tx: Transaction, item: Record) -> None:
    there = decode(tx.sql(_LOAD, {"id": item.id}).value())
    if any(name == COLLECTED for _, name in there.keeps().values()):
        tx.sql(_REPLACE, {"id": item.id, "body": encode(item)})


def load(tx: Transaction, id: str, expected: type[R]) -> R:
    """The record with exactly this id. Raises NotFound, or Broken when it is of another kind or its content is not its id."""
    body = tx.sql(_LOAD, {"id": id}).value()
    if body is None:
        raise NotFound(f"Record {id!r} does not exist in this workspace.")
    try:
        record = decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Broken(f"Record {id!r} was changed after it was written: it can no longer be read ({error}).") from error
    if not isinstance(record, expected):
        raise Broken(f"Record {id!r} is a {record.kind}, not a {expected.__struct_config__.tag}.")
    if record.id != id:
        raise Broken(f"Record {id!r} was changed after it was written: its content is now {record.id!r}.")
    return record


def resolve(tx: Transaction, beginning: str) -> str:
    """The one id that begins so. Raises NotFound, or BadInput when there are several."""
    found = [id for (id,) in tx.sql(_RESOLVE, {"beginning": beginning, "length": len(beginning)})]
    if not found:
        raise NotFound(f"No record's id begins with {beginning!r}.")
    if len(found) > 1:
        raise BadInput(f"{beginning!r} is the beginning of several ids: {', '.join(found[:3])} … Give more of it.")
    return found[0]


def of_kind(tx: Transaction, kind: str) -> list[str]:
    """The ids of all records of a kind, oldest first."""
    return [id for (id,) in tx.sql(_OF_KIND, {"kind": kind})]


def parents(tx: Transaction, id: str) -> list[tuple[str, str]]:
    """(role, id) of each record that this one was made from."""
    return [(role, parent) for role, parent in tx.sql(_PARENTS, {"id": id})]


def children(tx: Transaction, id: str) -> list[tuple[str, str]]:
    """(role, id) of each record that was made from this one."""
    return [(role, child) for role, child in tx.sql(_CHILDREN, {"id": id})]


def ancestry(tx: Transaction, id: str) -> Iterator[tuple[str, str, str]]:
    """(child, role, parent) upwards from `id`, nearest first, each link once."""
    seen: set[str] = set()
    front = [id]
    while front:
        child = front.pop(0)
        if child in seen:
            continue
        seen.add(child)
        for role, parent in parents(tx, child):
            yield child, role, parent
            front.append(parent)


def dangling(tx: Transaction) -> list[tuple[str, str, str]]:
    """Links whose parent is no record: there are none in a sound store."""
    return [(child, role, parent) for child, role, parent in tx.sql(_DANGLING)]
