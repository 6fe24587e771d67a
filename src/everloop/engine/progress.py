"""`track`: a loop within a step's body that says how far it is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from everloop.engine import scope

T = TypeVar("T")
INTERVAL_S = 0.1


def track(items: Iterable[T], *, total: float | None = None) -> Iterator[T]:
    """The same items. Whoever watches the run sees how many were taken, at most every INTERVAL_S; outside a step nobody does.

    `total` is how many there are; by default `len(items)`, where it has one.
    """
    tell = scope.progress.get()
    if tell is None:
        yield from items
        return
    of = total if total is not None else float(len(items)) if hasattr(items, "__len__") else None  # type: ignore[arg-type]
    last = 0.0
    done = 0
    for done, item in enumerate(items, 1):
        yield item
        if time.monotonic() - last >= INTERVAL_S:
            last = time.monotonic()
            tell(done, of)
    tell(done, of)
