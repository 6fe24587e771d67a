"""What a labeller and a reviewer do at a queue. Each function is one turn inside a write transaction, and locks the queue first."""

from __future__ import annotations

import math
import re

from everloop.core.errors import BadInput, Conflict, NotFound
from everloop.core.labelling import ANSWERS, Action, Annotation, Queue
from everloop.data.labelling import values
from everloop.data.labelling.consensus import Standing, live, standing
from everloop.store import annotations
from everloop.store.annotations import Hold
from everloop.store.database import Transaction

MAX_REASON = 2000
_DAY_S = 86_400.0
_PERSON = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,80}")


def lend(tx: Transaction, name: str, person: str, *, now: float) -> Hold | None:
    """The row that this person holds already, else the next one nobody else needs to see first; None when nothing is left for them."""
    queue = annotations.locked(tx, name)
    person = named(person)
    for held in annotations.holds(tx, name, now=now, person=person):
        if annotations.item(tx, name, held.row).state == "open":
            return _lent(tx, queue, held.row, person, now, taken_at=held.taken_at)
        annotations.release(tx, name, held.row, person)
    row = annotations.next_row(tx, queue, person, now=now)
    return None if row is None else _lent(tx, queue, row, person, now)


def answer(
    tx: Transaction,
    name: str,
    *,
    row: str,
    person: str,
    action: Action,
    value: object = None,
    reason: str = "",
    seconds: float | None = None,
    token: str,
    now: float,
    origin: str = "",
) -> Annotation:
    """A labeller's label or skip. Sent again with the same token it is the same annotation.

    Conflict when the row has its labels, when this person answered it, and when it was lent to others after this person's time was up. BadInput for a
    value that the queue does not take.
    """
    queue = annotations.locked(tx, name)
    person, token = named(person), _token(token)
    if action not in ANSWERS:
        raise BadInput(f"{action!r} is no answer of a labeller. It is one of: {', '.join(ANSWERS)}.")
    known = values.check(queue, value) if action == "label" else None
    said = _said(tx, name, token, row=row, person=person, action=action, value=known)
    if said is not None:
        return said
    item = annotations.item(tx, name, row)
    before = live(annotations.of_row(tx, name, row))
    if any(one.person == person and one.action in ANSWERS for one in before):
        raise Conflict(f"{person} has answered {row} already. Undo that first, or go on with the next row.")
    if item.state != "open":
        raise Conflict(
            f"{row} needs no more labels: it is {'with the reviewer' if item.state == 'review' else 'done'}. Go on with the next row."
        )
    holders = annotations.holds(tx, name, now=now, row=row)
    mine = next((hold for hold in holders if hold.person == person), None)
    if mine is None and item.votes + len(holders) >= queue.wanted:
        raise Conflict(f"{row} was lent to {holders[0].person}: the time of {person} was up. Go on with the next row.")
    spent = _seconds(seconds) if seconds is not None else None if mine is None else max(0.0, now - mine.taken_at)
    made = annotations.add(
        tx, name, row=row, person=person, action=action, value=known, reason=_reason(reason), seconds=spent, at=now, token=token, undoes=None,
        origin=origin,
    )  # fmt: skip
    annotations.release(tx, name, row, person)
    settle(tx, queue, row)
    return made


def undo(tx: Transaction, name: str, *, person: str, token: str, now: float, origin: str = "") -> Annotation:
    """Take back the last thing that this person said here, and lend them the row again unless others have it. NotFound when there is nothing."""
    queue = annotations.locked(tx, name)
    person, token = named(person), _token(token)
    sent = annotations.by_token(tx, name, token)
    if sent is not None:
        if (sent.person, sent.action) != (person, "undo"):
            raise _sent_before(sent)
        return sent
    last = annotations.last_of(tx, name, person)
    if last is None:
        raise NotFound(f"{person} has said nothing in queue {name!r} that could be undone.")
    made = annotations.add(
        tx, name, row=last.row, person=person, action="undo", value=None, reason="", seconds=None, at=now, token=token, undoes=last.seq, origin=origin
    )  # fmt: skip
    after = settle(tx, queue, last.row)
    item = annotations.item(tx, name, last.row)
    others = sum(hold.person != person for hold in annotations.holds(tx, name, now=now, row=last.row))
    if last.action in ANSWERS and after.state == "open" and item.position is not None and len(after.votes) + others < queue.wanted:
        for held in annotations.holds(tx, name, now=now, person=person):
            annotations.release(tx, name, held.row, person)
        _lent(tx, queue, last.row, person, now)
    return made


