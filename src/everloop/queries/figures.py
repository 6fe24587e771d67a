"""Figures as people read them, in a terminal and on a page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from everloop.core.profiles import ColumnProfile


def size(count: int) -> str:
    """In powers of ten, as disks are sold and `df -H` counts."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def told(column: ColumnProfile) -> str:
    """A column's values in a few words."""
    from everloop.data.profile import quantile

    if not column.valid:
        return "no value"
    if column.kind == "time" and column.low is not None and column.high is not None:
        return f"{_time(column.low)} to {_time(column.high)}"
    if column.low is not None and column.high is not None and column.mean is not None:
        return f"{column.low:.5g} to {column.high:.5g}, mean {column.mean:.5g}, median {quantile(column, 0.5) or 0.0:.5g}"
    if column.top:
        shown = ", ".join(f"{value[:24]} {count / column.valid:.0%}" for value, count in column.top[:4])
        return shown + (" …" if len(column.top) > 4 or column.other else "")
    if column.lengths:
        return f"lengths {column.lengths.low:,} to {column.lengths.high:,}"
    return ""


def _time(seconds: float) -> str:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s"
    return moment.strftime("%Y-%m-%d") if not seconds % 86_400 else moment.strftime("%Y-%m-%d %H:%M:%S")
