"""`approval(...)`: a pipeline asks a person, and goes on when there is an answer, however long that takes and whatever dies meanwhile."""

from __future__ import annotations

import re
import reprlib
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast, get_args

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Stopped, unknown
from everloop.core.record import Record
from everloop.core.verdict import Finding, Verdict
from everloop.engine import scope
from everloop.engine.canonical import NoForm
from everloop.engine.handle import Handle
from everloop.engine.keys import canonical
from everloop.engine.run import Parked, conclude
from everloop.engine.step import step
from everloop.store import approvals, runs
from everloop.store.approvals import Approval, Policy
from everloop.store.workspace import current

if TYPE_CHECKING:
    from everloop.engine.coordinator import Execution

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST_S = 10 * 366 * 86400
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])")
# How often a run in the foreground looks for its answer.
_FIRST_LOOK_S = 0.2
_LAST_LOOK_S = 2.0
_SHOWN = 20
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxlevel = 2


def approval(
    question: str, *, about: object = (), timeout: float | str | timedelta | None = None, on_timeout: Policy = "reject"
) -> Verdict:
    """Ask a person, and wait for `everloop approve`. The verdict passes when it is approved: `if not approval(...).passed: return`.

    `about` is what is to be approved: handles, records or plain values. The same question about the same content has one answer, in every run
    of the pipeline; about another candidate it is another question.

    `timeout` is seconds, a timedelta, or text such as "3d" or "1h 30m", from when it was first asked; None waits for ever.
    When it is over, `on_timeout` says what follows: reject, approve, or fail, which raises Stopped.

    In the foreground the run waits here. A run that nobody waits for ends as `waiting`, and is queued again when there is an answer.
    """
    execution = scope.execution.get()
    if execution is None or scope.bodies.get():
        raise BadInput("approval() asks on behalf of a run. Call it in a @pipeline, between its steps, and not in the body of a step.")
    limit_s = _limit_s(timeout)
    if on_timeout not in get_args(Policy):
        raise unknown("approval(): on_timeout", str(on_timeout), get_args(Policy))
    if not question.strip():
        raise BadInput("approval() was given no question. Write what a person is to decide: approval('Release it?', about=candidate).")
    asked = _asked(execution, question.strip(), about, limit_s, on_timeout)
    if not asked.answer and not execution.run.options.get("foreground"):
        conclude("waiting", {"summary": f"waits for {asked.id}: {asked.question}", "approval": asked.id})
        raise Parked
    return cast("Verdict", _answered(asked.id, asked.question, _subject(about)).result())


@step(effect=True, name="approval")
def _answered(id: str, question: str, about: str) -> Verdict:
    """Wait for the answer, if it is not there yet."""
    execution = scope.execution.get()
    assert execution is not None
    with current().read() as tx:
        asked = approvals.get(tx, id)
    if not asked.answer:
        asked = _wait(execution, asked)
    if asked.answer == "expired":
        raise Stopped(
            f"{question!r}: {approvals.sentence(asked)} Run again to ask again; a later answer needs more time (timeout=), "
            "or another policy (on_timeout=)."
        )
    evidence = {
        "approval": id,
        "decision": asked.decision,
        "about": asked.about,
        "asked_at": asked.asked_at,
        "answered_at": asked.answered_at,
    }
    finding = Finding(
        check="approval",
        passed=asked.answer == "approved",
        message=approvals.sentence(asked),
        subject=question,
        observed=asked.answer,
        limit="approved",
        evidence=evidence | {"by": asked.by, "reason": asked.reason},
    )
    return Verdict(question="approval", about=about, findings=(finding,))


