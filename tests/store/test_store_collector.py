"""The collector: what is reached is never deleted, what is not and is old always is, whoever works or dies meanwhile."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests_store_history import (
    HOUR_S,
    LATER_S,
    a_version,
    blob,
    collect_for_ever,
    finish,
    fresh,
    gc,
    key_of,
    of,
    prepared,
    put_for_ever,
    reaches,
    run,
    several,
    snapshot,
    tree,
    work_for_ever,
)

from everloop.core.artifacts import Artifact
from everloop.core.errors import Busy, Conflict, NotFound
from everloop.core.live import Deployment, Window
from everloop.core.profiles import Profile
from everloop.core.record import COLLECTED
from everloop.core.runs import Step
from everloop.core.tables import Snapshot
from everloop.core.verdict import verdict
from everloop.store import alone, collector, ledger, pins, records, registry, runs, sweep
from everloop.store.blobs import Blobs
from everloop.store.locks import file_lock
from everloop.store.retention import Age, Retention, dropped
from everloop.store.soundness import orphans, unsound
from everloop.store.workspace import Workspace


def lying(workspace: Workspace) -> set[tuple[str, str]]:
    return {(found.kind, found.name) for found in sweep.listing(workspace.blobs)}


def has(workspace: Workspace, artifact: Artifact) -> bool:
    return all(where in lying(workspace) for where in reaches(workspace.blobs, artifact) if where[0] != "record")


def in_records(workspace: Workspace, id: str) -> bool:
    with workspace.read() as tx:
        return tx.sql("SELECT count(*) FROM records WHERE id = :id", {"id": id}).value() == 1


def in_runs(workspace: Workspace, id: str) -> bool:
    with workspace.read() as tx:
        return any(found.id == id for found in runs.find(tx))


def is_cached(workspace: Workspace, artifact: Artifact) -> bool:
    with workspace.read() as tx:
        return runs.cached(tx, key_of(artifact)) is not None


# What is reached.


def test_without_being_asked_no_run_is_dropped_and_only_orphans_go(workspace: Workspace, tmp_path: Path) -> None:
    kept = [
        blob(workspace, "a"),
        tree(workspace, tmp_path / "in", "b"),
        several(workspace, blob(workspace, "c"), tree(workspace, tmp_path / "in", "d")),
    ]
    data = snapshot(workspace, "e")
    id = run(workspace, *kept, of(data), kept=(data,))
    orphan, lost = blob(workspace, "orphan"), tree(workspace, tmp_path / "in", "lost")
    with workspace.write() as tx:
        records.keep(tx, stray := snapshot(workspace, "stray"))
    found = gc(workspace)
    assert {kind: freed.count for kind, freed in found.freed.items() if freed.count} == {"records": 1, "blobs": 2, "trees": 1}
    assert found.freed["blobs"].bytes == len('"orphan"') + len("table stray ")
    assert found.freed["trees"].bytes == len("lost")
    assert found.bytes == found.freed["blobs"].bytes + found.freed["trees"].bytes + found.freed["records"].bytes > 0
    assert in_runs(workspace, id)
    assert all(has(workspace, artifact) and is_cached(workspace, artifact) for artifact in kept)
    assert not workspace.blobs.has(orphan.blob)
    assert not workspace.blobs.has_tree(lost.blob)
    assert not in_records(workspace, stray.id)
    assert workspace.blobs.has(data.chunks[0].blob)
    assert unsound(workspace, reaches) == []
    assert gc(workspace).count == 0


def test_a_dropped_run_takes_with_it_what_only_it_had(workspace: Workspace, tmp_path: Path) -> None:
    shared, own, found_again = blob(workspace, "shared"), blob(workspace, "own"), blob(workspace, "found again")
    data = snapshot(workspace, "data")
    first = run(workspace, shared, own, found_again, of(data), kept=(data,))
    second = run(workspace, shared, hits=((key_of(found_again), found_again),))
    collected = gc(workspace, keep_runs=1)
    assert collected.runs == (first,)
    assert {kind: freed.count for kind, freed in collected.freed.items() if freed.count} == {
        "runs": 1, "steps": 4, "results": 2, "records": 1, "blobs": 2,
    }  # fmt: skip
    assert in_runs(workspace, second)
    assert is_cached(workspace, shared)
    # A kept run found it under this key: whoever asks again shall find it too, though the run that made it is gone.
    assert is_cached(workspace, found_again)
    assert has(workspace, found_again)
    assert not is_cached(workspace, own)
    assert not workspace.blobs.has(own.blob)
    assert not workspace.blobs.has(data.chunks[0].blob)
    assert unsound(workspace, reaches) == []


def test_versions_stay_with_all_that_they_were_made_from(workspace: Workspace, tmp_path: Path) -> None:
    id, made = a_version(workspace, tmp_path / "in")
    with workspace.write() as tx:
        registry.deploy(tx, Deployment(loop="l", champion=1), replacing=Deployment(loop="l"))
    before = lying(workspace)
    assert gc(workspace, keep_runs=0).count == 0
    assert in_runs(workspace, id), "the run that made a version stays"
    assert all(in_records(workspace, record.id) for record in made)
    assert lying(workspace) == before
    assert unsound(workspace, reaches) == []


def test_what_a_decision_mentions_stays_as_a_row_but_not_its_data(workspace: Workspace, tmp_path: Path) -> None:
    data = snapshot(workspace, "refused")
    ready = prepared(workspace, data)
    judged = verdict("schema", data.id, [])
    run(workspace, of(data), of(ready), kept=(data, ready, judged))
    with workspace.write() as tx:
        ledger.append(tx, loop="l", rule="gate", action="refuse", reason="r", about=(ready.id, judged.id), actor="a", at=1.0)
    collected = gc(workspace, keep_runs=0)
    assert collected.freed["blobs"].count == 3
    assert collected.freed["records"].count == 0
    assert all(in_records(workspace, record.id) for record in (data, ready, judged))
    with workspace.read() as tx:
        assert records.dangling(tx) == []
        assert records.load(tx, data.id, Snapshot).chunks[0].blob == COLLECTED
        assert ledger.verify(tx) == []
    assert unsound(workspace, reaches) == []


def test_data_that_was_collected_is_taken_anew_under_its_old_name(workspace: Workspace) -> None:
    """Equal data has the same id, but another version of the file's writer may give other bytes."""
    old = snapshot(workspace, "data", file="written by 1.0")
    run(workspace, of(old), kept=(old,))
    with workspace.write() as tx:
        ledger.append(tx, loop="l", rule="r", action="a", reason="r", about=(old.id,), actor="a", at=1.0)
    gc(workspace, keep_runs=0)
    new = snapshot(workspace, "data", file="written by 2.0")
    assert new.id == old.id
    assert new.chunks[0].blob != old.chunks[0].blob
    run(workspace, of(new), kept=(new,))
    with workspace.read() as tx:
        assert workspace.blobs.get(records.load(tx, new.id, Snapshot).chunks[0].blob)
    assert unsound(workspace, reaches) == []
    # What is whole stays as it was: somebody may be reading the table that its row names.
    third = snapshot(workspace, "data", file="written by 3.0")
    with workspace.write() as tx:
        records.keep(tx, third)
    with workspace.read() as tx:
        assert records.load(tx, new.id, Snapshot).chunks[0].blob == new.chunks[0].blob


