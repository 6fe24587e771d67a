"""A store with a past: runs whose steps made results of every kind, as the engine writes them, for tests of what becomes of it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from everloop.core.artifacts import Artifact, Reached
from everloop.core.models import Candidate, Evaluation, Signature, Version
from everloop.core.record import Record
from everloop.core.runs import RunStatus, Step, StepStatus
from everloop.core.tables import Chunk, Column, Prepared, Snapshot
from everloop.core.verdict import Finding, Verdict, verdict
from everloop.store import ledger, records, registry, renewal, runs
from everloop.store.blobs import Blobs
from everloop.store.collector import Collected, collect
from everloop.store.database import Transaction
from everloop.store.retention import Retention
from everloop.store.runs import Cached
from everloop.store.workspace import Workspace

HOUR_S = 3600.0
# So much later than it happened it is looked at: all that was made for real is older than the grace.
LATER_S = 2 * HOUR_S


def reaches(blobs: Blobs, artifact: Artifact) -> Iterator[Reached]:
    """As the engine's: plain blobs, folders, records, and lists of such."""
    match artifact.type:
        case "json":
            yield "blob", artifact.blob
        case "folder":
            yield "tree", artifact.blob
        case "record":
            yield "record", artifact.output
        case "list":
            yield "blob", artifact.blob
            for member in json.loads(blobs.get(artifact.blob)):
                yield from reaches(blobs, Artifact(*member))


def gc(workspace: Workspace, *, after_s: float = LATER_S, dry_run: bool = False, **retention: float) -> Collected:
    return collect(
        workspace,
        reaches,
        retention=Retention(**retention),
        now=time.time() + after_s,
        actor="test",
        dry_run=dry_run,
        claim=True,  # type: ignore[arg-type]
    )


def blob(workspace: Workspace, text: str) -> Artifact:
    name = workspace.blobs.put(json.dumps(text).encode())
    return Artifact("json", name, name)


def tree(workspace: Workspace, folder: Path, text: str) -> Artifact:
    place = folder / secrets.token_hex(4)
    place.mkdir(parents=True)
    (place / "weights").write_text(text)
    name = workspace.blobs.put_tree(place)
    return Artifact("folder", name, name)


def several(workspace: Workspace, *members: Artifact) -> Artifact:
    name = workspace.blobs.put(json.dumps(members).encode())
    return Artifact("list", name, name)


def of(record: Record) -> Artifact:
    return Artifact("record", record.id, "")


def snapshot(workspace: Workspace, text: str, *, file: str = "") -> Snapshot:
    """Of equal `text` equal; `file` is how its table happens to be written."""
    table = workspace.blobs.put(f"table {text} {file}".encode())
    return Snapshot(
        dataset="d",
        content=text,
        chunks=(Chunk(blob=table, rows=1, bytes=1, digest=text),),
        rows=1,
        columns=(Column("a", "int"),),
        source="here",
    )


def prepared(workspace: Workspace, snapshot: Snapshot) -> Prepared:
    put = workspace.blobs.put
    split, transform = put(f"split {snapshot.id}".encode()), put(f"transform {snapshot.id}".encode())
    return Prepared(snapshot=snapshot.id, target="a", features=(), task="regression", split=split, transform=transform, rows={})


def model(workspace: Workspace, folder: Path, data: Prepared) -> tuple[Candidate, Evaluation, Verdict]:
    signature = Signature(inputs=(), output=Column("a", "float"), task="regression")
    stored = tree(workspace, folder, f"model of {data.id}").blob
    candidate = Candidate(
        prepared=data.id, model=stored, signature=signature, flavor="f", trusted=True, estimator="e", params={}, seed=0, environment={}
    )
    golden = workspace.blobs.put(f"golden {data.id}".encode())
    evaluation = Evaluation(candidate=candidate.id, prepared=data.id, part="test", metrics=(), golden=golden)
    return candidate, evaluation, verdict("gate", evaluation.id, [Finding(check="c", passed=True, message="m")])


def run(
    workspace: Workspace,
    *results: Artifact,
    status: RunStatus = "done",
    pipeline: str = "p",
    kept: tuple[Record, ...] = (),
    hits: tuple[tuple[str, Artifact], ...] = (),
    options: dict[str, object] | None = None,
) -> str:
    """A run whose steps made `results`, under keys that are the results' own names, and found `hits`."""
    with workspace.write() as tx:
        queued = runs.queue(tx, "", pipeline, decision="", options=options)
        runs.claim(tx, queued.id)
        records.keep(tx, *kept)
        for seq, artifact in enumerate(results, start=1):
            _cache(tx, queued.id, artifact)
            _step(tx, queued.id, seq, key_of(artifact), "done", artifact)
        for seq, (key, artifact) in enumerate(hits, start=len(results) + 1):
            _step(tx, queued.id, seq, key, "hit", artifact)
        if status not in ("running", "waiting"):
            runs.finish(tx, queued.id, status)
    return queued.id


