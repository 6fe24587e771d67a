"""Nouns of models: Candidate, Evaluation, Version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from everloop.core.record import Record, Where
from everloop.core.tables import Column

Task: TypeAlias = Literal["classification", "regression"]


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """What a model takes and gives. `classes` are the labels in the order of the probability columns (text form), empty for regression."""

    inputs: tuple[Column, ...]
    output: Column
    task: Task
    classes: tuple[str, ...] = ()


class Candidate(Record, frozen=True, kw_only=True, tag="candidate"):
    """A fitted model, its transform inside.

    `model` is the digest of the stored folder (MLflow's model format). `trusted` is False when the folder holds a pickle, which is
    loaded only because this store made it. `fit_seconds` and the like are not here: they would change the identity of equal work.
    """

    prepared: str
    model: str
    signature: Signature
    flavor: str
    trusted: bool
    estimator: str
    params: Mapping[str, object]
    seed: int
    environment: Mapping[str, str]

    def parents(self) -> dict[str, str]:
        return {"prepared": self.prepared}

    def keeps(self) -> dict[str, tuple[Where, str]]:
        return {"model": ("tree", self.model)}


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A number that may be compared: with its n, its 95 % bootstrap interval, its slice. `value` is None where undefined (0/0)."""

    name: str
    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    slice: str = ""
    """`column=value`, or empty for the whole."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Monotone map from a classifier's top confidence to its observed accuracy (isotonic, pool-adjacent-violators), and the
    calibrated confidences of the evaluation rows in sorted order, from which windows of any size are calibrated."""

    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    reference: tuple[float, ...]


class Evaluation(Record, frozen=True, kw_only=True, tag="evaluation"):
    """Metrics of a candidate on one part of one prepared snapshot.

    `baselines` holds the same metrics for simple models (dummy and so on); `golden` is the blob of a sample of evaluation rows
    with the candidate's own answers, against which the served model is proven.
    """

    candidate: str
    prepared: str
    part: str
    metrics: tuple[Metric, ...]
    baselines: Mapping[str, tuple[Metric, ...]] = {}
    confusion: tuple[tuple[int, ...], ...] = ()
    """Rows are the true class, columns the predicted one, both in `Signature.classes` order."""
    calibration: Calibration | None = None
    golden: str = ""

    def parents(self) -> dict[str, str]:
        return {"candidate": self.candidate, "data": self.prepared}

    def keeps(self) -> dict[str, tuple[Where, str]]:
        return {"golden": ("blob", self.golden)} if self.golden else {}

    def metric(self, name: str, slice: str = "") -> Metric | None:
        return next((m for m in self.metrics if m.name == name and m.slice == slice), None)


class Version(Record, frozen=True, kw_only=True, tag="version"):
    """A candidate that passed its gate. Its number is given by the registry when it is registered, and is not part of its content."""

    loop: str
    candidate: str
    evaluation: str
    verdict: str

    def parents(self) -> dict[str, str]:
        return {"candidate": self.candidate, "evaluation": self.evaluation, "verdict": self.verdict}