def test_what_monitoring_saw_stays(workspace: Workspace, tmp_path: Path) -> None:
    _, made = a_version(workspace, tmp_path / "in")
    about = made[-1].id
    seen = Profile(about=about, rows=1, columns=())
    window = Window(loop="l", version=1, first=0, rows=1, start=0.0, end=1.0, profile=seen.id)
    judged, reference = verdict("monitoring", window.id, []), Profile(about=about, rows=2, columns=())
    with workspace.write() as tx:
        records.keep(tx, seen, window, judged, reference)
        registry.put_cursor(tx, "l", "monitor", {"reference": {"1": reference.id}})
    assert gc(workspace, keep_runs=0).count == 0
    assert all(in_records(workspace, record.id) for record in (seen, window, judged, reference))


def test_what_goes_on_or_waits_is_never_dropped(workspace: Workspace) -> None:
    artifacts = [blob(workspace, name) for name in ("running", "waiting", "queued")]
    for artifact, status in zip(artifacts, ("running", "waiting", "queued"), strict=True):
        id = run(workspace, artifact, status="running")
        with workspace.write() as tx:
            tx.sql("UPDATE runs SET status = :status, process = '' WHERE id = :id", {"status": status, "id": id})
    collected = gc(workspace, keep_runs=0, older_than_s=0.0)
    assert collected.count == 0
    assert all(has(workspace, artifact) for artifact in artifacts)