def _asked(execution: Execution, question: str, about: object, limit_s: float | None, policy: Policy) -> Approval:
    """The question as it stands in the store; what ran out meanwhile is answered by its policy."""
    run = execution.run
    try:
        identity = digest("everloop-approval-1", run.loop, run.pipeline, question, canonical(about))
    except NoForm as error:
        raise BadInput(
            f"approval({question!r}): what it is about has no identity: {error}. Pass handles, records or plain data."
        ) from error
    now = time.time()
    asked = Approval(
        id=approvals.new_id(identity),
        loop=run.loop,
        pipeline=run.pipeline,
        run=run.id,
        question=question,
        about=_subjects(about),
        asked_at=now,
        deadline=None if limit_s is None else now + limit_s,
        policy=policy,
    )
    with current().read() as tx:
        known = approvals.peek(tx, asked.id)
    if known is not None and known.answer in ("approved", "rejected"):
        return known
    with current().write() as tx:
        asked = approvals.ask(tx, asked)
    return _in_time(execution, asked)


def _in_time(execution: Execution, asked: Approval) -> Approval:
    now = time.time()
    if asked.answer or asked.deadline is None or asked.deadline > now:
        return asked
    with current().write() as tx:
        approvals.expire(tx, now=now, actor=execution.run.id)
        return approvals.get(tx, asked.id)


def _wait(execution: Execution, asked: Approval) -> Approval:
    """In the foreground, until there is an answer. The question stays when this process ends before."""
    until = "" if asked.deadline is None else f" until {approvals.moment(asked.deadline)}"
    shown = f"  about {', '.join(asked.about)}\n" if asked.about else ""
    print(
        f"{execution.run.pipeline} waits for a person{until}: {asked.question}\n{shown}"
        f"  everloop approve {asked.id}\n  everloop approve {asked.id} --reject --reason '...'",
        file=sys.stderr,
        flush=True,
    )
    pause_s = _FIRST_LOOK_S
    while not asked.answer:
        left_s = pause_s if asked.deadline is None else asked.deadline - time.time()
        time.sleep(max(0.0, min(pause_s, left_s)))
        pause_s = min(1.5 * pause_s, _LAST_LOOK_S)
        with current().read() as tx:
            asked = approvals.get(tx, asked.id)
            by = runs.cancel_asked(tx, execution.run.id)
        if by:
            execution.cancel(by)
            raise Stopped(f"Run {execution.run.id} was cancelled by {by} while it waited for {asked.id}.")
        asked = _in_time(execution, asked)
    return asked


def _limit_s(timeout: float | str | timedelta | None) -> float | None:
    """`"1d 12h"` -> 129600.0"""
    if timeout is None:
        return None
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, str):
        parts = _PART.findall(seconds)
        if not parts or _PART.sub("", seconds).strip():
            raise BadInput(f"approval(): timeout={timeout!r} is no time. Write seconds, or a text such as '45m', '12h', '3d' or '1d 12h'.")
        seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if not 0 <= seconds <= _LONGEST_S:
        raise BadInput(f"approval(): timeout={timeout!r} is not between nothing and ten years. Leave it out to wait for ever.")
    return float(seconds)


def _subjects(about: object) -> tuple[str, ...]:
    """What a person is shown: ids of records and results, and plain values as text."""
    found: list[str] = []
    for item in _leaves(about):
        found.append(item.output if isinstance(item, Handle) else item.id if isinstance(item, Record) else _short.repr(item))
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return (*found[:_SHOWN], *more)


def _subject(about: object) -> str:
    """The first record among it that the store has, which the verdict is then about; empty when there is none."""
    for item in _leaves(about):
        if isinstance(item, Handle) and item.artifact.type == "record":
            return item.output
        if isinstance(item, Record):
            with current().read() as tx:
                if approvals.is_record(tx, item.id):
                    return item.id
    return ""


def _leaves(about: object) -> Iterator[Handle[Any] | object]:
    if type(about) is list or type(about) is tuple:
        for item in cast("list[object]", about):
            yield from _leaves(item)
    elif type(about) is dict:
        yield from _leaves(list(cast("dict[object, object]", about).values()))
    else:
        yield cast("Handle[Any] | object", about)
