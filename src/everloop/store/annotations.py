"""Rows of labelling: queues, their items, who looks at which now, and the annotations, which are only ever added.

Whoever changes anything in a queue locks it first: one writer at a time a queue, and what it reads stays true until it commits. What follows from the
annotations (votes, skips and state of an item) is written in the transaction of the annotation, by the rule that `data/labelling` holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from everloop.core.errors import Conflict, NotFound, unknown
from everloop.core.labelling import Action, Annotation, Item, Queue, State, Value
from everloop.store.database import Transaction

_ANNOTATIONS = (
    'SELECT queue, seq, "row", person, action, value, reason, seconds, at, token, undoes, origin FROM annotations WHERE queue = :queue'
)
_NAMES = ("queue", "seq", "row", "person", "action", "value", "reason", "seconds", "at", "token", "undoes", "origin")
_ADD = """
INSERT INTO annotations (queue, seq, "row", person, action, value, reason, seconds, at, token, undoes, origin)
VALUES (:queue, :seq, :row, :person, :action, :value, :reason, :seconds, :at, :token, :undoes, :origin)
"""
_ITEMS = 'SELECT queue, "row", position, rank, votes, skips, state FROM queue_items WHERE queue = :queue'
_ADD_ITEM = """
INSERT INTO queue_items (queue, "row", position, rank, votes, skips, state) VALUES (:queue, :row, :position, :rank, :votes, :skips, :state)
ON CONFLICT (queue, "row") DO UPDATE SET position = excluded.position, rank = excluded.rank
"""
# Not answered by this person, and a place left besides those who answered and those who look at it now.
_NEXT = """
SELECT "row" FROM queue_items AS item
WHERE queue = :queue AND state = 'open' AND position IS NOT NULL
  AND NOT EXISTS (
    SELECT 1 FROM annotations AS said
    WHERE said.queue = item.queue AND said."row" = item."row" AND said.person = :person AND said.action IN ('label', 'skip')
      AND NOT EXISTS (SELECT 1 FROM annotations AS back WHERE back.queue = said.queue AND back.undoes = said.seq)
  )
  AND votes + (SELECT count(*) FROM queue_holds AS held WHERE held.queue = item.queue AND held."row" = item."row" AND held.until > :now) < :wanted
ORDER BY rank LIMIT 1
"""
_HOLD = """
INSERT INTO queue_holds (queue, "row", person, taken_at, until) VALUES (:queue, :row, :person, :now, :until)
ON CONFLICT (queue, "row", person) DO UPDATE SET until = excluded.until
"""
_HOLDS = 'SELECT "row", person, taken_at, until FROM queue_holds WHERE queue = :queue AND until > :now'
_RELEASE = 'DELETE FROM queue_holds WHERE queue = :queue AND "row" = :row'
_LAST_LIVE = """
 AND person = :person AND action <> 'undo'
 AND NOT EXISTS (SELECT 1 FROM annotations AS back WHERE back.queue = annotations.queue AND back.undoes = annotations.seq)
ORDER BY seq DESC LIMIT 1
"""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A person looks at a row until `until`; whoever comes later gets another."""

    row: str
    person: str
    taken_at: float
    until: float


def open_queue(tx: Transaction, queue: Queue) -> None:
    """Conflict when the name is taken."""
    row = {"name": queue.name, "snapshot": queue.snapshot, "body": msgspec.json.encode(queue).decode()}
    if not tx.sql("INSERT INTO queues (name, snapshot, body) VALUES (:name, :snapshot, :body) ON CONFLICT DO NOTHING", row).changed:
        raise Conflict(f"There is a labelling queue {queue.name!r} already. Choose another name, or refresh that one with new rows.")


def change_queue(tx: Transaction, queue: Queue) -> None:
    row = {"name": queue.name, "snapshot": queue.snapshot, "body": msgspec.json.encode(queue).decode()}
    tx.sql("UPDATE queues SET snapshot = :snapshot, body = :body WHERE name = :name", row)


def queue(tx: Transaction, name: str) -> Queue:
    """NotFound with the closest name."""
    body = tx.sql("SELECT body FROM queues WHERE name = :name", {"name": name}).value()
    if body is None:
        raise unknown("Labelling queue", name, [known for (known,) in tx.sql("SELECT name FROM queues")])
    return msgspec.json.decode(body, type=Queue)


