"""The data plane's HTTP surface, as one bare ASGI application.

    POST /predict/{model}   {"rows": [{feature: value, ...}, ...]}   X-Everloop-Key: caller   X-Everloop-Version: 3 | champion | challenger
    POST /labels/{model}    {"labels": {prediction id: value, ...}}
    GET  /models  /healthz  /readyz  /metrics

Errors are `{"error": sentence}` with the status from `serve/errors.py`. A request with X-Everloop-Version is answered with id null: it is
not captured and takes no part in monitoring.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from everloop.core.errors import EverloopError, NotFound
from everloop.serve import feedback, status
from everloop.serve.answer import Asked, predict
from everloop.serve.body import Gone, Headers, Message, Receive, read_json
from everloop.serve.errors import WrongMethod, headers_of, status_of
from everloop.serve.metrics import CONTENT_TYPE
from everloop.serve.pinned import Pinned
from everloop.serve.table import Router
from everloop.store.workspace import Workspace

log = logging.getLogger("everloop.serve")

Send = Callable[[Message], Awaitable[None]]
Scope = dict[str, Any]

_JSON = b"application/json"
_encoder = msgspec.json.Encoder()


class App:
    """`router` says what answers; `workspace` is where labels and pinned versions are found, without one neither is offered."""

    def __init__(self, router: Router, workspace: Workspace | None = None) -> None:
        self._router = router
        self._workspace = workspace
        self._pinned = Pinned(workspace, router) if workspace is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            if scope["path"].startswith("/predict/"):
                await self._predict(scope, receive, send)
            elif scope["path"].startswith("/labels/"):
                await self._labels(scope, receive, send)
            else:
                await self._about(scope, send)
        except Gone:
            return
        except EverloopError as error:
            await _fail(send, error)
        except Exception:
            # A fault of ours. The caller learns that, the log learns the rest.
            log.exception("%s %s", scope["method"], scope["path"])
            await _send(send, 500, _encoder.encode({"error": "The server made a mistake; its log says more."}))

    async def _predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        model = scope["path"][len("/predict/") :]
        router = self._router
        version, role, code = 0, "", 500
        try:
            _only(scope, "POST")
            headers: Headers = dict(scope["headers"])
            body = await read_json(headers, receive, router.limits)
            key, pin = headers.get(b"x-everloop-key"), headers.get(b"x-everloop-version")
            asked = Asked(
                model,
                body,
                key.decode("latin-1") if key is not None else None,
                pin.decode("latin-1").strip() if pin is not None else None,
                time.perf_counter(),
            )
            reply = await predict(router, self._pinned, asked)
            version, role, code = reply.version, reply.role, 200
        except EverloopError as error:
            code = status_of(error)
            raise
        except Gone:
            code = 499
            raise
        finally:
            router.metrics.count(model if model in router.table else "", version, role, code)
        await _send(send, 200, reply.body)
        if reply.after is not None:
            reply.after()

    async def _labels(self, scope: Scope, receive: Receive, send: Send) -> None:
        model = scope["path"][len("/labels/") :]
        _only(scope, "POST")
        body = await read_json(dict(scope["headers"]), receive, self._router.limits)
        served = self._router.served(model)
        if self._workspace is None:
            raise NotFound("Labels are not taken here.")
        signature = served.champion.loaded.signature if served.champion is not None else None
        found = feedback.decode(body, signature, self._router.limits)
        added = await asyncio.to_thread(feedback.keep, self._workspace, model, found)
        await _send(send, 200, _encoder.encode(added))

    async def _about(self, scope: Scope, send: Send) -> None:
        path = scope["path"]
        if path not in {"/healthz", "/readyz", "/models", "/metrics"}:
            raise NotFound(
                f"{path[:200]!r} is not here. There are /predict/{{model}}, /labels/{{model}}, /models, /healthz, /readyz, /metrics."
            )
        _only(scope, "GET", "HEAD")
        match path:
            case "/healthz":
                await _send(send, 200, b'{"alive":true}')
            case "/readyz":
                good, body = status.ready(self._router)
                await _send(send, 200 if good else 503, _encoder.encode(body))
            case "/models":
                await _send(send, 200, _encoder.encode(status.models(self._router)))
            case _:
                await _send(send, 200, self._router.metrics.render(), kind=CONTENT_TYPE)


def _only(scope: Scope, *methods: str) -> None:
    if scope["method"] not in methods:
        raise WrongMethod(scope["method"][:20], scope["path"][:200], ", ".join(methods))


async def _fail(send: Send, error: EverloopError) -> None:
    await _send(send, status_of(error), _encoder.encode({"error": str(error)}), headers=headers_of(error))


async def _send(send: Send, code: int, body: bytes, *, kind: bytes = _JSON, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": code, "headers": [(b"content-type", kind), (b"content-length", length), *headers]})
    await send({"type": "http.response.body", "body": body})
