"""Pages as JSON lines in `pages.jsonl` of the workspace's own folder."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from everloop.monitor.sinks.page import Page

FILE = "pages.jsonl"


def deliver(page: Page, *, home: Path) -> None:
    """One append of one whole line, so that several processes can write the file."""
    handle = os.open(home / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        os.write(handle, msgspec.json.encode(page) + b"\n")
    finally:
        os.close(handle)
