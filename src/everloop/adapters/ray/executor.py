"""The executor `ray`: a ticket is a Ray task without retries of its own, its answer comes by the task's future."""

from __future__ import annotations

import queue
import time
from pathlib import Path
from typing import Any

from everloop.adapters.ray import cluster
from everloop.adapters.ray.guard import guard
from everloop.adapters.ray.messages import Address, Inbox, Teller
from everloop.core.errors import Broken
from everloop.core.work import Report, Resources, Work

_MB = 1_000_000
# Nodes join and leave; asking costs a call to the cluster's head.
_CAPACITY_EVERY_S = 5.0
# A wish to cancel that meets a task on its way to a worker may be missed.
_CANCEL_AGAIN_S = 0.5
_CANCEL_FOR_S = 15.0


class RayExecutor:
    """Joins the cluster that this process is connected to, or that RAY_ADDRESS names; else starts a local one of `workers` cpus.

    Each node must have everloop and the project's libraries installed, and see the project's folder and the workspace under the same paths.
    `workers` is how many cpus of the cluster are used at most. Ray counts resources; it does not enforce them.
    """

    def __init__(self, work: Work, *, workers: int | None = None, folder: Path) -> None:
        del folder  # Names of Ray's sockets would be too long there.
        module, local = cluster.join(workers)
        self._ray: Any = module
        self._workers = workers
        self._events: queue.SimpleQueue[Report | tuple[int, Any] | None] = queue.SimpleQueue()
        self._refs: dict[int, Any] = {}
        self._capacity: tuple[float, Resources] | None = None
        self._inbox = Inbox("127.0.0.1" if local else str(self._ray.util.get_node_ip_address()), self._told)
        self._task: Any = self._ray.remote(_perform)
        self._work: Any = self._ray.put(work)
        self._open = True

    @property
    def capacity(self) -> Resources:
        if self._capacity is None or time.monotonic() - self._capacity[0] > _CAPACITY_EVERY_S:
            found = self._ray.cluster_resources()
            cpus = float(found.get("CPU", 0.0))
            if self._workers is not None:
                cpus = min(cpus, float(self._workers))
            there = Resources(cpus, float(found.get("GPU", 0.0)), float(found.get("memory", 0.0)) / _MB)
            self._capacity = time.monotonic(), there
        return self._capacity[1]

    def submit(self, ticket: int, task: bytes, resources: Resources) -> None:
        options: dict[str, Any] = {"num_cpus": resources.cpus, "num_gpus": resources.gpus, "max_retries": 0, "name": "everloop"}
        if resources.memory_mb:
            options["memory"] = int(resources.memory_mb * _MB)
        ref = self._task.options(**options).remote(self._work, task, ticket, tuple(self._inbox.address))
        self._refs[ticket] = ref
        if resources != Resources() and not self._fits_a_node(resources):
            self._events.put(Report(ticket, "lost", reason=f"cannot be started: no machine of the cluster alone has {_amount(resources)}"))
        ref.future().add_done_callback(lambda future: self._events.put((ticket, future)))

    def stop(self, ticket: int) -> None:
        ref = self._refs.pop(ticket, None)
        if ref is not None:
            self._cancel([ref])

    def reports(self, timeout_s: float | None) -> list[Report]:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            try:
                left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
                events = [self._events.get(timeout=left_s)]
            except queue.Empty:
                return []
            while True:
                try:
                    events.append(self._events.get_nowait())
                except queue.Empty:
                    break
            reports = [report for event in events if event is not None and (report := self._report(event)) is not None]
            if reports or None in events:
                return reports

    def wake(self) -> None:
        self._events.put(None)

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        refs = list(self._refs.values())
        self._refs.clear()
        self._cancel(refs)
        self._inbox.close()
        self._work = self._task = None
        cluster.leave(self._ray)

    def _told(self, ticket: int, body: bytes) -> None:
        self._events.put(Report(ticket, "told", body))

    def _report(self, event: Report | tuple[int, Any]) -> Report | None:
        """None for what belongs to a ticket that was stopped, or has its last report."""
        ticket = event[0]
        if ticket not in self._refs:
            return None
        if isinstance(event, Report):
            if event.kind == "lost":
                self._cancel([self._refs.pop(ticket)])
            return event
        del self._refs[ticket]
        future: Any = event[1]
        error = future.exception()
        return Report(ticket, "done", future.result()) if error is None else self._failed(ticket, error)

    def _failed(self, ticket: int, error: BaseException) -> Report:
        kinds = self._ray.exceptions
        if isinstance(error, kinds.OutOfMemoryError):
            return Report(ticket, "lost", reason="was killed by Ray for want of memory on its machine")
        if isinstance(error, kinds.WorkerCrashedError):
            return Report(ticket, "lost", reason="ended unexpectedly (it crashed, ended itself, or was killed)")
        # The machine, or the way to it.
        moved = (kinds.NodeDiedError, kinds.LocalRayletDiedError, kinds.ObjectLostError, kinds.RaySystemError, kinds.RpcError)
        if isinstance(error, moved):
            return Report(ticket, "gone", reason=f"was lost with its machine ({type(error).__name__})")
        return Report(ticket, "lost", reason=f"could not do its work: {_first_line(error)}")

    def _cancel(self, refs: list[Any]) -> None:
        """Returns when the workers are ended."""
        ray, left = self._ray, refs
        deadline = time.monotonic() + _CANCEL_FOR_S
        while left and ray.is_initialized():
            for ref in left:
                try:
                    ray.cancel(ref, force=True)
                except ray.exceptions.RayError:
                    continue
            _, left = ray.wait(left, num_returns=len(left), timeout=_CANCEL_AGAIN_S, fetch_local=False)
            if left and time.monotonic() > deadline:
                raise Broken(f"Ray did not end {len(left)} tasks within {_CANCEL_FOR_S:g} s. 'ray status' shows how the cluster is.")

    def _fits_a_node(self, needs: Resources) -> bool:
        """Ray would wait for ever for a machine that is large enough."""
        return any(
            node["Alive"]
            and needs.cpus <= node["Resources"].get("CPU", 0.0)
            and needs.gpus <= node["Resources"].get("GPU", 0.0)
            and needs.memory_mb * _MB <= node["Resources"].get("memory", 0.0)
            for node in self._ray.nodes()
        )


def _perform(work: Work, task: bytes, ticket: int, address: tuple[str, int, bytes]) -> bytes:
    """In the worker."""
    guard()
    teller = Teller(Address(*address), ticket)
    try:
        return work(task, teller.tell)
    finally:
        teller.close()


def _amount(needs: Resources) -> str:
    return f"{needs.cpus:g} cpus, {needs.gpus:g} gpus and {needs.memory_mb:,.0f} MB"


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:300]
