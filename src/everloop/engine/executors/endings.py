"""How a process ended -> part of a sentence about it."""

from __future__ import annotations

import os
import signal


def ending(status: int, *, starved_mb: float | None = None) -> str:
    """`status` is what `wait` gives; `starved_mb` what the process had used, if want of memory probably killed it."""
    if not os.WIFSIGNALED(status):
        return f"exited with code {os.WEXITSTATUS(status)}"
    said = by_signal(os.WTERMSIG(status))
    if starved_mb is not None and os.WTERMSIG(status) == signal.SIGKILL:
        return f"{said}, probably for want of memory: it had used up to {starved_mb:,.0f} MB"
    return said


def of_code(code: int) -> str:
    """`code` as `subprocess` has it: negative for a signal."""
    return by_signal(-code) if code < 0 else f"exited with code {code}"


def by_signal(number: int) -> str:
    try:
        return f"was killed by signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"was killed by signal {number}"