def key_of(artifact: Artifact) -> str:
    return artifact.output.rjust(64, "0")[-64:]


def finish(workspace: Workspace, id: str) -> None:
    with workspace.write() as tx:
        runs.finish(tx, id, "done")


def _step(tx: Transaction, run: str, seq: int, key: str, status: StepStatus, artifact: Artifact) -> None:
    row = Step(run=run, seq=seq, name="s", key=key, status=status, output=artifact.output, type=artifact.type, blob=artifact.blob)
    runs.put_step(tx, row)


def _cache(tx: Transaction, run: str, artifact: Artifact) -> None:
    key, (type, output, blob) = key_of(artifact), artifact
    runs.put_cached(tx, Cached(key=key, step="s", type=type, output=output, blob=blob, code="c", run=run, created_at=1.0))


def a_version(workspace: Workspace, folder: Path, text: str = "data") -> tuple[str, list[Record]]:
    """A whole cycle, registered: (run, all its records)."""
    data = snapshot(workspace, text)
    ready = prepared(workspace, data)
    candidate, evaluation, judged = model(workspace, folder, ready)
    version = Version(loop="l", candidate=candidate.id, evaluation=evaluation.id, verdict=judged.id)
    made = [data, ready, candidate, evaluation, judged]
    id = run(workspace, *map(of, made), kept=(*made, version))
    with workspace.write() as tx:
        registry.register(tx, version, model=candidate.model, run=id)
    return id, [*made, version]


def fresh(workspace: Workspace, path: str) -> None:
    """Make a file look as if it was put just before the collection looks."""
    assert workspace.blobs.folder is not None
    at = time.time() + LATER_S - 60
    os.utime(workspace.blobs.folder / path, (at, at))


def put_for_ever(say: Callable[[Any], None], location: str, folder: Path, times: int, locked: bool = True) -> None:
    """Put the same blob and folder again whenever they are old; say which were gone right after that."""
    blobs = Blobs(location, cache=Path(location))
    if not locked:
        renewal.sharing = renewal.deleting = contextlib.nullcontext  # type: ignore[assignment]
    folder.mkdir()
    (folder / "f").write_bytes(b"f")
    data = b"x" * 1000
    name, tree = blobs.put(data), blobs.put_tree(folder)
    paths = Path(location) / name[:2] / name, Path(location) / "trees" / tree
    lost: list[str] = []
    for _ in range(times):
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                os.utime(path, (1.0, 1.0))
        # Until here it may be deleted, and from here on no more.
        try:
            blobs.put(data)
            lost += [] if blobs.has(name) else [name]
            blobs.put_tree(folder)
            lost += [] if blobs.has_tree(tree) else [tree]
        except OSError as error:
            lost.append(str(error))
        if lost:
            break
    say(lost)


def collect_for_ever(say: Callable[[Any], None], project: Path, place: dict[str, Any]) -> None:
    with Workspace(project, **place) as workspace:
        say("began")
        while True:
            gc(workspace, keep_runs=1)


def work_for_ever(say: Callable[[Any], None], project: Path, place: dict[str, Any], gate: Path, name: str) -> None:
    """Runs of which each makes what the one before made too, written in every order of tables that is in use."""
    with Workspace(project, **place) as workspace:
        at = 0
        while not gate.exists():
            at += 1
            with workspace.write() as tx:
                ledger.append(tx, loop="l", rule="r", action="start_run", reason="r", actor=name)
                id = runs.queue(tx, "l", "p", decision="").id
                runs.claim(tx, id)
            made = blob(workspace, f"shared {at // 7}"), blob(workspace, f"{name} {at}")
            data = snapshot(workspace, f"shared {at // 5}")
            with workspace.write() as tx:
                for seq, artifact in enumerate((*made, of(data)), start=1):
                    _step(tx, id, seq, key_of(artifact), "done", artifact)
                    _cache(tx, id, artifact)
                records.keep(tx, data, snapshot(workspace, f"{name} {at}"))
            with workspace.write() as tx:
                runs.finish(tx, id, "done")
                ledger.append(tx, loop="l", rule="r", action="done", reason="r", about=(id,), actor=name)
    say(at)