def test_a_snapshot_that_a_waiting_run_shall_begin_with_stays(workspace: Workspace) -> None:
    data = snapshot(workspace, "asked for")
    run(workspace, of(data), kept=(data,))
    with workspace.write() as tx:
        runs.queue(tx, "l", "cycle", decision="", options={"snapshot": data.id[:20]})
    collected = gc(workspace, keep_runs=0)
    assert collected.freed["runs"].count == 1
    assert in_records(workspace, data.id)
    assert workspace.blobs.has(data.chunks[0].blob)


# Pins.


def test_a_pinned_record_stays_with_its_ancestors_until_the_pin_is_taken_off(workspace: Workspace) -> None:
    data = snapshot(workspace, "d")
    ready = prepared(workspace, data)
    run(workspace, of(data), of(ready), kept=(data, ready))
    with workspace.write() as tx:
        assert pins.add(tx, workspace.blobs, ready.id[:20], reason="paper", by="me").id == ready.id
        assert [pin.reason for pin in pins.find(tx)] == ["paper"]
    gc(workspace, keep_runs=0)
    assert in_records(workspace, data.id)
    assert all(workspace.blobs.has(name) for name in (data.chunks[0].blob, ready.split, ready.transform))
    assert unsound(workspace, reaches) == []
    with workspace.write() as tx:
        pins.remove(tx, ready.id[:20], by="me")
        assert [decision.action for decision in ledger.find(tx, about=ready.id)] == ["pin", "unpin"]
    gc(workspace)
    # The ledger tells of the pin, so that the rows stay; the data does not.
    assert in_records(workspace, ready.id)
    assert not any(workspace.blobs.has(name) for name in (data.chunks[0].blob, ready.split, ready.transform))
    with workspace.write() as tx, pytest.raises(NotFound, match="is not in the store any more"):
        pins.add(tx, workspace.blobs, ready.id, reason="", by="me")


def test_a_pinned_run_stays_with_its_results(workspace: Workspace) -> None:
    artifact, other = blob(workspace, "kept"), blob(workspace, "not kept")
    pinned, _ = run(workspace, artifact), run(workspace, other)
    with workspace.write() as tx:
        pins.add(tx, workspace.blobs, pinned, reason="", by="me")
    collected = gc(workspace, keep_runs=0)
    assert in_runs(workspace, pinned)
    assert has(workspace, artifact)
    assert not has(workspace, other)
    assert collected.freed["runs"].count == 1


def test_a_pin_on_nothing_is_refused(workspace: Workspace) -> None:
    for id in ("snapshot-0000", "run-0000", "l/3"):
        with workspace.write() as tx, pytest.raises(NotFound):
            pins.add(tx, workspace.blobs, id, reason="", by="me")
    with workspace.write() as tx, pytest.raises(NotFound, match="None is known"):
        pins.remove(tx, "snapshot-0000", by="me")


