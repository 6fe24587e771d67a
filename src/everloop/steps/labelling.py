"""Between data and people: a snapshot's rows become a queue, in the order of what the champion is least sure of; labels go out and come in.

Each function is one act of a person or a schedule, and leaves a decision.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from everloop.core.errors import BadInput, unknown
from everloop.core.labelling import Kind, LabelSet, Queue, Review
from everloop.core.tables import Column, Snapshot
from everloop.queries.status import must_know
from everloop.steps.survey import How, survey
from everloop.store import annotations, datasets, ledger, records
from everloop.store.workspace import Workspace

if TYPE_CHECKING:
    from everloop.data.labelling.intake import Taken
    from everloop.data.labelling.labels import Label

RULE = "labelling"


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """`rows` wait for labels; `known` had a value in the target column already; `equal` were equal to another row, and share its label."""

    queue: Queue
    rows: int
    known: int
    equal: int


def open_queue(
    workspace: Workspace,
    *,
    name: str,
    snapshot: Snapshot,
    target: str,
    kind: Kind = "choice",
    choices: Sequence[str] = (),
    tolerance: float = 0.0,
    key: str = "",
    instruction: str = "",
    wanted: int = 1,
    review: Review = "ties",
    lease_s: float = 600.0,
    loop: str = "",
    how: How = "auto",
    seed: int = 0,
    everything: bool = False,
    actor: str,
) -> Opened:
    """A new queue over a snapshot's rows that have no value in the target column; over all of them with `everything`.

    `how` orders them; `auto` is `mixed` where `loop` has a champion that gives probabilities, else `plain`. BadInput for a declaration that makes no
    sense, Conflict when the name is taken.
    """
    from everloop.data.labelling.values import vocabulary

    if loop:
        must_know(workspace, loop)
    column = next((column for column in snapshot.columns if column.name == target), None)
    _check(name, target, kind, choices, wanted=wanted, lease_s=lease_s, tolerance=tolerance, key=key, columns=snapshot.columns)
    queue = Queue(
        name=name, dataset=snapshot.dataset, snapshot=snapshot.id, target=target, key=key, everything=everything, kind=kind,
        choices=vocabulary(choices, column.kind if column else None) if kind == "choice" else (), tolerance=tolerance, instruction=instruction.strip(),
        wanted=wanted, review=review, lease_s=lease_s, loop=loop, created_at=time.time(), created_by=actor,
    )  # fmt: skip
    found = survey(workspace, queue, snapshot, how=how, seed=seed)
    queue = msgspec.structs.replace(queue, ordering=found.ordering)
    if not found.items:
        raise BadInput(
            f"Every row of {snapshot.id} has a value in {target!r}: there is nothing to label. Ask for all rows if they are to be labelled anew."
        )
    with workspace.write() as tx:
        records.keep(tx, snapshot)
        annotations.open_queue(tx, queue)
        annotations.put_items(tx, name, found.items)
        reason = f"Queue {name!r}: {len(found.items)} rows of {snapshot.dataset!r} wait for {target!r}, {queue.ordering}."
        _decide(
            tx,
            queue,
            "open_queue",
            reason,
            about=(snapshot.id,),
            evidence={"rows": len(found.items), "known": found.known, "equal": found.equal},
            actor=actor,
        )
    return Opened(queue=queue, rows=len(found.items), known=found.known, equal=found.equal)


def refresh(
    workspace: Workspace,
    name: str,
    *,
    snapshot: Snapshot | None = None,
    loop: str = "",
    how: How = "auto",
    seed: int = 0,
    actor: str,
) -> Opened:
    """Put the rows of a snapshot (default: the newest of the dataset) into the queue, and all of them in order by the champion of today, of another `loop` if one is named. What was said stays with its row."""
    with workspace.read() as tx:
        queue = annotations.queue(tx, name)
        snapshot = snapshot or datasets.newest(tx, queue.dataset) or records.load(tx, queue.snapshot, Snapshot)
        settled = {item.row for item in annotations.items(tx, name) if item.state != "open"}
    if loop:
        must_know(workspace, loop)
    queue = msgspec.structs.replace(queue, snapshot=snapshot.id, dataset=snapshot.dataset, loop=loop or queue.loop)
    found = survey(workspace, queue, snapshot, how=how, seed=seed, settled=settled)
    queue = msgspec.structs.replace(queue, ordering=found.ordering)
    with workspace.write() as tx:
        before = annotations.locked(tx, name)
        records.keep(tx, snapshot)
        annotations.change_queue(tx, queue)
        annotations.put_items(tx, name, found.items)
        reason = f"Queue {name!r} now has {len(found.items)} rows of {snapshot.dataset!r}, {queue.ordering}."
        about = tuple(dict.fromkeys((snapshot.id, before.snapshot)))
        _decide(
            tx,
            queue,
            "refresh_queue",
            reason,
            about=about,
            evidence={"rows": len(found.items), "known": found.known, "equal": found.equal},
            actor=actor,
        )
    return Opened(queue=queue, rows=len(found.items), known=found.known, equal=found.equal)


def import_labels(workspace: Workspace, name: str, document: object, *, ignore_unknown: bool = False, actor: str) -> Taken:
    """Take in a Label Studio export, read as JSON. All of it or nothing."""
    from everloop.data.labelling import intake, label_studio

    with workspace.read() as tx:
        queue = annotations.queue(tx, name)
        snapshot = records.load(tx, queue.snapshot, Snapshot)
    said = intake.match(workspace.blobs, snapshot, queue, label_studio.read(document, queue))
    with workspace.write() as tx:
        taken = intake.take_in(tx, name, said, now=time.time(), ignore_unknown=ignore_unknown)
        reason = f"Queue {name!r}: {taken.added} of {len(said)} imported annotations were new, {len(taken.contradicted)} contradicted earlier ones."
        evidence = {"added": taken.added, "known": taken.known, "contradicted": len(taken.contradicted), "unknown": taken.unknown}
        _decide(tx, queue, "import_labels", reason, evidence=evidence, actor=actor)
    return taken


def accept_agreed(workspace: Workspace, name: str, *, actor: str) -> int:
    """Accept the majority's value on every row that waits for review and has one; how many there were."""
    from everloop.data.labelling import desk
    from everloop.data.labelling.consensus import standing

    now = time.time()
    with workspace.write() as tx:
        queue = annotations.locked(tx, name)
        accepted = 0
        for item in annotations.items(tx, name, state="review"):
            said = annotations.of_row(tx, name, item.row)
            if standing(queue, said).value is not None:
                token = f"accept-{said[-1].seq}-{item.row}"
                desk.review(tx, name, row=item.row, person=actor, action="accept", token=token, now=now, origin="command")
                accepted += 1
        reason = f"Queue {name!r}: the majority's value was accepted on {accepted} rows that waited for review."
        _decide(tx, queue, "accept_labels", reason, evidence={"accepted": accepted}, actor=actor)
    return accepted