def review(
    tx: Transaction,
    name: str,
    *,
    row: str,
    person: str,
    action: Action,
    value: object = None,
    reason: str = "",
    token: str,
    now: float,
    origin: str = "",
) -> Annotation:
    """A reviewer's word on a row, which stands above the labellers': `accept` with a value (None: what the majority says), or `reject`.

    Any row may be reviewed, a done one too. BadInput when there is no majority to accept.
    """
    queue = annotations.locked(tx, name)
    person, token = named(person), _token(token)
    if action not in ("accept", "reject"):
        raise BadInput(f"{action!r} is no word of a reviewer. It is one of: accept, reject.")
    annotations.item(tx, name, row)
    if action == "accept" and value is None:
        value = standing(queue, annotations.of_row(tx, name, row)).value
        if value is None:
            raise BadInput(f"The labellers of {row} do not agree: there is nothing to accept. Give the value, or reject the row.")
    known = values.check(queue, value) if action == "accept" else None
    said = _said(tx, name, token, row=row, person=person, action=action, value=known)
    if said is not None:
        return said
    made = annotations.add(
        tx, name, row=row, person=person, action=action, value=known, reason=_reason(reason), seconds=None, at=now, token=token, undoes=None,
        origin=origin,
    )  # fmt: skip
    annotations.release(tx, name, row)
    settle(tx, queue, row)
    return made


def settle(tx: Transaction, queue: Queue, row: str) -> Standing:
    """Write where the row stands after what was just said; nobody keeps a row that needs no more labels."""
    now_stands = standing(queue, annotations.of_row(tx, queue.name, row))
    annotations.settle(tx, queue.name, row, votes=len(now_stands.votes), skips=len(now_stands.skips), state=now_stands.state)
    if now_stands.state != "open":
        annotations.release(tx, queue.name, row)
    return now_stands


def named(person: str) -> str:
    """A labeller's name as it is kept. BadInput for none, a very long one, or one with control characters."""
    name = person.strip()
    if not _PERSON.fullmatch(name):
        raise BadInput(f"A labeller's name is 1 to 100 characters on one line, not {person[:40]!r}.")
    return annotations.storable(name)


def _lent(tx: Transaction, queue: Queue, row: str, person: str, now: float, *, taken_at: float | None = None) -> Hold:
    until = now + queue.lease_s
    annotations.hold(tx, queue.name, row, person, now=now, until=until)
    return Hold(row=row, person=person, taken_at=now if taken_at is None else taken_at, until=until)


def _said(tx: Transaction, name: str, token: str, *, row: str, person: str, action: Action, value: object) -> Annotation | None:
    """What was said with this token before, if it is the same. Conflict if it is something else."""
    sent = annotations.by_token(tx, name, token)
    if sent is None:
        return None
    if (sent.row, sent.person, sent.action, sent.value) != (row, person, action, value):
        raise _sent_before(sent)
    return sent


def _sent_before(sent: Annotation) -> Conflict:
    what = sent.action if sent.value is None else f"{sent.action} {values.text_of(sent.value)[:60]!r}"
    return Conflict(f"This form was sent before: {sent.person} said {what} on {sent.row}, which stays. Load the page anew.")


def _token(token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise BadInput(f"A token is 1 to 80 printable ASCII characters, new for each answer, not {token[:40]!r}.")
    return token


def _reason(reason: str) -> str:
    if len(reason) > MAX_REASON:
        raise BadInput(f"The reason has {len(reason):,} characters; up to {MAX_REASON:,} are kept. Shorten it.")
    return reason.strip()


def _seconds(given: float) -> float:
    if not math.isfinite(given) or given < 0:
        raise BadInput(f"Seconds spent are a number from 0 on, not {given!r}.")
    return min(given, _DAY_S)
