"""The few protocols behind which two real implementations stand. Heavy types appear here by name only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from everloop.core.models import Candidate, Metric, Signature, Task
from everloop.core.tables import Column

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


class Answers(NamedTuple):
    """`outputs` is (n,): labels in their own type, or numbers. `probabilities` is (n, classes) in `Signature.classes` order, or None."""

    outputs: np.ndarray[Any, Any]
    probabilities: np.ndarray[Any, Any] | None


class Predictor(Protocol):
    """A loaded model with its transform inside: the one object that answers in evaluation, batch and online serving."""

    signature: Signature

    def predict(self, rows: pl.DataFrame) -> Answers:
        """`rows` holds at least the signature's input columns. Answers are in row order, one a row."""
        ...


class Loader(Protocol):
    """Opens a stored model folder; entry-point group `predictors`, named by `Candidate.flavor`."""

    def __call__(self, folder: Path, candidate: Candidate) -> Predictor: ...


class Examples(NamedTuple):
    """One part of a prepared snapshot: raw feature columns, and the target in the same row order."""

    frame: pl.DataFrame
    target: pl.Series


class Fitted(NamedTuple):
    """What a trainer left in its folder. `libraries` are the distributions that the model needs."""

    signature: Signature
    flavor: str
    trusted: bool
    estimator: str
    params: Mapping[str, object]
    libraries: tuple[str, ...]


class Trainer(Protocol):
    """Fits one kind of `model=` and stores it, transform inside; entry-point group `trainers`."""

    def __call__(
        self,
        model: Any,
        train: Examples,
        valid: Examples,
        *,
        transform: bytes,
        params: Mapping[str, object],
        seed: int,
        task: Task,
        target: Column,
        features: tuple[Column, ...],
        folder: Path,
    ) -> Fitted:
        """Write the model in MLflow's format into the empty `folder`. BadInput when `model` or `params` cannot be used."""
        ...


@runtime_checkable
class Source(Protocol):
    """Where rows come from. Reading twice without a change in between gives equal tables."""

    def describe(self) -> str:
        """Connector and locator in one line, without any secret."""
        ...

    def stamp(self, place: Place) -> str:
        """Changes when something new may be there; cheap (sizes and times, counts), never reads the rows."""
        ...

    def read(self, place: Place) -> Extract:
        """All rows now."""
        ...


class Place(NamedTuple):
    """Where a source reads from: `project` is the folder that relative paths start at, `home` the workspace's own folder."""

    loop: str
    project: Path
    home: Path


class Extract(NamedTuple):
    """What a source read: the table, and its provenance, one entry a file, query or segment."""

    table: pl.DataFrame
    parts: tuple[Mapping[str, str | int], ...]


class Tracker(Protocol):
    """Mirrors runs and versions to the tracker that people look at; entry-point group `trackers`. All calls may be repeated."""

    def log_run(
        self,
        *,
        loop: str,
        run: str,
        status: str,
        params: Mapping[str, object],
        metrics: tuple[Metric, ...],
        tags: Mapping[str, str],
        started_at: float,
        ended_at: float,
    ) -> str:
        """Record a run; the tracker's id for it. The same `run` again updates it."""
        ...

    def register(self, *, loop: str, number: int, model_uri: str, tracker_run: str, tags: Mapping[str, str]) -> None:
        """Make the version visible under the same number."""
        ...

    def set_aliases(self, *, loop: str, aliases: Mapping[str, int | None]) -> None:
        """Point each alias at a version number; None removes it."""
        ...
