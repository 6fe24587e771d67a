"""Registered versions in a real workspace, and traffic for a rollout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from everloop.core.live import Deployment, Prediction, Role
from everloop.core.models import Candidate, Evaluation, Metric, Signature
from everloop.core.tables import Chunk, Column, Prepared, Snapshot
from everloop.core.verdict import Finding, Verdict
from everloop.release.register import register
from everloop.release.traffic import ERRORS
from everloop.store import captures, labels, records, registry
from everloop.store.registry import Registered
from everloop.store.workspace import Workspace

LOOP = "digits"
CLASSES = Signature(inputs=(Column("x", "float"),), output=Column("y", "int"), task="classification", classes=("0", "1"))
NUMBERS = Signature(inputs=CLASSES.inputs, output=Column("y", "float"), task="regression")


def made(workspace: Workspace, seed: int, *, passed: bool = True, signature: Signature = CLASSES) -> tuple[Candidate, Evaluation, Verdict]:
    """A candidate with its evaluation and gate verdict, its lineage kept."""
    snapshot = Snapshot(
        dataset=LOOP,
        content="c" * 64,
        chunks=(Chunk(blob="t" * 64, rows=1, bytes=1, digest="d" * 64),),
        rows=10,
        columns=signature.inputs,
        source="files: x.csv",
    )
    prepared = Prepared(snapshot=snapshot.id, target="y", features=signature.inputs, task=signature.task, split="s", transform="t", rows={})
    candidate = Candidate(
        prepared=prepared.id, model=f"{seed:064d}", signature=signature, flavor="sklearn", trusted=True, estimator="E", params={},
        seed=seed, environment={},
    )  # fmt: skip
    evaluation = Evaluation(candidate=candidate.id, prepared=prepared.id, part="test", metrics=(Metric(name="accuracy", value=0.9, n=100),))
    verdict = Verdict(question="gate", about=evaluation.id, findings=(Finding(check="at_least", passed=passed, message="accuracy 0.9"),))
    with workspace.write() as tx:
        records.keep(tx, snapshot, prepared)
    return candidate, evaluation, verdict


def version(workspace: Workspace, seed: int, *, signature: Signature = CLASSES) -> Registered:
    candidate, evaluation, verdict = made(workspace, seed, signature=signature)
    return register(workspace, loop=LOOP, candidate=candidate, evaluation=evaluation, verdict=verdict, run=f"run-{seed}", actor="test")


def deployment(workspace: Workspace) -> Deployment:
    with workspace.read() as tx:
        return registry.deployment(tx, LOOP)


class Traffic:
    """What servers would capture, at a clock of its own."""

    def __init__(self, workspace: Workspace, seed: int = 0, at: float = 1000.0) -> None:
        self.workspace = workspace
        self.rng = np.random.default_rng(seed)
        self.writer = captures.Writer(workspace.predictions, LOOP)
        self.at = at

    def send(self, rows: int, version: int, role: Role = "champion", *, output: Any = 0) -> list[Prediction]:
        return self._write([(version, role, "", output) for _ in range(rows)])

    def mirror(self, rows: int, champion: int, shadow: int, *, agree: float = 1.0) -> list[Prediction]:
        """Answers of the champion, each copied to the shadow; the answers given."""
        given = self.send(rows, champion)
        self._write([(shadow, "shadow", p.id, 0 if self.rng.random() < agree else 1) for p in given])
        return given

    def label(self, predictions: Sequence[Prediction], *, wrong: float) -> None:
        """Labels under which this part of the answers is wrong, to the nearest row."""
        bad = round(wrong * len(predictions))
        values = {p.id: (1 if i < bad else 0) for i, p in enumerate(predictions)}
        with self.workspace.write() as tx:
            labels.add(tx, LOOP, values)

    def fail(self, version: int, errors: int) -> None:
        with self.workspace.write() as tx:
            registry.put_cursor(tx, LOOP, ERRORS, {"version": version, "errors": errors, "requests": errors})

    def _write(self, rows: Sequence[tuple[int, Role, str, Any]]) -> list[Prediction]:
        sent: list[Prediction] = []
        for number, role, request, output in rows:
            self.at += 0.001
            sent.append(
                Prediction(
                    id=self.writer.next_id(), loop=LOOP, version=number, role=role, at=self.at, features=[0.0], output=output,
                    latency_us=1000 * number, request=request,
                )
            )  # fmt: skip
        self.writer.append(sent)
        return sent
