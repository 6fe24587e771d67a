"""Immutable records and their lineage: kept once under their content id, found by id or a unique beginning of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from everloop.core.errors import BadInput, Broken, NotFound
from everloop.core.live import Window
from everloop.core.models import Candidate, Evaluation, Version
from everloop.core.record import Record
from everloop.core.tables import Prepared, Profile, Schema, Snapshot
from everloop.core.verdict import Verdict
from everloop.store.database import Transaction, insert_new
from everloop.store.schema import links, records

AnyRecord = Snapshot | Profile | Schema | Prepared | Candidate | Evaluation | Version | Verdict | Window
_decoder = msgspec.msgpack.Decoder(AnyRecord)

R = TypeVar("R", bound=Record)


def encode(record: Record) -> bytes:
    return msgspec.msgpack.encode(record)


def decode(body: bytes) -> AnyRecord:
    return _decoder.decode(body)


def keep(tx: Transaction, *items: Record) -> None:
    """Keep records and the links to their parents. What is already there stays as it is: equal id, equal content."""
    now = time.time()
    for item in items:
        insert_new(tx, records, [{"id": item.id, "kind": item.kind, "body": encode(item), "created_at": now}])
        insert_new(tx, links, [{"child": item.id, "role": role, "parent": parent} for role, parent in item.parents().items()])


def load(tx: Transaction, id: str, expected: type[R]) -> R:
    """The record with exactly this id. Raises NotFound, or Broken when it is of another kind or its content is not its id."""
    body = tx.execute(sa.select(records.c.body).where(records.c.id == id)).scalar()
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
    pattern = beginning.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    found = (
        tx.execute(sa.select(records.c.id).where(records.c.id.like(pattern, escape="\\")).order_by(records.c.id).limit(4)).scalars().all()
    )
    if not found:
        raise NotFound(f"No record's id begins with {beginning!r}.")
    if len(found) > 1:
        raise BadInput(f"{beginning!r} is the beginning of several ids: {', '.join(found[:3])} … Give more of it.")
    return found[0]


def of_kind(tx: Transaction, kind: str) -> list[str]:
    """The ids of all records of a kind, oldest first."""
    return list(tx.execute(sa.select(records.c.id).where(records.c.kind == kind).order_by(records.c.created_at, records.c.id)).scalars())


def parents(tx: Transaction, id: str) -> list[tuple[str, str]]:
    """(role, id) of each record that this one was made from."""
    rows = tx.execute(sa.select(links.c.role, links.c.parent).where(links.c.child == id).order_by(links.c.role))
    return [(role, parent) for role, parent in rows]


def children(tx: Transaction, id: str) -> list[tuple[str, str]]:
    """(role, id) of each record that was made from this one."""
    rows = tx.execute(sa.select(links.c.role, links.c.child).where(links.c.parent == id).order_by(links.c.child))
    return [(role, child) for role, child in rows]


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
    missing = sa.select(links.c.child, links.c.role, links.c.parent).where(~sa.exists().where(records.c.id == links.c.parent))
    return [(child, role, parent) for child, role, parent in tx.execute(missing)]
