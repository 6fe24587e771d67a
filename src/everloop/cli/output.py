"""Data to stdout, talk to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec


def say(*lines: str) -> None:
    """Talk: progress, hints, warnings."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def emit_json(value: object) -> None:
    """One JSON object, readable by a person too."""
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode()
    print(text, flush=True)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "nothing yet") -> None:
    """A plain table that survives a pipe: no boxes, columns padded."""
    lines = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not lines:
        say(empty)
        return
    widths = [max(len(headers[i]), *(len(line[i]) for line in lines)) for i in range(len(headers))]
    for line in [list(headers), *lines]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def moment(at: float | None) -> str:
    """Local time to the second; empty for never."""
    return "" if not at else datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(start: float | None, end: float | None) -> str:
    return "" if start is None or end is None else f"{end - start:.2f} s"


def short(id: str) -> str:
    """Enough of an id to tell it from others by eye, and to paste back."""
    kind, _, rest = id.rpartition("-")
    return f"{kind}-{rest[:10]}" if kind and len(rest) >= 20 and kind != "run" else id
