"""Labelling for programs: the same turns at the same desk as on the pages."""

from __future__ import annotations

import time
from typing import Annotated, TypeVar

import msgspec
from fastapi import Depends, FastAPI
from starlette.responses import Response

from everloop.core.errors import BadInput
from everloop.core.labelling import Action, Annotation, Value
from everloop.data.labelling import desk
from everloop.queries import labelling
from everloop.server.api.schema import answer, reply
from everloop.server.inputs import Name, json_body
from everloop.store.workspace import Workspace

T = TypeVar("T", bound=msgspec.Struct)


class Queues(msgspec.Struct, frozen=True):
    queues: list[labelling.Progress]


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants a row."""

    person: str


class Turn(msgspec.Struct, frozen=True):
    """The row that was lent until `until` (seconds since the epoch); both null when nothing is left for this person."""

    row: labelling.Shown | None
    until: float | None


class Say(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`label`, `skip`, `accept`, `reject` of a row, or `undo` of the person's last. `token` is new for each; sent again, nothing happens twice."""

    person: str
    action: Action
    token: str
    row: str = ""
    value: Value | None = None
    reason: str = ""
    seconds: float | None = None


KINDS: list[type[msgspec.Struct]] = [Queues, Turn, labelling.QueueReport, Annotation]


def install(app: FastAPI, workspace: Workspace) -> None:
    @app.get("/api/labelling", responses=reply(Queues), tags=["labelling"])
    def all_queues() -> Response:
        """Every queue, and how far it is."""
        return answer(Queues(queues=labelling.all_queues(workspace)))

    @app.get("/api/labelling/{queue}", responses=reply(labelling.QueueReport), tags=["labelling"])
    def one_queue(queue: Name) -> Response:
        """Progress, people, agreement, and who looks at what now."""
        return answer(labelling.report(workspace, queue, now=time.time()))

    @app.post("/api/labelling/{queue}/next", responses=reply(Turn), tags=["labelling"])
    def next_row(queue: Name, body: Annotated[bytes, Depends(json_body)]) -> Response:
        """Lend `{"person"}` a row: the one they hold, or the next."""
        asked = _read(body, Ask)
        with workspace.write() as tx:
            lent = desk.lend(tx, queue, asked.person, now=time.time())
        return answer(Turn(row=labelling.row(workspace, queue, lent.row) if lent else None, until=lent.until if lent else None))

    @app.post("/api/labelling/{queue}/annotations", responses=reply(Annotation), tags=["labelling"])
    def say(queue: Name, body: Annotated[bytes, Depends(json_body)]) -> Response:
        """`{"person", "action", "token", "row", "value", "reason", "seconds"}`: label, skip, undo, accept or reject."""
        said = _read(body, Say)
        now = time.time()
        with workspace.write() as tx:
            if said.action == "undo":
                made = desk.undo(tx, queue, person=said.person, token=said.token, now=now, origin="api")
            elif said.action in ("accept", "reject"):
                made = desk.review(
                    tx, queue, row=said.row, person=said.person, action=said.action, value=said.value, reason=said.reason, token=said.token, now=now,
                    origin="api",
                )  # fmt: skip
            else:
                made = desk.answer(
                    tx, queue, row=said.row, person=said.person, action=said.action, value=said.value, reason=said.reason, seconds=said.seconds,
                    token=said.token, now=now, origin="api",
                )  # fmt: skip
        return answer(made)


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"The request cannot be understood: {error}. It needs {', '.join(kind.__struct_fields__)}.") from None