def queues(tx: Transaction) -> list[Queue]:
    return [msgspec.json.decode(body, type=Queue) for (body,) in tx.sql("SELECT body FROM queues ORDER BY name")]


def locked(tx: Transaction, name: str) -> Queue:
    """The queue, with all other writers to it kept out until this transaction ends. SQLite's writers already are alone."""
    if not tx.is_sqlite:
        tx.sql("SELECT name FROM queues WHERE name = :name FOR UPDATE", {"name": name})
    return queue(tx, name)


def put_items(tx: Transaction, queue: str, items: Iterable[tuple[str, int, int]]) -> None:
    """(row, position, rank) each. Items that are there keep what was said of them; those not named any more keep it too, without a position."""
    tx.sql("UPDATE queue_items SET position = NULL WHERE queue = :queue", {"queue": queue})
    fresh = {"queue": queue, "votes": 0, "skips": 0, "state": "open"}
    tx.many(_ADD_ITEM, [{**fresh, "row": row, "position": position, "rank": rank} for row, position, rank in items])


def item(tx: Transaction, queue: str, row: str) -> Item:
    """NotFound for a row that is not in the queue."""
    found = next(iter(_items(tx.sql(f'{_ITEMS} AND "row" = :row', {"queue": queue, "row": row}))), None)
    if found is None:
        raise NotFound(
            f"Row {row!r:.90} is not in labelling queue {queue!r}. A row's name is row- and 16 hex digits, as the queue shows it."
        )
    return found


def items(tx: Transaction, queue: str, *, state: State | None = None, skipped: bool = False, limit: int | None = None) -> list[Item]:
    """By rank. `skipped` are those that somebody skipped and that are still open."""
    where = "" if state is None else " AND state = :state"
    where += " AND skips > 0 AND state = 'open'" if skipped else ""
    params = {"queue": queue, "state": state or "", "limit": limit if limit is not None else 2**62}
    return _items(tx.sql(f'{_ITEMS}{where} ORDER BY rank, "row" LIMIT :limit', params))


def settle(tx: Transaction, queue: str, row: str, *, votes: int, skips: int, state: State) -> None:
    """Write what now follows from the annotations of a row."""
    tx.sql(
        'UPDATE queue_items SET votes = :votes, skips = :skips, state = :state WHERE queue = :queue AND "row" = :row',
        {"queue": queue, "row": row, "votes": votes, "skips": skips, "state": state},
    )


def counts(tx: Transaction, queue: str) -> dict[str, int]:
    """State -> how many rows of the present snapshot are in it."""
    found = tx.sql("SELECT state, count(*) FROM queue_items WHERE queue = :queue AND position IS NOT NULL GROUP BY state", {"queue": queue})
    return {state: int(count) for state, count in found}


def next_row(tx: Transaction, queue: Queue, person: str, *, now: float) -> str | None:
    """The first row by rank that this person may have."""
    return tx.sql(_NEXT, {"queue": queue.name, "person": person, "now": now, "wanted": queue.wanted}).value()


def holds(tx: Transaction, queue: str, *, now: float, row: str | None = None, person: str | None = None) -> list[Hold]:
    """Who looks at what now, first come first; of one row, or of one person."""
    where = ("" if row is None else ' AND "row" = :row') + ("" if person is None else " AND person = :person")
    found = tx.sql(f'{_HOLDS}{where} ORDER BY taken_at, "row"', {"queue": queue, "now": now, "row": row or "", "person": person or ""})
    return [Hold(row=row, person=person, taken_at=taken_at, until=until) for row, person, taken_at, until in found]


def hold(tx: Transaction, queue: str, row: str, person: str, *, now: float, until: float) -> None:
    """Lend a row; lent to the same person already, the time is extended. What has run out is removed."""
    tx.sql("DELETE FROM queue_holds WHERE queue = :queue AND until <= :now", {"queue": queue, "now": now})
    tx.sql(_HOLD, {"queue": queue, "row": row, "person": person, "now": now, "until": until})


