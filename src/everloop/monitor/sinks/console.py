"""Pages on the standard error of the process that watches."""

from __future__ import annotations

import sys
from pathlib import Path

from everloop.monitor.sinks.page import Page


def deliver(page: Page, *, home: Path) -> None:
    """One line. `home` is not used."""
    print(f"PAGE {page.loop}: {page.title} (everloop why {page.decision})".replace("\n", " "), file=sys.stderr, flush=True)
