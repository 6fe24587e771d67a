"""What an HTTP status means: one table, and the one shape in which an error is answered."""

from __future__ import annotations

import http

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from everloop.core import errors
from everloop.server.web import render

STATUS: dict[type[errors.EverloopError], int] = {
    errors.BadInput: 400,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.BadProject: 500,
    errors.Broken: 500,
    errors.Missing: 501,
    errors.Busy: 503,
    errors.Stopped: 503,
    errors.Lost: 500,
}

RETRY_AFTER_S = 5


class Problem(msgspec.Struct, frozen=True):
    """The body of every JSON error: one sentence."""

    error: str


def status_of(error: errors.EverloopError) -> int:
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)


def answer(path: str, status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    """JSON below /api and for probes, a page elsewhere."""
    if path.startswith("/api/") or path in ("/api", "/healthz"):
        return Response(msgspec.json.encode(Problem(error=sentence)), status, headers, media_type="application/json")
    return HTMLResponse(render.error_page(status, http.HTTPStatus(status).phrase, sentence), status, headers)


def install(app: FastAPI) -> None:
    app.add_exception_handler(errors.EverloopError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _routing)


def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.EverloopError)
    status = status_of(error)
    return answer(request.url.path, status, str(error), {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    told = [
        f"{'.'.join(str(part) for part in problem['loc'][1:])}: {problem['msg']}, not {problem['input']!r:.80}"
        for problem in error.errors()
    ]
    return answer(request.url.path, 400, f"The request cannot be understood. {'; '.join(told)}.")


def _routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 404:
        return answer(path, 404, f"There is nothing at {path}. '/' shows all loops, '/api/openapi.json' lists the API.")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "GET")
        return answer(path, 405, f"{request.method} is not possible at {path}; it takes {allowed}.", {"Allow": allowed})
    return answer(path, error.status_code, str(error.detail), dict(error.headers or {}))
