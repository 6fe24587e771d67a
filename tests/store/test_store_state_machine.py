"""The store against a plain model of it: whatever is done in whatever order, both say the same, also after a roll-back and a reopening."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from everloop.core.errors import Conflict, NotFound
from everloop.core.runs import Run, Step
from everloop.core.tables import Chunk, Prepared, Snapshot
from everloop.store import records, runs
from everloop.store.database import Database, Transaction
from everloop.store.schema import runs as runs_table
from everloop.store.schema import steps as steps_table

KEYS, NAMES = st.sampled_from("kl"), st.sampled_from(["fit", "score"])
STATUSES = st.sampled_from(["done", "failed", "stopped", "waiting"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


class TakenBack(Exception): ...


class Model:
    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.steps: dict[tuple[str, int], Step] = {}
        self.cache: dict[str, runs.Cached] = {}
        self.records: dict[str, Snapshot | Prepared] = {}


class Store(RuleBasedStateMachine):
    queued = Bundle("queued")

    @initialize()
    def open_fresh(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.database = self._open()
        self.model = Model()
        self.clock = 0.0

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.database.close()
            shutil.rmtree(self.folder)

    @rule()
    def reopen(self) -> None:
        self.database.close()
        self.database = self._open()

    @rule(target=queued, loop=TEXTS, options=st.dictionaries(TEXTS, st.integers(-9, 9), max_size=2), keep=st.booleans())
    def queue(self, loop: str, options: dict[str, object], keep: bool) -> str:
        made: list[Run] = []

        def act(tx: Transaction, model: Model) -> None:
            made.append(runs.queue(tx, loop, "p", decision="", options=options))
            model.runs[made[0].id] = made[0]

        self._write(act, keep=keep)
        return made[0].id

    @rule(id=queued, keep=st.booleans())
    def claim(self, id: str, keep: bool) -> None:
        def act(tx: Transaction, model: Model) -> None:
            claimed = runs.claim(tx, id)
            known = model.runs.get(id)
            assert (claimed is not None) == (known is not None and known.status == "queued")
            if claimed and known:
                expected = msgspec.structs.replace(known, status="running", started_at=claimed.started_at, process=runs.this_process())
                assert claimed == expected
                model.runs[id] = expected

        self._write(act, keep=keep)

    @rule(id=queued, status=STATUSES, error=TEXTS, keep=st.booleans())
    def finish(self, id: str, status: Any, error: str, keep: bool) -> None:
        def act(tx: Transaction, model: Model) -> None:
            runs.finish(tx, id, status, error=error, result={"error": error})
            if id in model.runs:
                ended_at = runs.get(tx, id).ended_at
                # Waiting for a person is no end.
                assert (ended_at is None) is (status == "waiting")
                model.runs[id] = msgspec.structs.replace(
                    model.runs[id], status=status, error=error, result={"error": error}, ended_at=ended_at
                )

        self._write(act, keep=keep)

    @rule(id=queued, by=st.sampled_from(["me", "you"]), keep=st.booleans())
    def cancel(self, id: str, by: str, keep: bool) -> None:
        def act(tx: Transaction, model: Model) -> None:
            known = model.runs.get(id)
            try:
                cancelled = runs.cancel(tx, id, by)
            except NotFound:
                assert known is None
                return
            except Conflict:
                assert known is not None
                assert known.status not in ("queued", "running", "waiting")
                return
            assert known is not None
            expected = msgspec.structs.replace(known, cancelled_by=known.cancelled_by or by)
            if known.status != "running":
                expected = msgspec.structs.replace(expected, status="cancelled", ended_at=cancelled.ended_at)
            assert cancelled == expected
            model.runs[id] = expected

        self._write(act, keep=keep)

    @rule(id=queued, numbers=st.lists(st.integers(1, 3), max_size=3), name=NAMES, key=KEYS, status=STATUSES, keep=st.booleans())
    def put_steps(self, id: str, numbers: list[int], name: str, key: str, status: Any, keep: bool) -> None:
        made = [Step(run=id, seq=at, name=name, key=key, status=status, inputs={"n": name}, started_at=self._now()) for at in numbers]

        def act(tx: Transaction, model: Model) -> None:
            runs.put_steps(tx, made[1:])
            for step in made[:1]:
                runs.put_step(tx, step)
            model.steps |= {(step.run, step.seq): step for step in (*made[1:], *made[:1])}

        self._write(act, keep=keep)

    @rule(key=KEYS, name=NAMES, output=TEXTS, keep=st.booleans())
    def put_cached(self, key: str, name: str, output: str, keep: bool) -> None:
        entry = runs.Cached(key=key, step=name, type="t", output=output, blob="b", code="c", detail={"o": [output]}, created_at=self._now())

        def act(tx: Transaction, model: Model) -> None:
            runs.put_cached(tx, entry)
            model.cache[key] = entry

        self._write(act, keep=keep)

    @rule(content=KEYS, source=TEXTS, keep=st.booleans())
    def keep_records(self, content: str, source: str, keep: bool) -> None:
        snapshot = Snapshot(
            dataset="d", content=content, chunks=(Chunk(blob="t", rows=1, bytes=1, digest="d"),), rows=1, columns=(), source=source
        )
        prepared = Prepared(snapshot=snapshot.id, target="y", features=(), task="regression", split="p", transform="t", rows={"train": 1})

        def act(tx: Transaction, model: Model) -> None:
            records.keep(tx, snapshot, prepared)
            for record in (snapshot, prepared):
                model.records.setdefault(record.id, record)

        self._write(act, keep=keep)

    @invariant()
    def says_what_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        model = self.model
        with self.database.read() as tx:
            found = runs.find(tx)
            assert {run.id: run for run in found} == model.runs
            assert [(run.queued_at, run.id) for run in found] == sorted(((run.queued_at, run.id) for run in found), reverse=True)
            for id, run in model.runs.items():
                assert runs.cancel_asked(tx, id) == run.cancelled_by
                assert runs.steps_of(tx, id) == [step for (owner, _), step in sorted(model.steps.items()) if owner == id]
            for key in "kl":
                assert runs.cached(tx, key) == model.cache.get(key)
            for name in ("fit", "score"):
                entries = [entry for entry in model.cache.values() if entry.step == name]
                assert runs.last_cached(tx, name) == max(entries, key=lambda entry: entry.created_at, default=None)
            for id, record in model.records.items():
                assert records.load(tx, id, type(record)) == record
            assert records.dangling(tx) == []
            assert sorted(records.of_kind(tx, "snapshot")) == sorted(id for id, kept in model.records.items() if kept.kind == "snapshot")
            # SQLAlchemy, over the same connection, counts the same.
            assert tx.execute(sa.select(sa.func.count()).select_from(runs_table)).scalar_one() == len(model.runs)
            assert tx.execute(sa.select(sa.func.count()).select_from(steps_table)).scalar_one() == len(model.steps)

    def _write(self, act: Callable[[Transaction, Model], None], *, keep: bool) -> None:
        """Act on the store and on a copy of the model, which counts only when the transaction is kept."""
        copy = deepcopy(self.model)
        try:
            with self.database.write() as tx:
                act(tx, copy)
                if not keep:
                    raise TakenBack
        except TakenBack:
            return
        self.model = copy

    def _now(self) -> float:
        self.clock += 1
        return self.clock

    def _open(self) -> Database:
        return Database(f"sqlite:///{self.folder}/everloop.db")


Store.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestStore = Store.TestCase
