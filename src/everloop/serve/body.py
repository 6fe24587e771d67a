"""The body of a request, read within bounds of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from everloop.serve.errors import Malformed, TooLarge, TooSlow, WrongType
from everloop.serve.limits import Limits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Headers = dict[bytes, bytes]


class Gone(Exception):  # the caller hung up: nobody is left to answer
    """The client closed the connection before its request was complete."""


async def read_json(headers: Headers, receive: Receive, limits: Limits) -> bytes:
    """The bytes of a JSON body. Raises WrongType, TooLarge (before reading what is too much), TooSlow, Malformed, or Gone."""
    kind = headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
    if kind != b"application/json" and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
        raise WrongType(f"Content-Type is {kind.decode('latin-1')[:80]!r}; application/json is expected.")
    announced = headers.get(b"content-length")
    if announced is not None:
        if not announced.isdigit():
            raise Malformed("Content-Length is not a number.")
        if len(announced) > 18 or int(announced) > limits.body_bytes:
            raise _too_large(limits)
    message = await _next(receive)
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        try:
            async with asyncio.timeout(limits.body_timeout_s):
                body = await _rest(body, receive, limits)
        except TimeoutError:
            raise TooSlow(f"The request was not complete after {limits.body_timeout_s:g} s. Send it faster, or in smaller parts.") from None
    if len(body) > limits.body_bytes:
        raise _too_large(limits)
    return body


async def _rest(first: bytes, receive: Receive, limits: Limits) -> bytes:
    parts = [first]
    size = len(first)
    more = True
    while more:
        message = await _next(receive)
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limits.body_bytes:
            raise _too_large(limits)
        parts.append(part)
        more = bool(message.get("more_body", False))
    return b"".join(parts)


async def _next(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    return message


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(f"The body is larger than the {limits.body_bytes} bytes that are taken. Send several requests.")
