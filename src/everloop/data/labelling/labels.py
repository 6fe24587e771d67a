"""Annotations -> the labels that they amount to, now or as they stood at any earlier time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Broken
from everloop.core.labelling import LabelSet, Queue, Value
from everloop.data.labelling.consensus import By, standing
from everloop.store import annotations, records
from everloop.store.database import Transaction


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """A row's label, how many labellers it stands on, and whether they agreed or a reviewer said it."""

    value: Value
    votes: int
    by: By


class Labelled(NamedTuple):
    """`rows` has the rows with a label, by name in alphabetical order."""

    set: LabelSet
    rows: Mapping[str, Label]


def derive(tx: Transaction, queue: Queue, *, until: int | None = None) -> Labelled:
    """The labels after annotation `until` (default: all). They follow from the annotations and the queue's declaration alone, whatever the data became."""
    last = annotations.newest(tx, queue.name) if until is None else min(until, annotations.newest(tx, queue.name))
    rows: dict[str, Label] = {}
    for row, said in sorted(annotations.by_row(tx, queue.name, until=last).items()):
        stands = standing(queue, said)
        if stands.state == "done" and stands.value is not None:
            rows[row] = Label(value=stands.value, votes=len(stands.votes), by=stands.by)
    content = digest([[row, label.value] for row, label in rows.items()])
    return Labelled(LabelSet(queue=queue.name, target=queue.target, content=content, rows=len(rows), until=last), rows)


def again(tx: Transaction, beginning: str) -> tuple[Queue, Labelled]:
    """The labels of a set that was kept before. Broken when the annotations do not give them any more: somebody changed what is only ever added to."""
    kept = records.load(tx, records.resolve(tx, beginning), LabelSet)
    queue = annotations.queue(tx, kept.queue)
    found = derive(tx, queue, until=kept.until)
    if found.set.content != kept.content:
        raise Broken(
            f"The annotations of queue {kept.queue!r} up to {kept.until} no longer give {kept.id}: they were changed after they were written."
        )
    return queue, found


def at(tx: Transaction, queue: Queue, text: str) -> int:
    """Which annotation a person means: its number, or a time (ISO 8601, UTC unless it says otherwise) up to which all count. BadInput otherwise."""
    from datetime import UTC, datetime

    if text.isascii() and text.isdecimal() and len(text) <= 18:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{text!r} is neither the number of an annotation nor a time like 2026-11-20T12:00, nor a label set's id.") from None
    return annotations.newest_at(tx, queue.name, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
