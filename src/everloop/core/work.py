"""What an executor is: it runs work in other processes, and says what became of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol


class Resources(NamedTuple):
    """What a step's body needs while it runs, or what an executor has. Parts of a cpu or gpu are allowed; memory in megabytes."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_mb: float = 0.0


class Report(NamedTuple):
    """What an executor has to say about a ticket.

    `done`: `body` is what the work returned. `told`: `body` is what the work said of itself on the way. `lost`: the process that had
    it is gone without an answer, and `reason` says how it ended, as part of a sentence ("was killed by signal 11 (SIGSEGV)"). `gone`:
    so is the machine that it ran on, through no fault of the work.
    """

    ticket: int
    kind: Literal["told", "done", "lost", "gone"]
    body: bytes = b""
    reason: str = ""


class Work(Protocol):
    """What an executor runs for each ticket: bytes in, bytes out; it never raises. `tell` sends a few bytes back on the way."""

    def __call__(self, task: bytes, tell: Callable[[bytes], None]) -> bytes: ...


class Executor(Protocol):
    """Runs tasks in other processes. A dispatcher, not storage: what it loses is submitted again, by whoever submitted it.

    Entry-point group `executors`: a factory `(work, *, workers: int | None, folder: Path) -> Executor`. `work` is a function that can
    be imported; `folder` is where the executor may keep sockets and logs of its own. Used from one thread at a time, but for `wake`.
    """

    @property
    def capacity(self) -> Resources:
        """All that there is. Whoever submits keeps count of what is taken."""
        ...

    def submit(self, ticket: int, task: bytes, resources: Resources) -> None:
        """Start the work. Each ticket gets exactly one `done`, `lost` or `gone`, unless it is stopped before."""
        ...

    def stop(self, ticket: int) -> None:
        """End the work for good, with the processes that it started; nothing is reported of the ticket after this returns."""
        ...

    def reports(self, timeout_s: float | None) -> list[Report]:
        """What happened since the last call; waits until there is something, `wake` is called, or the time is over."""
        ...

    def wake(self) -> None:
        """Let a waiting `reports` return, from any thread."""
        ...

    def close(self) -> None:
        """Stop all, leave no process."""
        ...