# Which runs.


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["done", "failed", "running", "queued"]), st.integers(0, 100)), max_size=20),
    st.one_of(st.none(), st.integers(0, 5)),
    st.one_of(st.none(), st.integers(0, 100)),
    st.sets(st.integers(0, 19)),
)
def test_only_finished_runs_beyond_the_limits_are_dropped(
    rows: list[tuple[str, str, int]], keep: int | None, age: int | None, held_at: set[int]
) -> None:
    ages = [Age(f"run-{at:02}", "", pipeline, status, 1000.0 - old) for at, (pipeline, status, old) in enumerate(rows)]
    held = {f"run-{at:02}" for at in held_at}
    gone = dropped(ages, Retention(keep_runs=keep, older_than_s=age), now=1000.0, held=held)
    by_id = {run.id: run for run in ages}
    assert gone.isdisjoint(held)
    finished = [one for one in ages if one.status in ("done", "failed")]
    for one in map(by_id.__getitem__, gone):
        assert one in finished
        assert keep is None or len([other for other in finished if other.pipeline == one.pipeline and other.at >= one.at]) > keep
        assert age is None or one.at < 1000.0 - age
    if (keep, age) == (None, None):
        assert not gone
    elif keep in (None, 0):
        assert gone == {one.id for one in finished if age is None or one.at < 1000.0 - age} - held


def test_a_run_that_is_talked_about_stays_as_long_as_others_do(workspace: Workspace) -> None:
    first = run(workspace)
    with workspace.write() as tx:
        tx.sql("UPDATE runs SET ended_at = 1.0")
        ledger.append(tx, loop="l", rule="r", action="promote", reason="r", about=(first,), actor="a")
    assert gc(workspace, older_than_s=100 * HOUR_S).count == 0
    assert gc(workspace, older_than_s=HOUR_S).runs == (first,)


# Saying what it did.


def test_a_dry_run_says_what_a_collection_then_does(workspace: Workspace, tmp_path: Path) -> None:
    data = snapshot(workspace, "x")
    run(workspace, blob(workspace, "a"), tree(workspace, tmp_path / "in", "b"), of(data), kept=(data,))
    run(workspace, blob(workspace, "c"))
    blob(workspace, "orphan")
    logs = workspace.home / "logs"
    (logs / "run-0123456789").mkdir(parents=True)
    (logs / "run-0123456789" / "00001-s.log").write_text("printed")
    before = lying(workspace)
    foreseen = gc(workspace, dry_run=True, after_s=48 * HOUR_S, keep_runs=1)
    assert lying(workspace) == before
    assert foreseen.dry_run
    assert foreseen.freed["logs"] == collector.Freed(1, 7)
    done = gc(workspace, after_s=48 * HOUR_S, keep_runs=1)
    assert msgspec.structs.replace(done, dry_run=True) == foreseen
    assert done.count > 6
    assert not (logs / "run-0123456789").exists()


def test_a_collection_leaves_a_decision_and_one_that_frees_nothing_none(workspace: Workspace) -> None:
    blob(workspace, "orphan")
    gc(workspace, dry_run=True)
    gc(workspace)
    gc(workspace)
    with workspace.read() as tx:
        (decision,) = ledger.find(tx, action="collect")
        assert ledger.verify(tx) == []
    assert decision.actor == "test"
    assert decision.evidence["blobs"] == 1
    assert "1 blobs" in decision.reason


def test_logs_of_dropped_runs_and_old_locks_go(workspace: Workspace) -> None:
    gone, kept = run(workspace), run(workspace)
    logs, locks = workspace.home / "logs", workspace.home / "locks"
    locks.mkdir(exist_ok=True)
    for id in (gone, kept):
        (logs / id).mkdir(parents=True)
        (logs / f"{id}.log").write_text("x")
    for path in (logs / "up.log", locks / f"{'a' * 64}.lock", locks / f"{'b' * 64}.lock", locks / "mine.lock"):
        path.write_text("")
    with file_lock(locks / f"{'b' * 64}.lock"):
        collected = gc(workspace, after_s=48 * HOUR_S, keep_runs=1)
    assert {path.name for path in logs.iterdir()} == {kept, f"{kept}.log", "up.log"}
    assert {path.name for path in locks.iterdir()} == {f"{'b' * 64}.lock", "mine.lock", "collector.lock"}
    assert collected.freed["logs"].count == 2
    assert collected.freed["locks"].count == 1


