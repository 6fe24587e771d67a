"""What a sink delivers."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A call for a person. `decision` is the ledger entry that it belongs to; `everloop why <decision>` shows its evidence.

    A page may be delivered twice when a process dies between delivery and its record: sinks can tell by `decision`.
    """

    loop: str
    title: str
    body: str
    decision: str
    at: float


class Sink(Protocol):
    """Raises anything when it could not deliver; it is then asked again later."""

    def __call__(self, page: Page, *, home: Path) -> None: ...
