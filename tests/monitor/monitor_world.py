"""A loop with one version in a real workspace, and traffic for it.

The classifier is perfectly calibrated by construction: an answer is right with the chance that it states. A new scanner (`blur`) moves
both the features and the confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from everloop.core.live import Deployment, Prediction, Role
from everloop.core.models import Calibration, Candidate, Evaluation, Metric, Signature, Version
from everloop.core.tables import Chunk, Column, Prepared, Snapshot
from everloop.core.verdict import Finding, Verdict
from everloop.data.profile import summarise
from everloop.monitor.watch import Watched, watch
from everloop.store import captures, labels, records, registry
from everloop.store.workspace import Workspace

LOOP = "digits"
SIGNATURE = Signature(
    inputs=(Column("x0", "float"), Column("x1", "float"), Column("colour", "text")),
    output=Column("y", "int"),
    task="classification",
    classes=("0", "1"),
)
NUMBER = Signature(inputs=SIGNATURE.inputs, output=Column("y", "float"), task="regression")


def features(rng: np.random.Generator, rows: int, *, blur: float = 0.0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "x0": rng.normal(blur, 1.0, rows),
            "x1": rng.exponential(1.0, rows).round(1),
            "colour": rng.choice(["red", "green", "blue"], rows, p=[0.6, 0.3, 0.1]),
        }
    )


def confidence(rng: np.random.Generator, rows: int, *, blur: float = 0.0) -> np.ndarray[Any, Any]:
    return 1 - 0.5 * rng.beta(0.4 + 2 * blur, 4.0, rows)


def evaluation_of(candidate: str, prepared: str, seed: int = 7, rows: int = 2000) -> Evaluation:
    chances = np.sort(confidence(np.random.default_rng(seed), rows))
    accuracy = float(chances.mean())
    return Evaluation(
        candidate=candidate,
        prepared=prepared,
        part="test",
        metrics=(
            Metric(name="accuracy", value=accuracy, n=rows, low=accuracy - 0.01, high=accuracy + 0.01),
            Metric(name="mae", value=0.8, n=rows, low=0.77, high=0.83),
        ),
        calibration=Calibration(confidence=(0.5, 1.0), accuracy=(0.5, 1.0), reference=tuple(chances.tolist())),
        confusion=((rows // 2, 0), (0, rows // 2)),
    )


def add_version(workspace: Workspace, number: int, *, signature: Signature = SIGNATURE) -> None:
    """Version `number` with its whole lineage, all on the same snapshot."""
    train = features(np.random.default_rng(1), 4000)
    snapshot = Snapshot(
        dataset=LOOP,
        content="c" * 64,
        chunks=(Chunk(blob="t" * 64, rows=1, bytes=1, digest="d" * 64),),
        rows=4000,
        columns=signature.inputs,
        source="files: x.csv",
    )
    profile = summarise(train, about=snapshot.id)
    prepared = Prepared(
        snapshot=snapshot.id, target="y", features=signature.inputs, task=signature.task, split="s", transform="t", rows={"train": 4000}
    )
    candidate = Candidate(
        prepared=prepared.id, model=f"{number}" * 64, signature=signature, flavor="sklearn", trusted=True, estimator="E", params={},
        seed=number, environment={},
    )  # fmt: skip
    evaluation = evaluation_of(candidate.id, prepared.id)
    verdict = Verdict(question="gate", about=evaluation.id, findings=(Finding(check="accuracy", passed=True, message="good"),))
    version = Version(loop=LOOP, candidate=candidate.id, evaluation=evaluation.id, verdict=verdict.id)
    with workspace.write() as tx:
        records.keep(tx, snapshot, profile, prepared, candidate, evaluation, verdict, version)
        assert registry.register(tx, version, model=candidate.model, run="run-1").number == number


def deploy(workspace: Workspace, champion: int, *, at: float = 0.0, **more: Any) -> None:
    with workspace.write() as tx:
        seen = registry.deployment(tx, LOOP)
        registry.deploy(tx, Deployment(loop=LOOP, champion=champion, since=at, champion_since=at, **more), replacing=seen)


def world(workspace: Workspace, *, signature: Signature = SIGNATURE) -> None:
    add_version(workspace, 1, signature=signature)
    deploy(workspace, 1)


class Traffic:
    """Writes captured predictions as a server does."""

    def __init__(self, workspace: Workspace, seed: int = 0) -> None:
        self.workspace = workspace
        self.rng = np.random.default_rng(seed)
        self.writer = captures.Writer(workspace.predictions, LOOP)
        self.at = 1000.0

    def send(self, rows: int, *, blur: float = 0.0, version: int = 1, role: Role = "champion", number: bool = False) -> list[Prediction]:
        frame = features(self.rng, rows, blur=blur)
        chances = confidence(self.rng, rows, blur=blur)
        sent: list[Prediction] = []
        for row, chance in zip(frame.iter_rows(), chances.tolist(), strict=True):
            self.at += 0.01
            answer = int(self.rng.random() < 0.5)
            probabilities = [chance, 1 - chance] if answer == 0 else [1 - chance, chance]
            sent.append(
                Prediction(
                    id=self.writer.next_id(), loop=LOOP, version=version, role=role, at=self.at, features=list(row),
                    output=float(row[0]) if number else answer, probabilities=None if number else probabilities,
                )
            )  # fmt: skip
        self.writer.append(sent)
        return sent

    def label(self, predictions: Sequence[Prediction], *, right: float) -> None:
        """Post labels: the answer is right in this part of the cases."""
        known = {p.id: int(p.output) if self.rng.random() < right else 1 - int(p.output) for p in predictions}  # type: ignore[arg-type]
        with self.workspace.write() as tx:
            labels.add(tx, LOOP, known)


def look(workspace: Workspace, *, now: float = 2000.0, window_rows: int = 200, **more: Any) -> list[Watched]:
    return watch(workspace, LOOP, summarise=summarise, now=now, actor="test", window_rows=window_rows, **more)