# What is old enough.


def test_what_is_young_is_left_alone_and_goes_when_it_is_old(workspace: Workspace) -> None:
    orphan = blob(workspace, "young")
    with workspace.write() as tx:
        records.keep(tx, record := snapshot(workspace, "young"))
    collected = gc(workspace, after_s=HOUR_S / 2)
    assert collected.count == 0
    assert collected.young == 1, "the blob of a young record is reached by it"
    assert has(workspace, orphan)
    assert in_records(workspace, record.id)
    assert gc(workspace).freed["blobs"].count == 2


def test_putting_something_again_makes_it_young(workspace: Workspace, tmp_path: Path) -> None:
    for kind in ("blob", "tree", "large"):
        place = tmp_path / kind
        place.mkdir()
        (place / "f").write_bytes(kind.encode())

        def put(kind: str = kind, place: Path = place) -> str:
            blobs = workspace.blobs
            return blobs.put(b"x") if kind == "blob" else blobs.put_tree(place) if kind == "tree" else blobs.put_file(place / "f")

        name = put()
        path = workspace.blobs.folder / ("trees" if kind == "tree" else name[:2]) / name  # type: ignore[operator]
        os.utime(path, (1.0, 1.0))
        assert put() == name
        assert time.time() - path.stat().st_mtime < 60, kind


def test_nothing_is_deleted_that_was_put_since_the_oldest_run_began(workspace: Workspace) -> None:
    """A body may keep a blob at its beginning and name it in its result days later."""
    before = blob(workspace, "before")
    os.utime(workspace.blobs.folder / before.blob[:2] / before.blob, (1.0, 1.0))  # type: ignore[operator]
    id = run(workspace, status="running")
    during = blob(workspace, "during")
    collected = gc(workspace, after_s=1000 * HOUR_S)
    assert not has(workspace, before)
    assert has(workspace, during)
    assert collected.going_on == 1
    finish(workspace, id)
    gc(workspace, after_s=1000 * HOUR_S)
    assert not has(workspace, during)


def test_a_run_whose_process_is_gone_holds_nothing_up(workspace: Workspace) -> None:
    id = run(workspace, status="running")
    with workspace.write() as tx:
        _, pid, start = (process := runs.get(tx, id).process).split(":")
        gone = process.replace(f":{pid}:", ":999999999:")
        assert start
        tx.sql("UPDATE runs SET process = :gone WHERE id = :id", {"gone": gone, "id": id})
    orphan = blob(workspace, "left by it")
    assert gc(workspace).going_on == 0
    assert not has(workspace, orphan)
    assert in_runs(workspace, id)


def test_leftovers_of_killed_puts_go_after_a_day(workspace: Workspace) -> None:
    place = workspace.blobs.folder
    assert place is not None
    (place / "trees").mkdir()
    (place / "ab").mkdir()
    (place / ".incoming-1").write_bytes(b"12345")
    (place / "ab" / ".incoming-2").write_bytes(b"12345")
    (place / "trees" / ".incoming-3").mkdir()
    (place / "trees" / ".incoming-3" / "f").write_bytes(b"12345")
    (place / "trees" / ".damaged-4").mkdir()
    (place / "trees" / ".damaged-4" / "f").write_bytes(b"12345")
    (place / "ab" / "somebody else's").write_bytes(b"")
    (place / "notes.txt").write_bytes(b"")
    assert gc(workspace).count == 0
    collected = gc(workspace, after_s=25 * HOUR_S)
    assert collected.freed["leftovers"] == collector.Freed(4, 20)
    left = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert left - {".collecting", "everloop-database"} == {"ab/somebody else's", "notes.txt"}


