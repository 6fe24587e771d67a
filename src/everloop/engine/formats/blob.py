"""What formats share that keep everything in one blob."""

from __future__ import annotations

from everloop.engine.artifacts import Artifact
from everloop.store.blobs import Blobs
from everloop.store.database import Transaction


class InBlob:
    def present(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> bool:
        return blobs.has(artifact.blob)

    def duplicate(self, value: object) -> object | None:
        return None
