"""Results that stay in memory for the next steps, up to a limit: a run of ten thousand tables does not hold ten thousand tables."""

from __future__ import annotations

from collections import OrderedDict

from everloop.engine import artifacts
from everloop.engine.artifacts import Artifact

LIMIT_BYTES = 256 * 1024 * 1024


class Memory:
    """The results used last, by artifact. What is not here is loaded from the store."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._values: OrderedDict[tuple[str, str], tuple[object, int]] = OrderedDict()
        self._bytes = 0

    def put(self, artifact: Artifact, value: object) -> None:
        """Keep what may be kept of a value that was just saved: what equals a loaded one and cannot change afterwards."""
        kept = artifacts.keepsake(artifact, value)
        if kept is None:
            return
        size = artifacts.size_of(kept)
        if size > self.limit_bytes:
            return
        self._drop(artifact[:2])
        self._values[artifact[:2]] = kept, size
        self._bytes += size
        while self._bytes > self.limit_bytes:
            self._drop(next(iter(self._values)))

    def get(self, artifact: Artifact) -> object | None:
        found = self._values.get(artifact[:2])
        if found is None:
            return None
        self._values.move_to_end(artifact[:2])
        return found[0]

    def _drop(self, name: tuple[str, str]) -> None:
        found = self._values.pop(name, None)
        if found is not None:
            self._bytes -= found[1]