def test_cache_rows_whose_blobs_are_gone_are_removed(workspace: Workspace, tmp_path: Path) -> None:
    data = snapshot(workspace, "d")
    whole, gone, member = blob(workspace, "whole"), tree(workspace, tmp_path / "in", "gone"), blob(workspace, "member")
    bundle = several(workspace, member)
    run(workspace, whole, gone, bundle, of(data), kept=(data,))
    shutil.rmtree(workspace.blobs.tree(gone.blob))
    place = workspace.blobs.folder
    assert place is not None
    for name in (member.blob, data.chunks[0].blob):
        (place / name[:2] / name).unlink()
    wrong = unsound(workspace, reaches)
    assert len(wrong) == 5, "two rows each of the folder and the list, and a record"
    assert gc(workspace).freed["results"].count == 3
    assert [artifact for artifact in (whole, gone, bundle, of(data)) if is_cached(workspace, artifact)] == [whole]


# While others work.


class Meanwhile:
    """Does something once, in the middle of a collection's first look: when it asks what `artifact` needs."""

    def __init__(self, artifact: Artifact, what: Callable[[], object]) -> None:
        self.artifact = artifact
        self.what: Callable[[], object] | None = what

    def __call__(self, blobs: Blobs, artifact: Artifact) -> Iterator[Any]:
        if artifact == self.artifact and self.what is not None:
            what, self.what = self.what, None
            thread = threading.Thread(target=what)
            thread.start()
            thread.join()
        yield from reaches(blobs, artifact)


def collect_while(workspace: Workspace, artifact: Artifact, what: Callable[[], object], **retention: float) -> collector.Collected:
    asked = Meanwhile(artifact, what)
    collected = collector.collect(
        workspace,
        asked,
        retention=Retention(**retention),
        now=time.time() + LATER_S,
        actor="t",
        claim=True,  # type: ignore[arg-type]
    )
    assert asked.what is None, "it was not asked"
    return collected


def test_what_is_made_again_while_a_collection_looks_stays(workspace: Workspace) -> None:
    anchor, orphan = blob(workspace, "anchor"), blob(workspace, "made again")
    data = snapshot(workspace, "made again")
    run(workspace, anchor)
    with workspace.write() as tx:
        records.keep(tx, data)
        tx.sql("UPDATE records SET created_at = 1.0")

    def again() -> None:
        # As a step does: put, found there; then the rows.
        made = blob(workspace, "made again"), of(snapshot(workspace, "made again"))
        for artifact in (made[0].blob, data.chunks[0].blob):
            fresh(workspace, f"{artifact[:2]}/{artifact}")
        run(workspace, *made, kept=(data,))

    collect_while(workspace, anchor, again)
    assert has(workspace, orphan)
    assert in_records(workspace, data.id)
    assert workspace.blobs.has(data.chunks[0].blob)
    assert unsound(workspace, reaches) == []


def test_what_a_new_row_names_stays_however_old_it_is(workspace: Workspace) -> None:
    """Without a put: the rows alone must do."""
    anchor, orphan = blob(workspace, "anchor"), blob(workspace, "found")
    run(workspace, anchor)
    collect_while(workspace, anchor, lambda: run(workspace, orphan))
    assert has(workspace, orphan)
    assert unsound(workspace, reaches) == []


