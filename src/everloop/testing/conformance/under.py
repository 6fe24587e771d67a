"""What is checked, and how a check looks at it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, cast

from everloop.core.runs import Run, Step
from everloop.core.work import Executor, Work
from everloop.engine.events import Event

# How long whatever runs in a worker waits for others.
PATIENCE_S = 60.0
# How long it waits to see that nothing happens.
SILENCE_S = 0.3


@dataclass(frozen=True)
class Under:
    """The executor under check: its name in the entry-point group `executors`, or `inline`.

    `folder` is empty and the check's own. `workers` (at least 2) is how many bodies can run at once. `factory` takes the place of what the
    name finds, for the checks of the port alone. `patience_s` is how long a check waits for what has to happen: a slow machine needs
    some of it, a faulty executor all.
    """

    executor: str
    folder: Path
    workers: int = 2
    factory: Callable[..., Executor] | None = None
    patience_s: float = PATIENCE_S

    def open(self, work: Work) -> Executor:
        if self.factory is not None:
            return self.factory(work, workers=self.workers, folder=self.folder)
        from everloop.core.plugins import find

        return cast("Callable[..., Executor]", find("executors", self.executor))(work, workers=self.workers, folder=self.folder)


Check: TypeAlias = Callable[[Under], None]
"""Raises AssertionError, with what was seen and what should have been."""


@dataclass(frozen=True)
class Ran:
    """One run of a pipeline, however it ended: `value`, or `error`."""

    value: Any
    error: BaseException | None
    run: Run
    steps: list[Step]
    events: list[Event] = field(default_factory=list[Event])

    @property
    def rows(self) -> list[tuple[str, str]]:
        """(name, status) of each call, in the order of the calls."""
        return [(step.name, step.status) for step in self.steps]

    def good(self) -> Any:
        """The value; what went wrong instead comes out as it is."""
        if self.error is not None:
            raise self.error
        equal("the run's status", self.run.status, "done")
        return self.value


def ran(
    under: Under, pipeline: Callable[..., Any], *args: Any, name: str = "conformance", begun: Callable[[Run], object] | None = None
) -> Ran:
    """Run a pipeline in the workspace of the check's folder. `begun` gets the run before its first step."""
    from everloop.engine.run import execute
    from everloop.store import runs
    from everloop.store.workspace import Workspace

    events: list[Event] = []
    with Workspace(under.folder, home=under.folder / ".everloop") as workspace:
        with workspace.write() as tx:
            run = runs.claim(tx, runs.queue(tx, "", name, decision="").id)
        assert run is not None
        if begun is not None:
            begun(run)
        value, error = None, None
        try:
            value = execute(
                pipeline, *args, workspace=workspace, run=run, observers=[events.append], executor=under.executor, workers=under.workers
            )
        except Exception as raised:
            error = raised
        with workspace.read() as tx:
            return Ran(value, error, runs.get(tx, run.id), runs.steps_of(tx, run.id), events)


def equal(what: str, got: object, expected: object) -> None:
    if got != expected:
        raise AssertionError(f"{what}: {got!r}, expected {expected!r}")


def holds(condition: object, said: str) -> None:
    if not condition:
        raise AssertionError(said)


def failed_with(ran: Ran, kind: type[BaseException], *said: str) -> BaseException:
    """The run's error: of exactly this class, and saying all of that, in its text or its notes."""
    error = ran.error
    if error is None:
        raise AssertionError(f"the run gave {ran.value!r}, expected {kind.__name__}")
    if type(error) is not kind:
        raise AssertionError(f"the run failed with {type(error).__name__}: {error}, expected {kind.__name__}") from error
    text = "\n".join([str(error), *getattr(error, "__notes__", [])])
    for part in said:
        holds(part in text, f"the error says {text!r}, expected {part!r} in it")
    return error


def until(condition: Callable[[], object], said: str, *, within_s: float) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{said} (after {within_s:g} s)")
        time.sleep(0.01)


def gone(pids: Iterable[int], *, within_s: float) -> None:
    """Wait until none of these processes is alive."""
    pids = list(pids)
    until(lambda: not [pid for pid in pids if alive(pid)], f"of the processes {pids} some are still alive", within_s=within_s)


def alive(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def note(folder: str, line: str) -> None:
    """Add a line to the notes of a check, from any process at once."""
    handle = os.open(Path(folder) / "notes.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def notes(folder: Path | str) -> list[str]:
    path = Path(folder) / "notes.txt"
    return path.read_text().splitlines() if path.exists() else []


def aside(action: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread
