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
    """An observer of a run. Each finished step leaves a line; the one that is running spins on a terminal."""

    def __init__(self, title: str, *, quiet: bool = False) -> None:
        self.title = title
        self.quiet = quiet
        self._status: Status | None = None
        self._begun: dict[int, float] = {}

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
        if event.kind == "started":
            self._begun[step.seq] = time.monotonic()
            if self._status is not None:
                self._status.update(f"{self.title}: {step.name}")
            return
        took = time.monotonic() - self._begun.pop(step.seq, time.monotonic())
        mark = {"hit": "=", "done": "+", "failed": "!"}.get(step.status, " ")
        why = step.error if step.status == "failed" else step.because
        line = f"  {mark} {step.name:12} {took:7.2f} s  {why}"
        if self._status is not None:
            self._status.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)
