"""Nouns of labelling: a queue of rows that people label, what they said, and the labels that came of it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from everloop.core.record import Record

Value: TypeAlias = bool | int | float | str
Kind: TypeAlias = Literal["choice", "number", "text"]
Review: TypeAlias = Literal["ties", "all"]
Action: TypeAlias = Literal["label", "skip", "undo", "accept", "reject"]
State: TypeAlias = Literal["open", "review", "done"]

ANSWERS: tuple[Action, ...] = ("label", "skip")
REVIEWS: tuple[Action, ...] = ("accept", "reject")


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A task for labellers, over the rows of `snapshot`.

    `target` is the column that their labels become. `key` is the column that names a row; empty: a row is named by its own content. Rows that have a
    value in the target column are left out, unless `everything` is to be labelled. `choices` are
    the vocabulary of kind `choice`; numbers within `tolerance` of each other are the same answer. `wanted` labellers look at each row, which is lent
    for `lease_s` seconds. `review`: `ties` sends what labellers disagree on to a reviewer, `all` sends everything. `loop` is whose champion says which rows are worth most; `ordering` is how
    the rows were put in order. All but `snapshot`, `loop` and `ordering` stay as they were declared: earlier labels keep their meaning.
    """

    name: str
    dataset: str
    snapshot: str
    target: str
    key: str = ""
    everything: bool = False
    kind: Kind = "choice"
    choices: tuple[Value, ...] = ()
    tolerance: float = 0.0
    instruction: str = ""
    wanted: int = 1
    review: Review = "ties"
    lease_s: float = 600.0
    loop: str = ""
    ordering: str = ""
    created_at: float = 0.0
    created_by: str = ""


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that one person said of one row; it is never changed. `seq` counts up within the queue.

    `label` and `skip` are a labeller's answers; `accept` (with the final value) and `reject` (the row has no label) a reviewer's; `undo` takes
    back the annotation `undoes`, of the same person. `seconds` is what it took, None if unknown. `token` makes it one annotation however often it is
    sent. `origin` says which way it came: page, api, command or label_studio.
    """

    queue: str
    seq: int
    row: str
    person: str
    action: Action
    value: Value | None = None
    reason: str = ""
    seconds: float | None = None
    at: float
    token: str
    undoes: int | None = None
    origin: str = ""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A row in a queue. `position` is its place in the queue's snapshot, None when that has it no more; `rank` its turn, lowest first.

    `votes`, `skips` and `state` follow from the annotations; they stand here so that the next row is found without counting.
    """

    queue: str
    row: str
    position: int | None
    rank: int
    votes: int = 0
    skips: int = 0
    state: State = "open"


class LabelSet(Record, frozen=True, kw_only=True, tag="labels"):
    """The labels of a queue as they stood after annotation `until`: derived from the annotations, which are kept for ever, so that it can be had again.

    `content` is the digest of (row, value) of all `rows`, by row. Equal labels have equal ids, however people came to them.
    """

    queue: str
    target: str
    content: str
    rows: int
    until: int

    def identity(self) -> object:
        return [self.queue, self.target, self.content]