def release(tx: Transaction, queue: str, row: str, person: str | None = None) -> None:
    """End what one person, or everybody, holds of a row."""
    where = "" if person is None else " AND person = :person"
    tx.sql(f"{_RELEASE}{where}", {"queue": queue, "row": row, "person": person or ""})


def add(
    tx: Transaction,
    queue: str,
    *,
    row: str,
    person: str,
    action: Action,
    value: Value | None,
    reason: str,
    seconds: float | None,
    at: float,
    token: str,
    undoes: int | None,
    origin: str,
) -> Annotation:
    """Add one under the next number. The caller has locked the queue, and has seen that the token is new."""
    made = Annotation(
        queue=queue, seq=newest(tx, queue) + 1, row=row, person=storable(person), action=action, value=value, reason=storable(reason),
        seconds=seconds, at=at, token=token, undoes=undoes, origin=origin,
    )  # fmt: skip
    tx.sql(_ADD, msgspec.structs.asdict(made) | {"value": "" if value is None else json.dumps(value)})
    return made


def newest(tx: Transaction, queue: str) -> int:
    """The number of the last annotation, 0 when there is none. What it was at some time names all that had been said by then."""
    return int(tx.sql("SELECT max(seq) FROM annotations WHERE queue = :queue", {"queue": queue}).value() or 0)


def newest_at(tx: Transaction, queue: str, at: float) -> int:
    """The number of the last annotation that was made at or before a time."""
    return int(tx.sql("SELECT max(seq) FROM annotations WHERE queue = :queue AND at <= :at", {"queue": queue, "at": at}).value() or 0)


def by_token(tx: Transaction, queue: str, token: str) -> Annotation | None:
    return next(iter(_annotations(tx.sql(f"{_ANNOTATIONS} AND token = :token", {"queue": queue, "token": token}))), None)


def of_row(tx: Transaction, queue: str, row: str) -> list[Annotation]:
    """All that was said of one row, in order."""
    return _annotations(tx.sql(f'{_ANNOTATIONS} AND "row" = :row ORDER BY seq', {"queue": queue, "row": row}))


def last_of(tx: Transaction, queue: str, person: str) -> Annotation | None:
    """The last thing a person said that was not taken back."""
    return next(iter(_annotations(tx.sql(f"{_ANNOTATIONS}{_LAST_LIVE}", {"queue": queue, "person": person}))), None)


def by_row(tx: Transaction, queue: str, *, until: int | None = None) -> Mapping[str, Sequence[Annotation]]:
    """All that was said up to annotation `until` (default: all), in order, a list for each row."""
    found: dict[str, list[Annotation]] = {}
    params = {"queue": queue, "until": 2**62 if until is None else until}
    for made in _annotations(tx.sql(f"{_ANNOTATIONS} AND seq <= :until ORDER BY seq", params)):
        found.setdefault(made.row, []).append(made)
    return found


def people(tx: Transaction, queue: str) -> list[tuple[str, int]]:
    """(person, how many answers that stand), most first."""
    found = tx.sql(
        "SELECT person, count(*) FROM annotations WHERE queue = :queue AND action IN ('label', 'skip') AND NOT EXISTS "
        "(SELECT 1 FROM annotations AS back WHERE back.queue = annotations.queue AND back.undoes = annotations.seq) "
        "GROUP BY person ORDER BY count(*) DESC, person",
        {"queue": queue},
    )
    return [(person, int(count)) for person, count in found]


def storable(text: str) -> str:
    """Text that every database takes: PostgreSQL refuses NUL and half a surrogate pair."""
    return text.replace("\0", "").encode(errors="replace").decode()


def _annotations(rows: Iterable[tuple[Any, ...]]) -> list[Annotation]:
    found: list[Annotation] = []
    for row in rows:
        content = dict(zip(_NAMES, row, strict=True))
        content["value"] = json.loads(content["value"]) if content["value"] else None
        found.append(Annotation(**content))
    return found


def _items(rows: Iterable[tuple[Any, ...]]) -> list[Item]:
    return [
        Item(queue=queue, row=row, position=position, rank=rank, votes=votes, skips=skips, state=state)
        for queue, row, position, rank, votes, skips, state in rows
    ]
