"""One loaded version answering requests in micro-batches, without a timer.

Rows that arrive in one turn of the event loop run as one batch at the end of that turn; rows that arrive while a batch runs in the
version's thread make the next one. A lone request therefore never waits for company.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from everloop.core.errors import BadInput, Busy
from everloop.core.live import Role
from everloop.serve.capture import Captures
from everloop.serve.decode import Row
from everloop.serve.errors import ModelFailed, RowRefused
from everloop.serve.frame import Plain, to_plain
from everloop.serve.limits import Limits
from everloop.serve.load import Loaded, limit_threads
from everloop.serve.metrics import LaneMeter

log = logging.getLogger("everloop.serve")


class Answered:
    """Answers of one request, in row order. `ids` are None when nothing was captured."""

    __slots__ = ("ids", "outputs", "probabilities")

    def __init__(self, outputs: list[Plain], probabilities: list[list[float]] | None) -> None:
        self.outputs = outputs
        self.probabilities = probabilities
        self.ids: list[str] | None = None


class Work:
    """Rows of one request on their way through a lane. `role` None is not captured; `mirrors` are the ids that a shadow's rows copy."""

    __slots__ = ("began", "future", "mirrors", "request", "role", "rows")

    def __init__(self, rows: list[Row], *, role: Role | None, request: str, began: float, mirrors: list[str] | None = None) -> None:
        self.rows = rows
        self.role: Role | None = role
        self.request = request
        self.began = began
        self.mirrors = mirrors
        self.future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()


class Lane:
    """Used from one event loop. Its thread ends when the lane is forgotten, so a replaced version finishes what it has begun."""

    def __init__(self, loaded: Loaded, *, captures: Captures | None, meter: LaneMeter, limits: Limits) -> None:
        self.loaded = loaded
        self.queued_rows = 0
        self._captures = captures
        self._meter = meter
        self._limits = limits
        self._queue: deque[Work] = deque()
        self._scheduled = False
        self._running = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"everloop {loaded.name}", initializer=limit_threads)

    @property
    def number(self) -> int:
        return self.loaded.registered.number

    @property
    def idle(self) -> bool:
        return not self._queue and not self._running

    def submit(self, work: Work) -> asyncio.Future[Answered]:
        """The future of the answers. Busy when the queue is full."""
        bound = self._limits.shadow_rows if work.role == "shadow" else self._limits.queued_rows
        if self._queue and self.queued_rows + len(work.rows) > bound:
            raise Busy(f"{self.queued_rows} rows are waiting for {self.loaded.name}; no more than {bound} may. Send again in a moment.")
        self._queue.append(work)
        self.queued_rows += len(work.rows)
        self._schedule()
        return work.future

    def _schedule(self) -> None:
        if not self._scheduled and not self._running:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if not self._queue:
            return
        batch = self._take()
        rows = sum(len(work.rows) for work in batch)
        self._meter.batch_rows.observe(rows)
        quick = self.loaded.pace.expects(rows) <= self._limits.inline_s
        if quick and not any(work.role == "shadow" for work in batch):
            self._finish(batch, self._answer(batch))
            if self._queue:
                self._schedule()
            return
        self._running = True
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._answer, batch)
        running.add_done_callback(lambda done: self._returned(batch, done))

    def _answer(self, batch: Sequence[Work]) -> list[Answered | Exception]:
        """Also counts what is out of the contract: a row that breaks a rule is answered, and shown."""
        contract = self.loaded.contract
        if contract is not None:
            check = contract.check
            for work in batch:
                if work.role is not None:
                    for row in work.rows:
                        if found := check(row):
                            self._meter.out_of_contract(found)
        return answer(self.loaded, batch)

    def _returned(self, batch: list[Work], done: asyncio.Future[list[Answered | Exception]]) -> None:
        self._running = False
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            # Nothing that a model raises gets here; a thread that cannot be started does.
            self._finish(batch, [ModelFailed(f"{self.loaded.name} could not be asked ({error}).") for _ in batch])
        else:
            self._finish(batch, done.result())
        if self._queue:
            self._schedule()

    def _take(self) -> list[Work]:
        """At least one request, and as many as fit a batch."""
        batch = [self._queue.popleft()]
        rows = len(batch[0].rows)
        while self._queue and rows + len(self._queue[0].rows) <= self._limits.batch_rows:
            work = self._queue.popleft()
            batch.append(work)
            rows += len(work.rows)
        self.queued_rows -= rows
        return batch

    def _finish(self, batch: Sequence[Work], results: Sequence[Answered | Exception]) -> None:
        kept = [(work, found) for work, found in zip(batch, results, strict=True) if work.role is not None and isinstance(found, Answered)]
        failure: Exception | None = None
        if kept and self._captures is not None:
            try:
                self._captures.keep(self.loaded.registered.loop, self.number, kept)
            except Exception as error:  # whatever it was, nobody may be left waiting
                log.error("%s", error)
                failure = error
        for work, found in zip(batch, results, strict=True):
            if work.future.done():
                continue
            if isinstance(found, Exception):
                work.future.set_exception(found)
            elif failure is not None and work.role is not None:
                work.future.set_exception(failure)
            else:
                work.future.set_result(found)


def answer(loaded: Loaded, batch: Sequence[Work]) -> list[Answered | Exception]:
    """Answers of each request. When a batch fails, each request is tried alone, so that one bad row spoils no other caller's."""
    began = time.perf_counter()
    rows = [row for work in batch for row in work.rows]
    try:
        whole = ask(loaded, rows)
    except ModelFailed as error:
        if len(batch) == 1:
            if not isinstance(error, RowRefused):
                log.error("%s", error, exc_info=error.__cause__)
            return [error]
        return [found for work in batch for found in answer(loaded, [work])]
    loaded.pace.note(time.perf_counter() - began, len(rows))
    if len(batch) == 1:
        return [whole]
    found: list[Answered | Exception] = []
    start = 0
    for work in batch:
        end = start + len(work.rows)
        found.append(Answered(whole.outputs[start:end], None if whole.probabilities is None else whole.probabilities[start:end]))
        start = end
    return found


def ask(loaded: Loaded, rows: Sequence[Row]) -> Answered:
    """One model call. RowRefused when its transform cannot read a value, ModelFailed when it raises, or answers another number of rows or of classes."""
    name = loaded.name
    try:
        outputs, probabilities = loaded.model.predict(loaded.framer(rows))
        if len(outputs) != len(rows):
            raise ValueError(f"{len(outputs)} answers for {len(rows)} rows")
        if probabilities is not None and probabilities.shape != (len(rows), len(loaded.signature.classes)):
            raise ValueError(
                f"probabilities of shape {probabilities.shape} for {len(rows)} rows and {len(loaded.signature.classes)} classes"
            )
        plain = [to_plain(value) for value in outputs.tolist()]
        return Answered(plain, None if probabilities is None else probabilities.tolist())
    except BadInput as error:
        raise RowRefused(str(error)) from error
    except (Exception, SystemExit) as error:
        raise ModelFailed(f"Model {name} failed on these rows ({type(error).__name__}: {str(error)[:200]}).") from error
