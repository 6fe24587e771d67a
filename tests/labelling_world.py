"""Shared by the tests of labelling: a snapshot of any table, and a queue over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from everloop.core.labelling import Annotation
from everloop.core.ports import Extract, Place
from everloop.core.tables import Origin, Snapshot
from everloop.data.ingest import take
from everloop.data.labelling import desk
from everloop.steps.labelling import Opened, open_queue
from everloop.store import annotations, datasets, records
from everloop.store.workspace import Workspace, using


class Rows:
    """A source that has a table in memory, in pieces."""

    def __init__(self, frame: pl.DataFrame, piece: int = 1000) -> None:
        self.frame = frame
        self.piece = piece

    def describe(self) -> str:
        return "rows"

    def stamp(self, place: Place) -> str:
        return ""

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        def batches() -> Iterator[pl.DataFrame]:
            extract.origins[:] = [{"locator": "rows", "sha256": "0" * 64, "rows": self.frame.height}]
            yield from self.frame.iter_slices(self.piece)

        extract = Extract(batches)
        return extract


def snapshot_of(workspace: Workspace, frame: pl.DataFrame, dataset: str = "pool") -> Snapshot:
    with using(workspace):
        taken = take(Rows(frame), dataset=dataset, place=Place(dataset, workspace.project, workspace.home))
    with workspace.write() as tx:
        records.keep(tx, taken)
        datasets.note(tx, taken, mode="full", by="me", project="")
    return taken


def texts(count: int) -> pl.DataFrame:
    return pl.DataFrame({"id": range(count), "text": [f"message number {at}" for at in range(count)]})


def queue_of(workspace: Workspace, frame: pl.DataFrame | int = 5, name: str = "sms", **declared: Any) -> Opened:
    rows = texts(frame) if isinstance(frame, int) else frame
    given: dict[str, Any] = {"target": "label", "choices": ["spam", "ham"], "actor": "me", **declared}
    return open_queue(workspace, name=name, snapshot=snapshot_of(workspace, rows), **given)


def lend(workspace: Workspace, person: str, *, now: float = 100.0, name: str = "sms") -> str | None:
    with workspace.write() as tx:
        lent = desk.lend(tx, name, person, now=now)
    return lent.row if lent else None


def say(
    workspace: Workspace,
    person: str,
    row: str,
    value: object = "spam",
    *,
    now: float = 100.0,
    name: str = "sms",
    token: str = "",
    **more: Any,
) -> Annotation:
    """A label, or a skip with `action`; each has a token of its own unless one is given."""
    with workspace.write() as tx:
        sent = token or f"t{annotations.newest(tx, name)}-{person.encode(errors='replace').hex()}"
        return desk.answer(tx, name, row=row, person=person, token=sent, now=now, **{"action": "label", "value": value, **more})


def turn(workspace: Workspace, person: str, value: object = "spam", *, now: float = 100.0, name: str = "sms") -> Annotation:
    """The next row, labelled."""
    row = lend(workspace, person, now=now, name=name)
    assert row is not None
    return say(workspace, person, row, value, now=now, name=name)
