"""What a file of Label Studio says -> annotations of a queue, all of them or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from everloop.core.errors import BadInput
from everloop.core.labelling import ANSWERS, REVIEWS, Queue, Value
from everloop.core.tables import Snapshot
from everloop.data.labelling import desk, values
from everloop.data.labelling.consensus import live
from everloop.data.labelling.label_studio import Json, Said, plain
from everloop.data.labelling.rows import names
from everloop.store import annotations, snapshots
from everloop.store.blobs import Blobs
from everloop.store.database import Transaction


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """`known` were said before; `contradicted` are (row, person) who said something else before, which stays; `unknown` are tasks not in the queue."""

    added: int = 0
    known: int = 0
    contradicted: tuple[tuple[str, str], ...] = ()
    unknown: int = 0


def match(blobs: Blobs, snapshot: Snapshot, queue: Queue, said: Sequence[Said]) -> list[Said]:
    """Find the row of each task that does not name it: by the key column, or by equal fields. The rows are read only when some task needs it."""
    if all(one.row for one in said):
        return list(said)
    columns = [column.name for column in snapshot.columns if column.name != queue.target]
    if queue.key:
        index = {_text(cells[queue.key]): row for row, cells in _rows(blobs, snapshot, queue, [queue.key])}
    else:
        index = {_text(cells): row for row, cells in _rows(blobs, snapshot, queue, columns)}

    def found(data: Json) -> str:
        if queue.key:
            return index.get(_text(data.get(queue.key)), "")
        return index.get(_text({name: data.get(name) for name in columns}), "")

    return [one if one.row else msgspec.structs.replace(one, row=found(one.data)) for one in said]


def take_in(tx: Transaction, name: str, said: Sequence[Said], *, now: float, ignore_unknown: bool = False) -> Taken:
    """Add what is new. Nothing is added when one value is not the queue's, or a task is not in it (unless those are to be ignored): BadInput."""
    queue = annotations.locked(tx, name)
    known_rows = {item.row for item in annotations.items(tx, name)}
    missing = [one for one in said if one.row not in known_rows]
    if missing and not ignore_unknown:
        raise BadInput(
            f"{len(missing)} of {len(said)} annotations are on tasks that queue {name!r} does not have, the first is {_text(missing[0].data):.120}. "
            "Nothing was kept. Import into the queue that the tasks were exported from, or ask for unknown ones to be ignored."
        )
    wanted = [(one, _checked(queue, one)) for one in said if one.row in known_rows]
    before = annotations.by_row(tx, name)
    stands: dict[tuple[str, str], Value | None] = {}
    for row, made in before.items():
        stands |= {(row, one.person if one.action in ANSWERS else ""): one.value for one in live(made)}
    added = known = 0
    contradicted: list[tuple[str, str]] = []
    for one, value in wanted:
        person = desk.named(one.person)
        place = (one.row, "" if one.action in REVIEWS else person)
        if place in stands:
            if stands[place] == value:
                known += 1
            else:
                contradicted.append((one.row, person))
            continue
        if annotations.by_token(tx, name, one.token) is not None:
            known += 1
            continue
        annotations.add(
            tx, name, row=one.row, person=person, action=one.action, value=value, reason=one.reason[: desk.MAX_REASON], seconds=one.seconds,
            at=now if one.at is None else one.at, token=one.token, undoes=None, origin="label_studio",
        )  # fmt: skip
        stands[place] = value
        added += 1
    for row in {one.row for one, _ in wanted}:
        desk.settle(tx, queue, row)
    return Taken(added=added, known=known, contradicted=tuple(contradicted), unknown=len(missing))


def _checked(queue: Queue, one: Said) -> Value | None:
    return values.check(queue, one.value) if one.action != "skip" else None


def _rows(blobs: Blobs, snapshot: Snapshot, queue: Queue, columns: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for frame in snapshots.batches(blobs, snapshot):
        yield from zip(names(frame, key=queue.key, target=queue.target), frame.select(columns).iter_rows(named=True), strict=True)


def _text(value: Any) -> str:
    """A cell, or a row of cells, in one spelling: as the export writes it."""
    cells = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None
    spelt = plain(value) if cells is None else {name: plain(cell) for name, cell in cells.items()}
    return msgspec.json.encode(spelt, order="deterministic").decode()
