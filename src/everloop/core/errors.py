"""What can go wrong, by what the caller can do about it.

A message says what happened, with the value; what was expected; what to do next. HTTP statuses and exit codes are
two tables at the edges (`server/errors.py`, `serve/app.py`, `cli/exits.py`), never attributes of the errors.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EverloopError(Exception):
    """Root of all errors that everloop raises on purpose."""


class BadInput(EverloopError):
    """Fix the input: data, a parameter, a request."""


class BadProject(EverloopError):
    """Fix the project: `loop.py` is missing, does not import, or declares no loop."""


class NotFound(EverloopError):
    """Find the right name."""


class Busy(EverloopError):
    """Wait and retry: a lock is held, a port is taken, a queue is full."""


class Missing(EverloopError):
    """Install an extra; the message carries the exact line."""


class Conflict(EverloopError):
    """Resolve a conflict: somebody else changed the same thing, or the change is not allowed from here."""


class Broken(EverloopError):
    """Stored state is damaged or was tampered with; nothing was changed."""


class Stopped(EverloopError):
    """The work was cancelled or ran out of its budget."""


class Lost(EverloopError):
    """The process that did the work ended without an answer: it crashed, or was killed for want of memory."""


class UnknownName(NotFound, AttributeError):
    """A public name that does not exist; an AttributeError too, so that `hasattr` and `from ... import` keep their meaning."""


def public(module: str, name: str, known: Iterable[str]) -> AttributeError:
    """What a module's `__getattr__` raises: with the closest match for a person's typo, plainly for what Python itself asks."""
    return AttributeError(name) if name.startswith("_") else UnknownName(str(unknown(f"Name in {module}", name, known)))


def unknown(what: str, name: str, known: Iterable[str]) -> NotFound:
    """`Metric 'mea' does not exist. Did you mean 'mae'? Known: accuracy, f1, mae, rmse.`"""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3)
    # Swapped letters are the commonest slip, and difflib does not know them: mea is mae, not mse.
    close.sort(key=lambda known: sorted(known) != sorted(name))
    hint = f" Did you mean {close[0]!r}?" if close else ""
    listed = f" Known: {', '.join(names)}." if names else " None is known yet."
    return NotFound(f"{what} {name!r} does not exist.{hint}{listed}")
