"""Pins: what a person wants kept, whatever else becomes of it."""

from __future__ import annotations

import time

import msgspec

from everloop.core.errors import NotFound, unknown
from everloop.store import ledger, records, registry, runs
from everloop.store.blobs import Blobs
from everloop.store.database import Transaction


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is a record's, a run's, or a version's name (`loop/3`). All that it was made from is kept with it."""

    id: str
    reason: str
    by: str
    at: float


def add(tx: Transaction, blobs: Blobs, beginning: str, *, reason: str, by: str) -> Pin:
    """Pin a record, a run or a version; a unique beginning of its id will do. A second pin replaces the reason.

    NotFound when there is no such thing, or its data was collected already.
    """
    id, loop = _meant(tx, blobs, beginning)
    pin = Pin(id=id, reason=reason, by=by, at=time.time())
    tx.sql(
        "INSERT INTO pins (id, reason, by, at) VALUES (:id, :reason, :by, :at) "
        "ON CONFLICT (id) DO UPDATE SET reason = excluded.reason, by = excluded.by, at = excluded.at",
        msgspec.structs.asdict(pin),
    )
    ledger.append(tx, loop=loop, rule="pin", action="pin", reason=reason or "A person wants it kept.", about=(id,), actor=by)
    return pin


def remove(tx: Transaction, beginning: str, *, by: str) -> Pin:
    """Let go of a pin. NotFound, with the closest, when there is none."""
    known = find(tx)
    found = [pin for pin in known if pin.id == beginning] or [pin for pin in known if pin.id.startswith(beginning)]
    if len(found) != 1:
        raise unknown("Pin", beginning, [pin.id for pin in known])
    tx.sql("DELETE FROM pins WHERE id = :id", {"id": found[0].id})
    ledger.append(tx, loop="", rule="pin", action="unpin", reason=f"The pin was: {found[0].reason}", about=(found[0].id,), actor=by)
    return found[0]


def find(tx: Transaction) -> list[Pin]:
    """All pins, oldest first."""
    return [Pin(id=id, reason=reason, by=by, at=at) for id, reason, by, at in tx.sql("SELECT id, reason, by, at FROM pins ORDER BY at, id")]


def _meant(tx: Transaction, blobs: Blobs, beginning: str) -> tuple[str, str]:
    """(full id, loop)."""
    if beginning.startswith("run-"):
        run = runs.one(tx, beginning)
        return run.id, run.loop
    if "/" in beginning:
        entry = registry.by_alias(tx, *beginning.rsplit("/", 1))
        return entry.name, entry.loop
    id = records.resolve(tx, beginning)
    for child in (id, *(parent for _, _, parent in records.ancestry(tx, id))):
        record = records.load(tx, child, records.Record)
        for field, (where, name) in record.keeps().items():
            if not (blobs.has(name) if where == "blob" else blobs.has_tree(name)):
                raise NotFound(
                    f"{id} cannot be pinned: the {field} of {child} is not in the store any more. Run again to make it anew, and pin that."
                )
    return id, ""
