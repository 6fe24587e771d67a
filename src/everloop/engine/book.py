"""What the store is told of a run by its coordinator, and asked: rows of steps, kept results, what is known under a key."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from everloop.core.runs import Run, Step
from everloop.engine import artifacts
from everloop.engine.artifacts import MEMORY, Artifact
from everloop.engine.keys import Key, because
from everloop.engine.memory import Memory
from everloop.engine.past import Past, past
from everloop.store import records, runs
from everloop.store.runs import Cached
from everloop.store.workspace import Workspace

if TYPE_CHECKING:
    from everloop.core.record import Record
    from everloop.engine.call import Call
    from everloop.store.database import Transaction

# Rows of hits are written together: a killed run may lack the last of them, which nothing depends on.
_ROWS_TOGETHER = 100


class Made(NamedTuple):
    """What a body came to; the bytes are in the blob store already."""

    call: Call
    artifact: Artifact
    records: tuple[Record, ...]


class Book:
    """Used under the coordinator's lock, but for `value` and `fresh`."""

    def __init__(self, workspace: Workspace, run: Run) -> None:
        self._workspace = workspace
        self._run = run
        self._later: list[Step] = []
        self._pasts: dict[str, Past] = {}
        self._memory = Memory()

    def begin(self, tx: Transaction, call: Call) -> None:
        """The body of this call runs from now on."""
        self._write(tx)
        change(call, status="running", started_at=time.time(), attempts=max(1, call.attempt))
        runs.put_step(tx, call.row)

    def keep(self, made: Iterable[Made]) -> None:
        """Results become rows, all in one transaction: records, cache, steps."""
        now = time.time()
        with self._workspace.write() as tx:
            self._write(tx)
            for call, artifact, kept in made:
                if kept:
                    records.keep(tx, *kept)
                if not call.step.settings.effect:
                    runs.put_cached(tx, self._cached(call, artifact, now))
                _name(call, artifact, status="done", ended_at=now, attempts=call.attempt)
                runs.put_step(tx, call.row)

    def hit(self, call: Call, artifact: Artifact) -> None:
        _name(call, artifact, status="hit", because="hit", ended_at=time.time())
        self._later.append(call.row)
        if len(self._later) >= _ROWS_TOGETHER:
            self.write()

    def end(self, call: Call) -> None:
        """The row of a call that came to nothing."""
        with self._workspace.write() as tx:
            self._write(tx)
            runs.put_step(tx, call.row)

    def write(self) -> None:
        """All rows that are not written yet."""
        if self._later:
            with self._workspace.write() as tx:
                self._write(tx)

    def _write(self, tx: Transaction) -> None:
        if self._later:
            runs.put_steps(tx, self._later)
            self._later = []

    def found(self, tx: Transaction, wanted: Key) -> Artifact | None:
        """What the cache holds under a key, if all of it is still there."""
        entry = runs.cached(tx, wanted.digest)
        if entry is None:
            return None
        artifact = Artifact(entry.type, entry.output, entry.blob)
        return artifact if artifacts.present(tx, self._workspace.blobs, artifact) else None

    def why(self, step: str, missed: Key) -> str:
        """Why there is no result under a key."""
        if step not in self._pasts:
            self._pasts[step] = past(self._workspace, step, self._run.id)
        return because(missed.detail, self._pasts[step].closest(missed.detail))

    def remember(self, artifact: Artifact, value: object) -> None:
        """Keep a value that was just made for those who need it next."""
        self._memory.put(artifact, value)

    def value(self, call: Call, artifact: Artifact) -> object:
        if artifact.type == MEMORY:
            return call.value
        value = self._memory.get(artifact)
        return self._load(artifact) if value is None else value

    def fresh(self, call: Call, artifact: Artifact, known: object | None) -> object:
        """A value that its user may change. `known` is the value, if somebody has it."""
        if artifact.type == MEMORY:
            return call.value
        value = self._memory.get(artifact)
        return artifacts.duplicate(artifact, known if value is None else value, lambda: self._load(artifact))

    def _load(self, artifact: Artifact) -> object:
        with self._workspace.read() as tx:
            return artifacts.load(tx, self._workspace.blobs, artifact)

    def _cached(self, call: Call, artifact: Artifact, now: float) -> Cached:
        assert call.key is not None
        return Cached(
            key=call.key.digest,
            step=call.step.name,
            type=artifact.type,
            output=artifact.output,
            blob=artifact.blob,
            code=call.key.code,
            detail=call.key.detail,
            run=self._run.id,
            created_at=now,
        )


def change(call: Call, **changes: Any) -> None:
    """What the row of a call says from now on, or when it is written next."""
    call.row = msgspec.structs.replace(call.row, **changes)


def _name(call: Call, artifact: Artifact, **changes: Any) -> None:
    call.artifact = artifact
    change(call, output=artifact.output, type=artifact.type, blob=artifact.blob, **changes)
