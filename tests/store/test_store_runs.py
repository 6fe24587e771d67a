from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import sqlalchemy as sa
from tests_store_programs import claim

from everloop.core.errors import Conflict, NotFound
from everloop.core.runs import Step
from everloop.store import runs
from everloop.store.database import Database
from everloop.store.schema import runs as runs_table


def queued(database: Database, **options: object) -> str:
    with database.write() as tx:
        return runs.queue(tx, "a", "cycle", decision="decision-1", options=options).id


def test_a_run_goes_from_queued_to_done(database: Database) -> None:
    id = queued(database, set={"alpha": 1})
    with database.write() as tx:
        assert runs.get(tx, id).status == "queued"
        run = runs.claim(tx, id)
        assert run is not None
        assert (run.status, run.process, run.options) == ("running", runs.this_process(), {"set": {"alpha": 1}})
        assert runs.claim(tx, id) is None
        runs.finish(tx, id, "done", result={"version": 3})
        ended = runs.get(tx, id)
        assert (ended.status, ended.result) == ("done", {"version": 3})
        assert ended.queued_at <= (ended.started_at or 0) <= (ended.ended_at or 0)
        assert [item.id for item in runs.find(tx, beginning=id[:-3])] == [id]
        assert runs.find(tx, beginning="run%") == runs.find(tx, loop="b") == runs.find(tx, status="queued") == []
        with pytest.raises(NotFound):
            runs.get(tx, "run-0")


def test_of_processes_that_claim_the_same_run_one_gets_it(database_url: str, database: Database, spawn: Callable[..., Any]) -> None:
    ids = [queued(database) for _ in range(6)]
    claimed = [process.hear() for process in [spawn(claim, database_url, *ids) for _ in range(3)]]
    assert sorted(id for each in claimed for id in each) == sorted(ids)


def test_runs_of_a_killed_process_are_marked_and_queued_again(database_url: str, database: Database, spawn: Callable[..., Any]) -> None:
    background, foreground, alive = queued(database, window=1), queued(database, foreground=True), queued(database)
    doomed, living = spawn(claim, database_url, background, foreground), spawn(claim, database_url, alive)
    assert doomed.hear() == [background, foreground]
    assert living.hear() == [alive]
    with database.write() as tx:
        assert runs.requeue_crashed(tx) == ([], [])
    doomed.kill()
    deadline = time.monotonic() + 10
    crashed: list[Any] = []
    again: list[Any] = []
    while len(crashed) < 2 and time.monotonic() < deadline:
        with database.write() as tx:
            found = runs.requeue_crashed(tx)
        crashed += found[0]
        again += found[1]
    assert {run.id for run in crashed} == {background, foreground}
    (new,) = again
    assert (new.status, new.decision, new.options) == ("queued", "decision-1", {"window": 1, "attempt": 2})
    with database.write() as tx:
        assert runs.get(tx, background).status == runs.get(tx, foreground).status == "crashed"
        assert runs.get(tx, alive).status == "running"
        assert runs.requeue_crashed(tx) == ([], [])


def test_what_takes_its_process_down_again_and_again_stays_down(database: Database) -> None:
    id = queued(database, window=1)
    tried = 0
    while id:
        tried += 1
        process = subprocess.Popen(["sleep", "600"])
        name = f"{runs.this_process().rsplit(':', 2)[0]}:{process.pid}:{psutil.Process(process.pid).create_time():.2f}"
        with database.write() as tx:
            assert runs.claim(tx, id) is not None
            tx.execute(sa.update(runs_table).where(runs_table.c.id == id).values(process=name))
        process.kill()
        process.wait()
        with database.write() as tx:
            crashed, again = runs.requeue_crashed(tx)
        assert [run.id for run in crashed] == [id]
        id = again[0].id if again else ""
    assert tried == runs.MAX_ATTEMPTS


