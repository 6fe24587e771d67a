"""The pages on which people label: a list of queues, one row at a time, and what waits for a reviewer.

Reading a page changes nothing: rows are lent, answered and taken back by forms, each of which comes back to a page. Who labels is what they say: the
name is theirs to choose, and a cookie remembers it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import quote, unquote

from fastapi import Depends, FastAPI, Path
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.requests import Request
from starlette.responses import Response

from everloop.core.errors import BadInput, EverloopError
from everloop.data.labelling import desk, media
from everloop.queries import labelling
from everloop.server.inputs import Name, form
from everloop.store.workspace import Workspace

Show = Callable[..., HTMLResponse]
Form = Annotated[dict[str, str], Depends(form)]
Cell = Annotated[str, Path(max_length=1000)]

COOKIE = "everloop_labeller"
_YEAR_S = 365 * 86_400
REVIEWED = 100


def install(app: FastAPI, workspace: Workspace, show: Show) -> None:
    @app.get("/labelling", include_in_schema=False)
    def all_queues() -> HTMLResponse:
        return show("queues.html", queues=labelling.all_queues(workspace))

    @app.get("/labelling/{queue}", include_in_schema=False)
    def desk_of(request: Request, queue: Name) -> HTMLResponse:
        return _desk(workspace, show, queue, _labeller(request))

    @app.post("/labelling/{queue}", include_in_schema=False)
    def turn(queue: Name, sent: Form) -> Response:
        person = sent.get("person", "")
        try:
            _turn(workspace, queue, sent, person)
        except EverloopError as error:
            return _wrong(error, _desk(workspace, show, queue, person, problem=str(error)))
        return _back(f"/labelling/{quote(queue, safe='')}", person)

    @app.get("/labelling/{queue}/review", include_in_schema=False)
    def to_review(request: Request, queue: Name) -> HTMLResponse:
        found = labelling.to_review(workspace, queue, limit=REVIEWED)
        return show("review.html", progress=labelling.progress(workspace, queue), rows=found, limit=REVIEWED, person=_labeller(request))

    @app.get("/labelling/{queue}/review/{row}", include_in_schema=False)
    def one_review(request: Request, queue: Name, row: Name) -> HTMLResponse:
        return _reviewing(workspace, show, queue, row, _labeller(request))

    @app.post("/labelling/{queue}/review/{row}", include_in_schema=False)
    def say(queue: Name, row: Name, sent: Form) -> Response:
        person = sent.get("person", "")
        try:
            _word(workspace, queue, row, sent, person)
        except EverloopError as error:
            return _wrong(error, _reviewing(workspace, show, queue, row, person, problem=str(error)))
        return _back(f"/labelling/{quote(queue, safe='')}/review", person)

    @app.get("/labelling/{queue}/rows/{row}/{column:path}", include_in_schema=False)
    def cell(queue: Name, row: Name, column: Cell) -> Response:
        """One cell as it is, for <img> and <audio>. What is neither, nor text, is only given to be saved."""
        kind, content = labelling.content(workspace, queue, row, column)
        saved = {"Content-Disposition": "attachment"} if kind == media.UNKNOWN else {}
        return Response(content, media_type=kind, headers=saved)


def _desk(workspace: Workspace, show: Show, queue: str, person: str, *, problem: str = "") -> HTMLResponse:
    now = time.time()
    progress = labelling.progress(workspace, queue)
    try:
        name = desk.named(person) if person else ""
    except BadInput:
        name = ""
    held = labelling.held(workspace, queue, name, now=now) if name else None
    return show(
        "labelling.html",
        progress=progress,
        person=name,
        problem=problem,
        held=held,
        shown=labelling.row(workspace, queue, held.row) if held else None,
        last=labelling.last(workspace, queue, name) if name else None,
        token=secrets.token_hex(16),
    )


def _turn(workspace: Workspace, queue: str, sent: Mapping[str, str], person: str) -> None:
    now, token, do = time.time(), sent.get("token", ""), sent.get("do", "")
    with workspace.write() as tx:
        match do:
            case "label" | "skip":
                desk.answer(
                    tx, queue, row=sent.get("row", ""), person=person, action=do, value=sent.get("value"), reason=sent.get("reason", ""),
                    seconds=_seconds(sent.get("seconds", "")), token=token, now=now, origin="page",
                )  # fmt: skip
            case "undo":
                desk.undo(tx, queue, person=person, token=token, now=now, origin="page")
            case "next":
                pass
            case _:
                raise BadInput(f"{do!r:.80} is nothing that can be done here. It is one of: label, next, skip, undo.")
        desk.lend(tx, queue, person, now=now)


def _reviewing(workspace: Workspace, show: Show, queue: str, row: str, person: str, *, problem: str = "") -> HTMLResponse:
    return show(
        "reviewing.html",
        progress=labelling.progress(workspace, queue),
        shown=labelling.row(workspace, queue, row),
        person=person,
        problem=problem,
        token=secrets.token_hex(16),
    )


def _word(workspace: Workspace, queue: str, row: str, sent: Mapping[str, str], person: str) -> None:
    do: Any = sent.get("do", "")
    with workspace.write() as tx:
        desk.review(
            tx, queue, row=row, person=person, action=do, value=sent.get("value") if do == "accept" else None, reason=sent.get("reason", ""),
            token=sent.get("token", ""), now=time.time(), origin="page",
        )  # fmt: skip


def _back(path: str, person: str) -> Response:
    """To a page that can be loaded again without sending anything twice; the browser remembers the name."""
    back = RedirectResponse(path, 303)
    back.set_cookie(COOKIE, quote(person.strip()), max_age=_YEAR_S, path="/labelling", httponly=True, samesite="strict")
    return back


def _wrong(error: EverloopError, page: HTMLResponse) -> HTMLResponse:
    # Imported here: the table of errors shows pages, too.
    from everloop.server.errors import status_of

    page.status_code = status_of(error)
    return page


def _labeller(request: Request) -> str:
    return unquote(request.cookies.get(COOKIE, ""))[:200]


def _seconds(text: str) -> float | None:
    """What the page measured; None where it has no script."""
    try:
        return float(text) if text else None
    except ValueError:
        raise BadInput(f"Seconds spent are a number, not {text[:40]!r}.") from None
