"""A small executor, right in all that the conformance suite asks of the port; and its faulty children, each wrong in one thing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import psutil

from everloop.core.work import Report, Resources, Work

_fork = multiprocessing.get_context("fork")


def _serve(work: Work, task: bytes, mark: str, pipe: Connection) -> None:
    os.setpgid(0, 0)
    os.environ["PLAIN_EXECUTOR"] = mark
    answer = work(task, lambda body: pipe.send(("told", body)))
    pipe.send(("done", answer))
    pipe.recv()


class Plain:
    """A process for each ticket."""

    def __init__(self, work: Work, *, workers: int | None, folder: Path) -> None:
        self._work = work
        self.capacity = Resources(float(workers or 2))
        self._running: dict[int, tuple[Any, Connection]] = {}
        self._woken, self._wake = _fork.Pipe(duplex=False)

    def submit(self, ticket: int, task: bytes, resources: Resources) -> None:
        mine, theirs = _fork.Pipe()
        process = _fork.Process(target=_serve, args=(self._work, task, self._mark(ticket), theirs))
        process.start()
        theirs.close()
        self._running[ticket] = process, mine

    def stop(self, ticket: int) -> None:
        if ticket in self._running:
            self.end(ticket)

    def end(self, ticket: int) -> int:
        """Kill all that belongs to a ticket; how its process ended."""
        process, pipe = self._running.pop(ticket)
        process.kill()
        process.join()
        for other in psutil.process_iter():
            try:
                if other.pid != os.getpid() and other.environ().get("PLAIN_EXECUTOR") == self._mark(ticket):
                    other.kill()
            except psutil.Error:
                continue
        pipe.close()
        return process.exitcode

    def reports(self, timeout_s: float | None) -> list[Report]:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            sources: dict[Any, int] = {pipe: ticket for ticket, (_, pipe) in self._running.items()}
            sources |= {process.sentinel: ticket for ticket, (process, _) in self._running.items()}
            ready = wait([*sources, self._woken], None if deadline is None else max(0.0, deadline - time.monotonic()))
            found = [report for ticket in sorted({sources[each] for each in ready if each in sources}) for report in self.read(ticket)]
            if self._woken in ready:
                self._woken.recv()
            if found or self._woken in ready or not ready:
                return found

    def read(self, ticket: int) -> list[Report]:
        process, pipe = self._running[ticket]
        found: list[Report] = []
        try:
            while pipe.poll():
                kind, body = pipe.recv()
                found.append(Report(ticket, kind, body))
                if kind == "done":
                    pipe.send("leave")
                    process.join()
                    self._running.pop(ticket)
                    pipe.close()
                    return found
            if process.is_alive():
                return found
        except EOFError:
            process.join()
        return [*found, Report(ticket, "lost", reason=f"ended with {self.end(ticket)}")]

    def wake(self) -> None:
        self._wake.send(None)

    def close(self) -> None:
        for ticket in list(self._running):
            self.end(ticket)
        self._woken.close()
        self._wake.close()

    def _mark(self, ticket: int) -> str:
        return f"{os.getpid()}-{id(self)}-{ticket}"


class SaysTwice(Plain):
    def read(self, ticket: int) -> list[Report]:
        found = super().read(ticket)
        return found + [report for report in found if report.kind == "done" and ticket % 50 == 3]


class LosesATicket(Plain):
    def read(self, ticket: int) -> list[Report]:
        return [] if ticket == 30 and super().read(ticket) else super().read(ticket) if ticket in self._running else []


class MixesUp(Plain):
    def read(self, ticket: int) -> list[Report]:
        return [report._replace(ticket={3: 7, 7: 3}.get(ticket, ticket)) for report in super().read(ticket)]


class StopForgets(Plain):
    def stop(self, ticket: int) -> None:
        if ticket in self._running:
            self._left = [*getattr(self, "_left", []), self._running.pop(ticket)]

    def close(self) -> None:
        super().close()
        for process, pipe in getattr(self, "_left", []):
            _kill_family(process.pid)
            process.join()
            pipe.close()


class StopLeavesChildren(Plain):
    def stop(self, ticket: int) -> None:
        if ticket not in self._running:
            return
        process, pipe = self._running.pop(ticket)
        self._orphans = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.kill()
        process.join()
        pipe.close()

    def close(self) -> None:
        super().close()
        for pid in getattr(self, "_orphans", []):
            os.kill(pid, signal.SIGKILL)


class TalksAfterStop(Plain):
    def stop(self, ticket: int) -> None:
        super().stop(ticket)
        self._late = [Report(ticket, "lost", reason="was stopped")]

    def reports(self, timeout_s: float | None) -> list[Report]:
        late, self._late = getattr(self, "_late", []), []
        return late or super().reports(timeout_s)


class OneAtATime(Plain):
    def __init__(self, work: Work, *, workers: int | None, folder: Path) -> None:
        super().__init__(work, workers=workers, folder=folder)
        self._queue: list[tuple[int, bytes, Resources]] = []

    def submit(self, ticket: int, task: bytes, resources: Resources) -> None:
        self._queue.append((ticket, task, resources))

    def reports(self, timeout_s: float | None) -> list[Report]:
        if self._queue and not self._running:
            super().submit(*self._queue.pop(0))
        return super().reports(timeout_s)


class TellsAfterwards(Plain):
    def read(self, ticket: int) -> list[Report]:
        held = getattr(self, "_held", [])
        found = [*held, *super().read(ticket)]
        told = [report for report in found if report.kind == "told"]
        rest = [report for report in found if report.kind != "told"]
        self._held = [] if rest else told
        return [*rest, *told] if rest else []


class SilentAboutDeath(Plain):
    def read(self, ticket: int) -> list[Report]:
        return [report for report in super().read(ticket) if report.kind != "lost"]


class DeathLeavesChildren(Plain):
    def end(self, ticket: int) -> int:
        process, pipe = self._running.pop(ticket)
        process.kill()
        process.join()
        pipe.close()
        return process.exitcode


class SleepsOn(Plain):
    asleep = False

    def wake(self) -> None:
        """Does nothing."""

    def reports(self, timeout_s: float | None) -> list[Report]:
        self.asleep = True
        try:
            return super().reports(4.0 if timeout_s is None else timeout_s)
        finally:
            self.asleep = False

    def close(self) -> None:
        while self.asleep:
            time.sleep(0.01)
        super().close()


class CloseLeavesAll(Plain):
    def close(self) -> None:
        self.left = [process.pid for process, _ in self._running.values()]
        for _, pipe in self._running.values():
            pipe.close()


def _kill_family(pid: int) -> None:
    for child in psutil.Process(pid).children(recursive=True):
        child.kill()
    os.kill(pid, signal.SIGKILL)
