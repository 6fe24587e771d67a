"""In front of every route: who may ask, under which name, and what each answer forbids the browser.

A page of a foreign site can make a browser send requests here under that site's own name (DNS rebinding); it cannot forge the
Host header, so that one is compared with the names we go by. It can also send a form here under our name (request forgery); it cannot
forge Sec-Fetch-Site and Origin, by which the browser says where a form came from. Nothing that happens behind the guards gets out as a traceback.
"""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from everloop.core.errors import BadInput
from everloop.server.errors import answer

log = logging.getLogger("everloop.server")

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Nothing is told to others; with no-referrer, browsers would not say of our own forms either that they are ours.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

SAFE = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\s:\[\]/@?#]+)(:\d{1,5})?", re.IGNORECASE)


def check(allowed_hosts: Sequence[str], token: str | None) -> None:
    """Raises BadInput for what would lock everybody out, or let everybody in."""
    if not allowed_hosts:
        raise BadInput("allowed_hosts is empty: no request could be answered. Name at least one, such as 'localhost'.")
    if token is not None and not token.strip():
        raise BadInput("The token is empty. Set one that is long and random, or None for no token.")


class Guards:
    """ASGI middleware, outermost. `allowed_hosts` are names without port; `token`, when given, must come as `Authorization: Bearer`."""

    def __init__(self, app: ASGIApp, *, allowed_hosts: Sequence[str], token: str | None) -> None:
        self._app = app
        self._hosts = frozenset(_plain(host) for host in allowed_hosts)
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # There is no websocket here; refuse before anything behind could accept one.
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _protect(message, scope["path"])
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal is not None:
            status, sentence, headers = refusal
            await answer(scope["path"], status, sentence, headers)(scope, receive, guarded)
            return
        try:
            await self._app(scope, receive, guarded)
        except Exception as error:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if started:
                raise
            sentence = f"Something happened that should not ({type(error).__name__}). The server's log has the details."
            await answer(scope["path"], 500, sentence)(scope, receive, guarded)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str, dict[str, str]] | None:
        hosts = headers.getlist("host")
        found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if found is None:
            return 400, f"The request needs exactly one Host header that is a name; it has {len(hosts)}.", {}
        if _plain(found["name"]) not in self._hosts:
            return 421, f"This server does not go by the name {found['name']!r:.80}. Use one of: {', '.join(sorted(self._hosts))}.", {}
        if self._token is not None and not self._is_known(headers.getlist("authorization")):
            return 401, "A token is needed: send 'Authorization: Bearer TOKEN'.", {"WWW-Authenticate": 'Bearer realm="everloop"'}
        if method not in SAFE and not _is_ours(headers, hosts[0]):
            return 403, "The request comes from a page of another site. Only pages of this server, and programs, can change something.", {}
        return None

    def _is_known(self, given: list[str]) -> bool:
        assert self._token is not None
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(" ")
        same = hmac.compare_digest(token.strip().encode("latin-1"), self._token)
        return same and scheme.lower() == "bearer"


def _is_ours(headers: Headers, host: str) -> bool:
    """Whether a browser says that the request was made by a page of ours. Programs send neither header: what they may do, the token says."""
    sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
    if sites:
        return sites in (["same-origin"], ["none"])
    return not origins or (len(origins) == 1 and origins[0].lower() in (f"http://{host.lower()}", f"https://{host.lower()}"))


def _plain(host: str) -> str:
    return host.lower().rstrip(".").removeprefix("[").removesuffix("]")


def _protect(message: Message, path: str) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in HEADERS.items():
        headers[name] = value
    headers["Cache-Control"] = "no-cache" if path.startswith("/static/") else "no-store"
