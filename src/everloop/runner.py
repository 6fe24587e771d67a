"""A run, from the request to its end: what the command line, the scheduler and rehearsals do around the ring."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from everloop.core.errors import EverloopError
from everloop.core.runs import Run
from everloop.engine.events import Observer
from everloop.engine.run import execute
from everloop.loop import collect, cycle
from everloop.project import Loop
from everloop.release.mirror import reflect
from everloop.steps import person
from everloop.store import datasets, ledger, runs
from everloop.store.datasets import Take
from everloop.store.workspace import Workspace, using

PIPELINE = "cycle"


def request(workspace: Workspace, loop: str, *, options: Mapping[str, object] | None = None, foreground: bool = False) -> Run:
    """A person asks for a run: the decision, and the run. In the foreground it is claimed for this process, else queued for the scheduler."""
    actor = person()
    asked = {name: value for name, value in (options or {}).items() if value}
    reason = "A person asked for a run" + (f" with {', '.join(f'{name} {value}' for name, value in asked.items())}" if asked else "") + "."
    with workspace.write() as tx:
        decision = ledger.append(tx, loop=loop, rule="trigger:person", action="start_run", reason=reason, evidence=asked, actor=actor)
        run = runs.queue(tx, loop, PIPELINE, decision=decision.id, options={**asked, "foreground": foreground})
        return (runs.claim(tx, run.id) or run) if foreground else run


def perform(workspace: Workspace, loop: Loop, run: Run, *, observers: Iterable[Observer] = ()) -> Run:
    """Execute a claimed run here: how it ended. An exception of the user's code comes out as it is, with the run marked as failed.

    What nobody watches is paged: a run that was queued and fails calls a person. The tracker is not told here, see `show`.
    """
    changes = run.options.get("params")
    changed = loop.with_params(changes) if isinstance(changes, dict) else loop
    pinned = run.options.get("snapshot")
    executor, workers = run.options.get("executor"), run.options.get("workers")
    try:
        execute(
            cycle,
            changed,
            snapshot=pinned,
            workspace=workspace,
            run=run,
            observers=observers,
            executor=executor if isinstance(executor, str) else None,
            workers=workers if isinstance(workers, int) else None,
        )
    except Exception as error:
        if not run.options.get("foreground"):
            _call_a_person(workspace, loop, run, error)
        raise
    with workspace.read() as tx:
        ended = runs.get(tx, run.id)
    if ended.status == "waiting":
        reason = f"Run {run.id} of {loop.name!r} {ended.result.get('summary', 'waits for a person')}. 'everloop approve' answers."
        _page(workspace, loop, run, "approval", reason)
    return ended


def take(workspace: Workspace, loop: Loop) -> Take:
    """Read the loop's source now: the version of its dataset that this is."""
    with using(workspace):
        collect(loop)
    with workspace.read() as tx:
        return datasets.takes(tx, loop.name)[-1]


def cancel(workspace: Workspace, run: Run) -> Run:
    """A person ends a run: the decision, and the run as it is then. One that is going on ends within a second or two, wherever it is;
    a body in the run's own process, on this machine, is interrupted as by Ctrl-C."""
    actor = person()
    with workspace.write() as tx:
        runs.cancel(tx, run.id, by=actor)
        ledger.append(
            tx, loop=run.loop, rule="person", action="cancel", reason=f"A person cancelled {run.id}.", about=(run.id,), actor=actor
        )
        after = runs.get(tx, run.id)
    if after.status == "running" and not runs.is_gone(run.process):
        host, _, rest = run.process.partition(":")
        if host == os.uname().nodename:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(int(rest.partition(":")[0]), signal.SIGINT)
    return after


def show(workspace: Workspace, loop: str) -> None:
    """Tell the tracker what it does not know. Its trouble is nobody else's: what it missed, it is told the next time."""
    try:
        reflect(workspace, loop)
    except Exception as error:
        print(f"The tracker was not told of all of {loop!r}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def settle(workspace: Workspace) -> None:
    """Runs whose process is gone are marked as crashed; those that nobody waits for are queued again, with a decision each."""
    with workspace.read() as tx:
        if not any(runs.is_gone(run.process) for run in runs.find(tx, status="running")):
            return
    with workspace.write() as tx:
        crashed, again = runs.requeue_crashed(tx)
        for run in crashed:
            repeated = next((other for other in again if other.decision == run.decision), None)
            reason = f"The process of {run.id} is gone." + (
                f" It starts again as {repeated.id}." if repeated else " It is not started again."
            )
            action, about = ("resume" if repeated else "give_up"), (run.id, repeated.id if repeated else "")
            ledger.append(tx, loop=run.loop, rule="crashed run", action=action, reason=reason, about=about, actor=person())


def _call_a_person(workspace: Workspace, loop: Loop, run: Run, error: Exception) -> None:
    what = str(error) if isinstance(error, EverloopError) else f"{type(error).__name__}: {error}"
    _page(
        workspace,
        loop,
        run,
        "failed run",
        f"Run {run.id} of {loop.name!r} failed: {what}. The champion stays; see .everloop/logs/{run.id}.log.",
    )


def _page(workspace: Workspace, loop: Loop, run: Run, rule: str, reason: str) -> None:
    from everloop.monitor.pages import page

    with workspace.write() as tx:
        page(
            tx,
            loop=loop.name,
            rule=rule,
            reason=reason,
            actor=run.id,
            at=time.time(),
            about=(run.id, run.decision),
            sinks=tuple(loop.sinks),
        )
