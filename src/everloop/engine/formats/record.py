"""Nouns: kept as records, their id is the output."""

from __future__ import annotations

from everloop.core.errors import NotFound
from everloop.core.record import Record
from everloop.engine.artifacts import Artifact, Kept
from everloop.store import records
from everloop.store.blobs import Blobs
from everloop.store.database import Transaction


class RecordFormat:
    def takes(self, value: object) -> bool:
        return isinstance(value, Record)

    def save(self, blobs: Blobs, value: Record) -> Kept:
        return Kept(value.id, "", (value,))

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        return records.load(tx, artifact.output, Record)

    def present(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> bool:
        try:
            records.load(tx, artifact.output, Record)
        except NotFound:
            return False
        return True

    def duplicate(self, value: Record) -> object:
        return value