def test_a_transaction_that_is_not_committed_yet_is_waited_for(workspace: Workspace) -> None:
    """It found a record there, and is about to commit a row that needs it."""
    anchor = blob(workspace, "anchor")
    data = snapshot(workspace, "found there")
    run(workspace, anchor)
    with workspace.write() as tx:
        records.keep(tx, data)
        tx.sql("UPDATE records SET created_at = 1.0")
    kept = threading.Event()

    def writes() -> None:
        with workspace.write() as tx:
            records.keep(tx, data)
            queued = runs.queue(tx, "", "p", decision="")
            runs.finish(tx, queued.id, "done")
            row = Step(run=queued.id, seq=1, name="s", key="k", status="done", output=data.id, type="record")
            kept.set()
            time.sleep(1.0)  # long enough for a collector that does not wait
            runs.put_step(tx, row)

    writer = threading.Thread(target=writes)

    def begin() -> None:
        writer.start()
        assert kept.wait(30)

    collect_while(workspace, anchor, begin)
    writer.join()
    assert in_records(workspace, data.id)
    assert unsound(workspace, reaches) == []


def test_a_run_that_is_pinned_while_a_collection_looks_is_not_dropped(workspace: Workspace) -> None:
    own, anchor = blob(workspace, "own"), blob(workspace, "anchor")
    first = run(workspace, own)
    run(workspace, anchor)

    def pin() -> None:
        with workspace.write() as tx:
            pins.add(tx, workspace.blobs, first, reason="", by="me")

    assert collect_while(workspace, anchor, pin, keep_runs=1).runs == ()
    assert in_runs(workspace, first)
    assert has(workspace, own)
    assert is_cached(workspace, own)


def test_a_hit_that_is_not_written_yet_finds_its_result(workspace: Workspace) -> None:
    """A run reads the cache, and writes its row later; between the two the row of the cache may be deleted, but not what it named."""
    member = blob(workspace, "member")
    bundle, other = several(workspace, member), blob(workspace, "other")
    data = snapshot(workspace, "d")
    run(workspace, bundle, of(data), other, kept=(data,))
    going_on = run(workspace, status="running")
    with workspace.read() as tx:
        hit = runs.cached(tx, key_of(bundle))
    assert hit is not None
    for _ in range(2):
        collected = gc(workspace, keep_runs=0)
        assert not is_cached(workspace, bundle), "nobody else shall find it"
        assert has(workspace, bundle)
        assert workspace.blobs.has(data.chunks[0].blob)
        assert in_records(workspace, data.id)
    assert collected.waiting == 0, "the first collection said so"
    # The row comes at last.
    with workspace.write() as tx:
        tx.sql("UPDATE runs SET status = 'done', ended_at = 1.0 WHERE id = :id", {"id": going_on})
    run(workspace, status="done", hits=((key_of(bundle), bundle),))
    gc(workspace)
    assert has(workspace, bundle)
    assert not has(workspace, other)
    assert not in_records(workspace, data.id)
    assert unsound(workspace, reaches) == []


def test_one_collection_at_a_time(workspace: Workspace) -> None:
    with alone.one_collection(workspace), pytest.raises(Busy):
        gc(workspace)
    with workspace.write() as tx:
        assert ledger.find(tx) == []


def test_a_put_that_finds_its_content_is_not_undone_by_a_collector(tmp_path: Path, spawn: Callable[..., Any]) -> None:
    """One process puts the same old blob and folder again and again, another deletes them whenever they are old."""
    putter = spawn(put_for_ever, str(tmp_path / "blobs"), tmp_path / "in", 800)
    while not (tmp_path / "blobs" / "trees").is_dir():
        time.sleep(0.01)
    blobs = Blobs(str(tmp_path / "blobs"), cache=tmp_path / "cache")
    deleted = 0
    while not putter._ear.poll():
        deleted += len(list(sweep.remove(blobs, list(sweep.listing(blobs)), before=1000.0, left_before=0.0)))
    assert putter.hear() == []
    assert deleted > 100, "they never met"


def test_the_race_is_real(tmp_path: Path, spawn: Callable[..., Any]) -> None:
    """The same without the lock: something that was put is gone."""
    putter = spawn(put_for_ever, str(tmp_path / "blobs"), tmp_path / "in", 100_000, False)
    while not (tmp_path / "blobs" / "trees").is_dir():
        time.sleep(0.01)
    blobs = Blobs(str(tmp_path / "blobs"), cache=tmp_path / "cache")
    while not putter._ear.poll():
        list(sweep.remove(blobs, list(sweep.listing(blobs)), before=1000.0, left_before=0.0))
    assert putter.hear() != []


