"""Trying again, where that can help: servers that are busy, connections that break."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from everloop.core.errors import Busy, EverloopError
from everloop.core.ports import Restart

T = TypeVar("T")

TRIES = 5
FIRST_S = 0.25
LONGEST_S = 20.0
# A server that wants to be left alone for longer than this is left alone.
PATIENCE_S = 90.0


class Transient(Exception):
    """What may be otherwise in a moment. The message says what happened, without a final stop; `after_s` is when the other side wants to be
    asked again, where it says so."""

    def __init__(self, said: str, *, after_s: float | None = None) -> None:
        super().__init__(said)
        self.after_s = after_s


def translated(call: Callable[[], T], error_of: Callable[[Exception], Exception], *, passing: tuple[type[Exception], ...] = ()) -> T:
    """What `call` gives, with a library's errors as `error_of` says them. The library's own is let go, not chained: it may hold secrets. Ours, and those
    of the kinds in `passing`, come out as they are."""
    raised: Exception
    try:
        return call()
    except (EverloopError, Transient, Restart, *passing):
        raise
    except Exception as error:
        raised = error_of(error)
    raise raised


def pause_s(attempt: int, *, chance: float, after_s: float | None = None) -> float:
    """Seconds to wait after `attempt` (from 1) failed: doubling up to LONGEST_S, not less than what the other side asked for, and with
    `chance` (0 to 1) somewhere in the upper half, so that many who failed together come back apart."""
    longest = min(FIRST_S * 2.0 ** min(attempt - 1, 60), LONGEST_S)
    return max(longest * (0.5 + 0.5 * chance), after_s or 0.0)


def patiently(attempt: Callable[[], T], *, tries: int | None = None) -> T:
    """What `attempt` gives, which may raise Transient a few times before. Busy when it still does then."""
    tries = tries or TRIES
    for at in range(1, tries + 1):
        try:
            return attempt()
        except Transient as error:
            if error.after_s is not None and error.after_s > PATIENCE_S:
                raise Busy(f"{error}, and wants to be left alone for {error.after_s:,.0f} s. Run again after that.") from None
            if at == tries:
                again = f" ({tries} tries)" if tries > 1 else ""
                raise Busy(f"{error}{again}. Run again later, or look at the other side.") from None
            time.sleep(pause_s(at, chance=random.random(), after_s=error.after_s))  # noqa: S311  # not for secrets
    raise AssertionError("unreachable")
