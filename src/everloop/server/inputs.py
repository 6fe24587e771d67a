"""What a URL and a body may carry, for pages and API alike."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import parse_qsl

from fastapi import Path, Query
from starlette.requests import Request

from everloop.core.errors import BadInput

MAX_BODY = 1 << 20
MAX_FIELDS = 40

# Control characters are in no name of ours, and PostgreSQL refuses NUL.
_NAMED = r"^[^\x00-\x1f\x7f]+$"
_FILTER = r"^[^\x00-\x1f\x7f]*$"

Id = Annotated[str, Path(max_length=200, pattern=_NAMED, description="a unique beginning will do")]
Name = Annotated[str, Path(max_length=200, pattern=_NAMED)]
Filter = Annotated[str, Query(max_length=200, pattern=_FILTER, description="empty for any")]
Outcome = Annotated[Literal["", "done", "suppressed"], Query(description="empty for any")]
Status = Annotated[
    Literal["", "queued", "running", "waiting", "done", "stopped", "refused", "failed", "crashed", "cancelled"],
    Query(description="empty for any"),
]
Limit = Annotated[int, Query(ge=1, le=1000)]
Before = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="only entries before this number; `older` of the page before")]


async def form(request: Request) -> dict[str, str]:
    """The fields of a page's form. BadInput when it is sent in another way, or is larger than `MAX_BODY`."""
    content = await _body(request, "application/x-www-form-urlencoded")
    try:
        return dict(parse_qsl(content.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise BadInput(f"The form cannot be understood ({error}). Load the page anew.") from None


async def json_body(request: Request) -> bytes:
    """JSON, not decoded yet. A foreign page's form cannot send this content type."""
    return await _body(request, "application/json")


async def _body(request: Request, kind: str) -> bytes:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != kind:
        raise BadInput(f"The request is {given or 'of no content type'}, not {kind}.")
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MAX_BODY:
            raise BadInput(f"The request is larger than {MAX_BODY:,} bytes. Send less.")
    return bytes(content)