# While it is killed.


def test_a_collection_that_is_killed_leaves_a_sound_store(tmp_path: Path, database_url: str, spawn: Callable[..., Any]) -> None:
    place = {"home": tmp_path / "home", "database_url": database_url, "blobs": str(tmp_path / "blobs")}
    chance = random.Random(7)
    with Workspace(tmp_path, **place) as workspace:  # type: ignore[arg-type]
        shared = blob(workspace, "shared")
        survivors: list[Artifact] = [shared]
        for round in range(8):
            for at in range(40):
                made = (
                    blob(workspace, f"{round} {at}"),
                    several(workspace, blob(workspace, f"{round} {at} m"), shared),
                    tree(workspace, tmp_path / "in", f"{round} {at}"),
                )
                data = snapshot(workspace, f"{round} {at}")
                run(workspace, *made, of(data), shared, kept=(data,))
                if at == 39:
                    survivors = [*made, shared]
            process = spawn(collect_for_ever, tmp_path, place)
            assert process.hear() == "began"
            time.sleep(chance.uniform(0.0, 0.25))  # any moment will do
            process.kill()
            process.rest()
            assert unsound(workspace, reaches) == []
            assert all(has(workspace, artifact) for artifact in survivors)
        gc(workspace, keep_runs=1, after_s=48 * HOUR_S)
        assert unsound(workspace, reaches) == []
        assert [len(left) for left in orphans(workspace, reaches)] == [0] * 5
        assert all(has(workspace, artifact) for artifact in survivors)
        with workspace.read() as tx:
            assert ledger.verify(tx) == []
            assert tx.sql("SELECT count(*) FROM runs").value() == 1


def test_collections_go_on_beside_processes_that_write(
    tmp_path: Path, database_url: str, spawn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "_CLOCKS_S", 0.1)
    place = {"home": tmp_path / "home", "database_url": database_url, "blobs": str(tmp_path / "blobs")}
    gate = tmp_path / "enough"
    with Workspace(tmp_path, **place) as workspace:  # type: ignore[arg-type]
        writers = [spawn(work_for_ever, tmp_path, place, gate, f"writer {at}") for at in range(3)]
        freed = collections = 0
        while collections < 8 or freed < 20:
            # No grace: all that keeps what the runs need is that they go on, and their rows.
            freed += collector.collect(
                workspace, reaches, retention=Retention(keep_runs=2), now=time.time(), actor="t", grace_s=0.0, claim=True
            ).count
            collections += 1
        gate.touch()
        assert all(writer.hear() > 0 for writer in writers)
        for writer in writers:
            writer.done()
        assert unsound(workspace, reaches) == []
        with workspace.read() as tx:
            assert ledger.verify(tx) == []


# Whose the blobs are.


def test_blobs_elsewhere_are_collected_only_when_they_are_said_to_be_ours(tmp_path: Path) -> None:
    shared = str(tmp_path / "shared")
    with Workspace(tmp_path / "a", blobs=shared) as one, Workspace(tmp_path / "b", blobs=shared) as two:
        theirs = blob(two, "theirs")
        run(two, theirs)
        with pytest.raises(Conflict, match="--claim-blobs"):
            collector.collect(one, reaches, now=time.time() + LATER_S, actor="t")
        assert gc(two).count == 0
        with pytest.raises(Conflict, match="belongs to another database"):
            gc(one)
        assert has(two, theirs)
        assert collector.collect(two, reaches, now=time.time() + LATER_S, actor="t").count == 0
    with Workspace(tmp_path / "c") as own:
        blob(own, "x")
        assert collector.collect(own, reaches, now=time.time() + LATER_S, actor="t").count == 1
