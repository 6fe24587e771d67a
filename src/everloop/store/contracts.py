"""The schema that a version's data was held against, kept when it is released, for whoever checks rows against it later."""

from __future__ import annotations

from everloop.core.schemas import Schema
from everloop.store import records, registry
from everloop.store.database import Transaction
from everloop.store.registry import Registered


def keep(tx: Transaction, version: Registered, schema: Schema) -> None:
    records.keep(tx, schema)
    registry.put_cursor(tx, version.loop, _name(version), {"schema": schema.id})


def find(tx: Transaction, version: Registered) -> Schema | None:
    """None for a version that was released without one."""
    id = registry.cursor(tx, version.loop, _name(version)).get("schema")
    return records.load(tx, id, Schema) if id else None


def _name(version: Registered) -> str:
    return f"contract/{version.number}"
