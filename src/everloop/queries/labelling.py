"""Labelling queues for people: how far they are, how well labellers agree, what a row shows, and what waits for a reviewer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from everloop.core.errors import NotFound
from everloop.core.labelling import Item, Queue, Value
from everloop.core.tables import Kind, Snapshot
from everloop.data.labelling import media
from everloop.data.labelling.agreement import Agreement, agreement
from everloop.data.labelling.consensus import Standing, standing
from everloop.data.labelling.label_studio import plain
from everloop.data.labelling.values import text_of
from everloop.store import annotations, records, snapshots
from everloop.store.annotations import Hold
from everloop.store.database import Transaction
from everloop.store.workspace import Workspace

SHOWN_CHARACTERS = 20_000
MAX_MEDIA_BYTES = 32 << 20


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of the queue's snapshot by where they stand: `open`, in `review`, `done`; `answers` that stand, of all people."""

    queue: Queue
    rows: int
    open: int
    review: int
    done: int
    answers: int


class Person(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    answers: int


class QueueReport(msgspec.Struct, frozen=True, kw_only=True):
    """One queue in full; `held` rows are being looked at now."""

    progress: Progress
    people: tuple[Person, ...]
    agreement: Agreement
    values: Mapping[str, int]
    held: tuple[Hold, ...]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A cell as a page shows it. `media` is empty for text, else what its bytes are; `length` is that of the whole in characters or bytes."""

    name: str
    kind: Kind
    text: str
    media: str = ""
    length: int = 0

    @property
    def cut(self) -> bool:
        return not self.media and self.length > len(self.text)


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A row for a person to look at: its cells, but not the target's, and what was said of it so far."""

    item: Item
    fields: tuple[Field, ...]
    standing: Standing


def all_queues(workspace: Workspace) -> list[Progress]:
    with workspace.read() as tx:
        return [_progress(tx, queue) for queue in annotations.queues(tx)]


def progress(workspace: Workspace, name: str) -> Progress:
    """NotFound with the closest name."""
    with workspace.read() as tx:
        return _progress(tx, annotations.queue(tx, name))


def report(workspace: Workspace, name: str, *, now: float) -> QueueReport:
    """How the queue stands, and how far its labellers agree: on answers that stand, whatever the reviewer said."""
    with workspace.read() as tx:
        queue = annotations.queue(tx, name)
        said = annotations.by_row(tx, name)
        found = _progress(tx, queue)
        people = tuple(Person(name=person, answers=count) for person, count in annotations.people(tx, name))
        held = tuple(annotations.holds(tx, name, now=now))
    stands = [standing(queue, made) for made in said.values()]
    counts: dict[str, int] = {}
    if queue.kind == "choice":
        counts = {text_of(choice): 0 for choice in queue.choices}
        for one in stands:
            if one.state == "done" and one.value is not None:
                counts[text_of(one.value)] += 1
    level = "interval" if queue.kind == "number" else "nominal"
    return QueueReport(
        progress=found, people=people, agreement=agreement([one.votes for one in stands], level=level), values=counts, held=held
    )


def held(workspace: Workspace, name: str, person: str, *, now: float) -> Hold | None:
    """What this person looks at now, while it may still be labelled."""
    with workspace.read() as tx:
        return next(
            (hold for hold in annotations.holds(tx, name, now=now, person=person) if annotations.item(tx, name, hold.row).state == "open"),
            None,
        )


def last(workspace: Workspace, name: str, person: str) -> tuple[str, Value | None] | None:
    """(action, value) of the last thing that this person said, and could take back."""
    with workspace.read() as tx:
        found = annotations.last_of(tx, name, person)
    return None if found is None else (found.action, found.value)


def row(workspace: Workspace, name: str, row: str) -> Shown:
    """NotFound when the row is not in the queue, or no longer in its snapshot."""
    with workspace.read() as tx:
        queue = annotations.queue(tx, name)
        item = annotations.item(tx, name, row)
        stands = standing(queue, annotations.of_row(tx, name, row))
        snapshot = records.load(tx, queue.snapshot, Snapshot)
    cells = _cells(workspace, snapshot, item)
    kinds: dict[str, Kind] = {column.name: column.kind for column in snapshot.columns}
    fields = tuple(_field(name, kinds[name], value) for name, value in cells.items() if name != queue.target)
    return Shown(item=item, fields=fields, standing=stands)


def content(workspace: Workspace, name: str, row: str, column: str) -> tuple[str, bytes]:
    """(media type, bytes) of one cell. Text comes as plain text; bytes as images or audio only if they begin like some.

    NotFound for a column that there is not, that has nothing in this row, or that holds more than `MAX_MEDIA_BYTES`.
    """
    with workspace.read() as tx:
        queue = annotations.queue(tx, name)
        item = annotations.item(tx, name, row)
        snapshot = records.load(tx, queue.snapshot, Snapshot)
    value = _cells(workspace, snapshot, item).get(column)
    if value is None or column == queue.target:
        raise NotFound(f"Row {row} of queue {name!r} has nothing in a column {column!r:.100} that could be shown.")
    found = (
        (media.type_of(value), value) if isinstance(value, bytes) else ("text/plain; charset=utf-8", str(value).encode(errors="replace"))
    )
    if len(found[1]) > MAX_MEDIA_BYTES:
        raise NotFound(
            f"{column!r} of {row} holds {len(found[1]) / 1e6:,.0f} MB; pages show up to {MAX_MEDIA_BYTES / 1e6:.0f}. Export the row to see it."
        )
    return found


def to_review(workspace: Workspace, name: str, *, limit: int = 100) -> list[tuple[Item, Standing]]:
    """Rows that wait for a reviewer by their turn, and behind them open ones that somebody skipped."""
    with workspace.read() as tx:
        queue = annotations.queue(tx, name)
        items = annotations.items(tx, name, state="review", limit=limit)
        items += annotations.items(tx, name, skipped=True, limit=limit - len(items))
        return [(item, standing(queue, annotations.of_row(tx, name, item.row))) for item in items]


def _progress(tx: Transaction, queue: Queue) -> Progress:
    by_state = annotations.counts(tx, queue.name)
    answers = sum(count for _, count in annotations.people(tx, queue.name))
    return Progress(
        queue=queue, rows=sum(by_state.values()), open=by_state.get("open", 0), review=by_state.get("review", 0), done=by_state.get("done", 0),
        answers=answers,
    )  # fmt: skip


def _cells(workspace: Workspace, snapshot: Snapshot, item: Item) -> dict[str, Any]:
    if item.position is None:
        raise NotFound(f"{item.row} is no longer in the data: {snapshot.id} does not have it. What was said of it is kept.")
    return snapshots.rows(workspace.blobs, snapshot, item.position, item.position + 1).row(0, named=True)


def _field(name: str, kind: Kind, value: Any) -> Field:
    if isinstance(value, bytes):
        return Field(name=name, kind=kind, text="", media=media.type_of(value), length=len(value))
    value = plain(value)
    text = "" if value is None else text_of(value) if isinstance(value, bool | int | float | str) else str(value)
    return Field(name=name, kind=kind, text=text[:SHOWN_CHARACTERS], length=len(text))
