"""Nouns: kept as records, their id is the output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from everloop.core.artifacts import Artifact, Kept, Reached
from everloop.core.errors import NotFound
from everloop.core.record import Record

if TYPE_CHECKING:
    from everloop.store.blobs import Blobs
    from everloop.store.database import Transaction


class RecordFormat:
    def takes(self, value: object) -> bool:
        return isinstance(value, Record)

    def save(self, blobs: Blobs, value: Record) -> Kept:
        return Kept(value.id, "", (value,))

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        from everloop.store import records

        return records.load(tx, artifact.output, Record)

    def present(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> bool:
        from everloop.store import records

        try:
            records.load(tx, artifact.output, Record)
        except NotFound:
            return False
        return True

    def duplicate(self, value: Record) -> object:
        return value

    def reached(self, blobs: Blobs, artifact: Artifact) -> Iterator[Reached]:
        yield "record", artifact.output
