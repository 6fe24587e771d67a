"""Stages as they happen, on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.status import Status

    from everloop.engine.events import Event


class Progress:
    """An observer of a run. Each finished step leaves a line; those that are running are named on a terminal, with how far they are."""

    def __init__(self, title: str, *, quiet: bool = False) -> None:
        self.title = title
        self.quiet = quiet
        self._status: Status | None = None
        self._begun: dict[int, float] = {}
        self._running: dict[int, str] = {}

    def __enter__(self) -> Progress:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status(self.title)
            self._status.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __call__(self, event: Event) -> None:
        if self.quiet:
            return
        step = event.step
        if event.kind != "finished":
            if event.kind == "started":
                self._begun[step.seq] = time.monotonic()
            self._running[step.seq] = step.name + _share(event.done, event.of)
            self._update()
            return
        if self._running.pop(step.seq, None) is not None:
            self._update()
        took = time.monotonic() - self._begun.pop(step.seq, time.monotonic())
        mark = {"hit": "=", "done": "+", "failed": "!", "skipped": "-", "cancelled": "x"}.get(step.status, " ")
        why = step.error or step.because
        line = f"  {mark} {step.name:12} {took:7.2f} s  {why}"
        if self._status is not None:
            self._status.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def _update(self) -> None:
        if self._status is not None:
            self._status.update(f"{self.title}: {', '.join(list(self._running.values())[:5])}")


def _share(done: float, of: float | None) -> str:
    """` 40 %`, or ` 1,234` where nobody knows how much there is."""
    return f" {100 * done / of:.0f} %" if of else f" {done:,.0f}" if done else ""