class Export(NamedTuple):
    """`rows` are the labels by row; `set` names them, and is kept."""

    queue: Queue
    set: LabelSet
    rows: dict[str, Label]


def export(workspace: Workspace, name: str, *, at: str = "", actor: str) -> Export:
    """The labels now, or as they stood `at` an annotation's number, a time, or a label set that was kept before. The same again gives the same id."""
    from everloop.data.labelling import labels

    with workspace.write() as tx:
        queue = annotations.queue(tx, name)
        if at.startswith("labels-"):
            _, found = labels.again(tx, at)
            if found.set.queue != name:
                raise BadInput(f"{at} are labels of queue {found.set.queue!r}, not of {name!r}.")
        else:
            found = labels.derive(tx, queue, until=labels.at(tx, queue, at) if at else None)
        records.keep(tx, found.set)
        reason = f"{found.set.rows} labels of queue {name!r}, after annotation {found.set.until}, were exported."
        _decide(
            tx,
            queue,
            "export_labels",
            reason,
            about=(found.set.id, queue.snapshot),
            evidence={"rows": found.set.rows, "until": found.set.until},
            actor=actor,
        )
    return Export(queue, found.set, dict(found.rows))


def _check(
    name: str,
    target: str,
    kind: Kind,
    choices: Sequence[str],
    *,
    wanted: int,
    lease_s: float,
    tolerance: float,
    key: str,
    columns: Sequence[Column],
) -> None:
    import re

    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", name):
        raise BadInput(
            f"{name!r} cannot be a queue's name. Use small letters, digits, '.', '_' and '-', at most 63, beginning with a letter or digit."
        )
    if not target.strip() or len(target) > 200:
        raise BadInput(f"The target {target[:40]!r} cannot be a column's name: it is empty, or longer than 200 characters.")
    if kind != "choice" and choices:
        raise BadInput(
            f"A queue of kind {kind!r} has no choices; {len(choices)} were given. Leave them away, or make it a queue of choices."
        )
    if not 1 <= wanted <= 100:
        raise BadInput(f"{wanted} labellers a row: it is 1 to 100.")
    if not 1 <= lease_s <= 7 * 86_400:
        raise BadInput(f"A row is lent for 1 second to 7 days, not {lease_s:g} s.")
    if not 0 <= tolerance < float("inf"):
        raise BadInput(f"The tolerance is a number from 0 on, not {tolerance:g}.")
    if key and key == target:
        raise BadInput(f"{key!r} is the target: it cannot name the rows, too.")
    if key and key not in {column.name for column in columns}:
        raise unknown("Column", key, [column.name for column in columns])


def _decide(
    tx: Any, queue: Queue, action: str, reason: str, *, about: tuple[str, ...] = (), evidence: Mapping[str, object], actor: str
) -> None:
    ledger.append(
        tx, loop=queue.loop, rule=RULE, action=action, reason=reason, about=about, evidence={"queue": queue.name, **evidence}, actor=actor
    )
