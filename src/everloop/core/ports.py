"""The few protocols behind which two real implementations stand. Heavy types appear here by name only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from everloop.core.models import Candidate, Metric, Signature, Task
from everloop.core.tables import Column, Origin

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

# What a batch of a source, or a chunk of a snapshot, takes in memory at most; one row that is larger than that is one of its own.
BATCH_BYTES = 32 << 20


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
    """Where rows come from; entry-point group `sources`. Reading twice without a change in between gives equal tables.

    `everloop.testing.sources` has the checks that a source must pass.
    """

    def describe(self) -> str:
        """Connector and locator in one line, without any secret."""
        ...

    def stamp(self, place: Place) -> str:
        """Changes when something new may be there; cheap (sizes and times, an etag, a version, the maximum of a column), never reads the rows."""
        ...

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        """All rows now. `since` is what an earlier reading noted as its origins: a source that can tell which rows came after it may give
        those alone, and says so by `Extract.whole`."""
        ...


class Place(NamedTuple):
    """Where a source reads from: `project` is the folder that relative paths start at, `home` the workspace's own folder."""

    loop: str
    project: Path
    home: Path


class Restart(Exception):
    """What a source raises from its batches when it finds that those given so far must be thrown away: a column turned out to be of another
    type, say. Whoever reads begins again, and the source knows better then."""


@dataclass
class Extract:
    """What a source reads: tables to be put one below the other, each small enough for memory (`BATCH_BYTES`), and where they came from.

    `batches` begins to read each time it is called, and clears and fills `origins` as it goes: these are complete when it is exhausted.
    Batches may differ in columns and types; they are united as `data/sources/union.py` says. With `whole` they are all rows that there are, else
    only those that came after what `since` named; `origins` describe everything then, what `since` named included.
    """

    batches: Callable[[], Iterator[pl.DataFrame]]
    origins: list[Origin] = field(default_factory=list[Origin])
    whole: bool = True


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
