"""A workspace in which much has happened, written by the store's own functions, and a server over it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import msgspec
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI

from everloop.core.labelling import Queue
from everloop.core.live import Prediction, Window
from everloop.core.models import Candidate, Evaluation, Metric, Signature, Version
from everloop.core.profiles import Profile
from everloop.core.record import COLLECTED, Record
from everloop.core.runs import Run, Step, StepStatus
from everloop.core.tables import Chunk, Column, Prepared, Snapshot
from everloop.core.verdict import Finding, Verdict
from everloop.store import annotations, captures, datasets, labels, ledger, records, registry, runs
from everloop.store.schema import pages
from everloop.store.workspace import Workspace

SCRIPT = "<script>alert('x')</script>"


@dataclass(frozen=True)
class World:
    """Ids worth asking about."""

    workspace: Workspace
    loop: str
    run: str
    refused: str
    prediction: str
    page: str
    suppressed: str
    snapshot: str
    window: str
    verdict: str


def accuracy(value: float, n: int = 360) -> Metric:
    return Metric(name="accuracy", value=value, n=n, low=value - 0.02, high=min(1.0, value + 0.015))


def lineage(loop: str, content: str, value: float) -> list[Record]:
    """From a snapshot to a version, as one run makes them."""
    columns = (Column("pixel_0", "float"), Column("digit", "int"))
    parts = ({"locator": f"{content}.csv", "sha256": "ab" * 32, "rows": 1797},)
    snapshot = Snapshot(
        dataset=loop,
        content=content,
        chunks=(Chunk(blob=COLLECTED, rows=1797, bytes=0, digest="d" * 64),),
        rows=1797,
        columns=columns,
        source="files: data/*.csv",
        origins=parts,
    )
    profile = Profile(about=snapshot.id, rows=1797, columns=())
    prepared = Prepared(
        snapshot=snapshot.id, target="digit", features=columns[:1], task="classification", split="s", transform="t",
        rows={"train": 1077, "valid": 360, "test": 360},
    )  # fmt: skip
    candidate = Candidate(
        prepared=prepared.id, model=content * 8, signature=Signature(inputs=columns[:1], output=columns[1], task="classification"), flavor="sklearn",
        trusted=True, estimator="LogisticRegression", params={"C": 1.0}, seed=7, environment={"scikit-learn": "1.9.1"},
    )  # fmt: skip
    evaluation = Evaluation(
        candidate=candidate.id, prepared=prepared.id, part="test", metrics=(accuracy(value), Metric(name="log_loss", value=0.13, n=360))
    )
    verdict = Verdict(
        question="good enough to release?",
        about=evaluation.id,
        findings=(Finding(check="at_least", passed=True, message=f"accuracy {value} is at least 0.9", observed=value, limit=0.9),),
    )
    version = Version(loop=loop, candidate=candidate.id, evaluation=evaluation.id, verdict=verdict.id)
    return [snapshot, profile, prepared, candidate, evaluation, verdict, version]


def finished_run(
    workspace: Workspace, loop: str, made: list[Record], *, status: str = "done", error: str = "", reason: str = "a person asked"
) -> Run:
    """A run whose steps made these records."""
    with workspace.write() as tx:
        decision = ledger.append(tx, loop=loop, rule="manual", action="start_run", reason=reason, actor="ada")
        run = runs.claim(tx, runs.queue(tx, loop, "cycle", decision=decision.id, options={"params": {"C": 1.0}}).id)
        assert run is not None
        records.keep(tx, *made)
        for seq, record in enumerate(made):
            kind: StepStatus = "hit" if seq < 2 else "done"
            step = Step(
                run=run.id, seq=seq, name=f"make_{record.kind}", key=f"{seq:064x}", status=kind, started_at=run.started_at or 0,
                ended_at=(run.started_at or 0) + 0.3 * seq, output=record.id, because="the same input and code" if kind == "hit" else "C changed",
            )  # fmt: skip
            runs.put_step(tx, step)
        runs.finish(tx, run.id, status, error=error, result={"summary": f"{len(made)} records"} if not error else {})  # type: ignore[arg-type]
        return runs.get(tx, run.id)


def populate(workspace: Workspace, loop: str = "digits") -> World:
    """Two versions (champion 1, canary 2), windows that decline, a page that did not get through, a suppressed decision, a refused run."""
    first = lineage(loop, "aaaaaaaa", 0.962)
    run = finished_run(workspace, loop, first)
    second = lineage(loop, "bbbbbbbb", 0.971)
    finished_run(workspace, loop, second, reason="new rows")
    now = time.time()
    with workspace.write() as tx:
        for made in (first, second):
            version = made[-1]
            assert isinstance(version, Version)
            entry = registry.register(tx, version, model=made[3].model, run=run.id)  # type: ignore[attr-defined]
            ledger.append(
                tx, loop=loop, rule="gate", action="register", reason="the gate passed", about=[entry.name, version.id], actor="everloop"
            )
        empty = registry.deployment(tx, loop)
        deployed = msgspec.structs.replace(
            empty, champion=1, challenger=2, stage="canary", share=0.1, since=now - 600, champion_since=now - 90_000
        )
        registry.deploy(tx, deployed, replacing=empty)
        ledger.append(tx, loop=loop, rule="rollout", action="canary", reason="shadow agreed", about=[f"{loop}/2"], actor="everloop")

    writer = captures.Writer(workspace.predictions, loop)
    id = writer.next_id()
    writer.append(
        [Prediction(id=id, loop=loop, version=1, role="champion", at=now - 60, features=[0.5], output=3, probabilities=[0.1, 0.9])]
    )
    writer.close()

    windows: list[Window] = []
    with workspace.write() as tx:
        labels.add(tx, loop, {id: 3})
        for place, value in enumerate((0.96, 0.955, 0.961, 0.94, 0.9, 0.81)):
            profile = Profile(about="", rows=500 + place, columns=())
            window = Window(
                loop=loop, version=1, first=500 * place, rows=500, start=now - 3600 * (6 - place), end=now - 3600 * (5 - place) - 60,
                profile=profile.id, estimated=accuracy(value, 500), realised=accuracy(value - 0.01, 300) if place < 5 else None, labelled=300 if place < 5 else 0,
            )  # fmt: skip
            drop = Finding(
                check="estimated_performance",
                passed=value > 0.85,
                message=f"estimated accuracy {value} is below 0.92",
                observed=value,
                limit=0.92,
            )
            drift = Finding(check="feature_drift", passed=False, message="pixel_0 moved", subject="pixel_0", severity="info")
            verdict = Verdict(question="still good?", about=window.id, findings=(drop, drift))
            records.keep(tx, profile, window, verdict)
            windows.append(window)
        registry.put_cursor(tx, loop, "monitor", {"latest": {"1": [windows[-1].id, verdict.id]}})
        page = ledger.append(
            tx, loop=loop, rule="performance_drop", action="page", reason=f"estimated accuracy fell {SCRIPT}", about=[windows[-1].id],
            evidence={"estimated": 0.81, "note": SCRIPT}, actor="scheduler",
        )  # fmt: skip
        held = ledger.append(
            tx, loop=loop, rule="performance_drop", action="start_run", outcome="suppressed", reason="cool-down until 04:00", about=[windows[-1].id],
            actor="scheduler",
        )  # fmt: skip
        row = {"decision": page.id, "sink": "file", "loop": loop, "delivered_at": None, "tries": 3, "error": "disk <full>"}
        tx.execute(sa.insert(pages).values(row))
        ledger.append(
            tx,
            loop=loop,
            rule="performance_drop",
            action="start_run",
            reason="the cool-down is over",
            about=[windows[-1].id],
            actor="scheduler",
        )
    with workspace.write() as tx:
        datasets.note(tx, first[0], mode="full", by=run.id, project="/home/ada")
        annotations.open_queue(
            tx, Queue(name="sms", dataset=loop, snapshot=first[0].id, target="digit", choices=("spam", "ham"), instruction=SCRIPT)
        )
        annotations.put_items(tx, "sms", [("row-0", 0, 0)])
    third = lineage(loop, "cccccccc", 0.7)
    refused = finished_run(
        workspace, loop, third[:-2], status="refused", error=f"accuracy 0.7 is below 0.9 {SCRIPT}", reason="performance fell"
    )
    return World(
        workspace=workspace, loop=loop, run=run.id, refused=refused.id, prediction=id, page=page.id, suppressed=held.id,
        snapshot=first[0].id, window=windows[-1].id, verdict=verdict.id,
    )  # fmt: skip


@contextmanager
def serving(app: FastAPI) -> Iterator[httpx.Client]:
    """The app behind a real socket; a client that is at its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="none", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