def test_a_cancelled_run_ends_at_once_unless_it_runs(database: Database) -> None:
    waiting, running, done = queued(database), queued(database), queued(database)
    with database.write() as tx:
        assert runs.claim(tx, running)
        assert runs.claim(tx, done)
        runs.finish(tx, done, "done")
        assert {runs.cancel_asked(tx, id) for id in (waiting, running, done)} == {""}
        cancelled = runs.cancel(tx, waiting, "me")
        assert (cancelled.status, cancelled.cancelled_by, cancelled.ended_at is not None) == ("cancelled", "me", True)
        assert runs.claim(tx, waiting) is None
        asked = runs.cancel(tx, running, "me")
        assert (asked.status, asked.ended_at, runs.cancel_asked(tx, running)) == ("running", None, "me")
        assert runs.cancel(tx, running, "somebody else").cancelled_by == "me"
        runs.finish(tx, running, "waiting")
        assert runs.cancel(tx, running, "you").status == "cancelled"
        for id, status in ((done, "done"), (waiting, "cancelled")):
            with pytest.raises(Conflict, match=f"ended already, as '{status}'"):
                runs.cancel(tx, id, "me")
        assert runs.get(tx, done).cancelled_by == ""
        with pytest.raises(NotFound):
            runs.cancel(tx, "run-0", "me")
        assert runs.cancel_asked(tx, "run-0") == ""


def test_many_steps_at_once(database: Database) -> None:
    steps = [Step(run="run-1", seq=at, name=f"s{at}", key="k", status="running", inputs={"x": "%:y"}) for at in range(200)]
    done = [msgspec.structs.replace(step, status="done", attempts=1) for step in steps[50:]]
    with database.write() as tx:
        runs.put_steps(tx, steps)
        runs.put_steps(tx, done)
        runs.put_steps(tx, [])
        assert runs.steps_of(tx, "run-1") == steps[:50] + done


def test_the_engines_questions_are_answered_from_an_index(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/everloop.db")
    entries = [
        runs.Cached(key=f"k{at}", step="fit", type="record", output="o", blob="b", code="c", created_at=float(at)) for at in range(10_000)
    ]
    with database.write() as tx:
        for entry in entries:
            runs.put_cached(tx, entry)
        assert runs.last_cached(tx, "fit") == entries[-1]
    questions: dict[str, dict[str, object]] = {
        runs._LAST_CACHED: {"step": "fit"},
        runs._CACHED_UNDER: {"key": "k1"},
        runs._GET: {"id": "run-1"},
        runs._STEPS_OF: {"run": "run-1"},
        runs._MADE_BY: {"output": "o"},
        runs._CANCEL_ASKED: {"id": "run-1"},
    }
    with database.read() as tx:
        for question, params in questions.items():
            plan = [str(row[3]) for row in tx.sql(f"EXPLAIN QUERY PLAN {question}", params)]
            assert plan[0].startswith("SEARCH"), (question, plan)
            # Sorted by the index, but for the few steps that made one output.
            assert plan[1:] == [] or question == runs._MADE_BY, (question, plan)
    database.close()


def test_steps_and_cache_entries_replace_themselves(database: Database) -> None:
    id = queued(database)
    first = Step(run=id, seq=1, name="fit", key="k", status="running", started_at=1.0)
    done = Step(run=id, seq=1, name="fit", key="k", status="done", started_at=1.0, ended_at=2.0, output="candidate-1", inputs={"a": "b"})
    hit = Step(run=id, seq=2, name="fit", key="k", status="hit", started_at=0.5, output="candidate-1")
    entry = runs.Cached(key="k", step="fit", type="record", output="o", blob="b", code="c", detail={"x": 1}, created_at=1.0)
    newer = runs.Cached(key="l", step="fit", type="record", output="o", blob="b", code="d", created_at=2.0)
    with database.write() as tx:
        for step in (first, done, hit):
            runs.put_step(tx, step)
        assert runs.steps_of(tx, id) == [done, hit]
        assert runs.made_by(tx, "candidate-1") == done
        assert runs.made_by(tx, "none") is None
        for item in (entry, newer, entry):
            runs.put_cached(tx, item)
        assert runs.cached(tx, "k") == entry
        assert runs.cached(tx, "none") is None
        assert runs.last_cached(tx, "fit") == newer
