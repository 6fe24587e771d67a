"""Errors of the data plane and the HTTP status of each kind: the one table at this edge."""

from __future__ import annotations

from collections.abc import Iterable

from everloop.core.errors import BadInput, Broken, Busy, EverloopError, Missing, NotFound


class Malformed(BadInput):
    """Not JSON at all, or an incomplete request."""


class TooLarge(BadInput):
    """More than the server takes in one request."""


class TooSlow(BadInput):
    """The request did not arrive in time."""


class WrongMethod(BadInput):
    """The path exists, the method does not."""

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{method} is not possible on {path}. Use {allowed}.")
        self.allowed = allowed


class WrongType(BadInput):
    """The body is in a format that is not understood."""


class ModelFailed(EverloopError):
    """A model raised, or its answers do not fit the request."""


class RowRefused(ModelFailed):
    """The transform inside the model cannot read a value of a row, such as an image that is none. Said by a champion it is the caller's fault; a challenger
    that says so may be wrong, and the champion is asked."""


class CannotAnswer(Broken):
    """A version that opens, but raises on a row that it answered in its evaluation."""


class CaptureFailed(Broken):
    """An answer that cannot be kept is not given: it could never be explained or monitored."""


# Nearest first along each error's own classes, so that a kind of ours wins over the kind that it refines.
STATUS: dict[type[EverloopError], int] = {
    Malformed: 400,
    NotFound: 404,
    WrongMethod: 405,
    TooSlow: 408,
    TooLarge: 413,
    WrongType: 415,
    BadInput: 422,
    RowRefused: 422,
    ModelFailed: 500,
    CaptureFailed: 503,
    Busy: 503,
    Missing: 503,
    Broken: 503,
    EverloopError: 500,
}


def status_of(error: EverloopError) -> int:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def headers_of(error: EverloopError) -> Iterable[tuple[bytes, bytes]]:
    match error:
        case WrongMethod():
            yield b"allow", error.allowed.encode()
        case TooLarge() | TooSlow() | Malformed():
            # What is left of the body is not read: the connection cannot be used again.
            yield b"connection", b"close"
        case Busy() | CaptureFailed():
            yield b"retry-after", b"1"
        case _:
            return
