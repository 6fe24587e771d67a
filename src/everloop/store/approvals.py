"""Questions to people, their answers, and the runs that wait for them.

A question is what it asks and what it is about: whoever asks again finds the row, and the answer if there is one. An answer, its decision
in the ledger and the queueing of who waited for it are one transaction. In each of them rows of approvals are changed before those of runs, and the ledger
comes last, so that two of them never wait for each other.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from everloop.core.errors import BadInput, Conflict, unknown
from everloop.core.live import Decision
from everloop.core.record import ID_HEX
from everloop.store.database import Transaction

Policy: TypeAlias = Literal["reject", "approve", "fail"]
Answer: TypeAlias = Literal["", "approved", "rejected", "expired"]

TIMEOUT = "timeout"
_PREFIX = "approval-"
_BY_POLICY: Mapping[Policy, Answer] = {"approve": "approved", "reject": "rejected", "fail": "expired"}
_VERBS: Mapping[Answer, str] = {"approved": "approve", "rejected": "reject", "expired": "give_up"}


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A question and what became of it. `answer` is empty while it waits; `expired`: nobody answered, and the run that asked fails.

    `about` are the ids or texts of what is to be approved; `run` asked last; `policy` is what happens at the `deadline` (None: never).
    `by` is a person, or `timeout`. Times are seconds since the epoch (UTC).
    """

    id: str
    loop: str
    pipeline: str
    run: str
    question: str
    about: tuple[str, ...]
    asked_at: float
    deadline: float | None
    policy: Policy
    answer: Answer = ""
    reason: str = ""
    by: str = ""
    answered_at: float | None = None
    decision: str = ""


_NAMES = Approval.__struct_fields__
_SELECT = """
SELECT id, loop, pipeline, run, question, about, asked_at, deadline, policy, answer, reason, "by", answered_at, decision FROM approvals
"""
_INSERT = """
INSERT INTO approvals (id, loop, pipeline, run, question, about, asked_at, deadline, policy, answer, reason, "by", answered_at, decision)
VALUES (:id, :loop, :pipeline, :run, :question, :about, :asked_at, :deadline, :policy, '', '', '', NULL, '')
ON CONFLICT DO NOTHING
"""
_ASK_AGAIN = """
UPDATE approvals SET run = :run, asked_at = :asked_at, deadline = :deadline, policy = :policy, answer = '', reason = '', "by" = '',
  answered_at = NULL, decision = ''
WHERE id = :id AND answer = :seen
"""
_ANSWER = """
UPDATE approvals SET answer = :answer, reason = :reason, "by" = :by, answered_at = :now WHERE id = :id AND answer = ''
"""
_DECIDED = "UPDATE approvals SET decision = :decision WHERE id = :id"
_LATE = _SELECT + " WHERE answer = '' AND deadline <= :now ORDER BY id"
_WAITING_RUNS = "SELECT id, result FROM runs WHERE status = 'waiting' ORDER BY id"
_LAST_STEP = "SELECT max(seq) FROM steps WHERE run = :id"
_OPTIONS = "SELECT options FROM runs WHERE id = :id"
_QUEUE_AGAIN = "UPDATE runs SET status = 'queued', ended_at = NULL, result = '{}', options = :options WHERE id = :id AND status = 'waiting'"


def ask(tx: Transaction, asked: Approval) -> Approval:
    """Ask, or find the question as it stands. While nobody answered, the newest asker's time limit counts, from when it was first asked.

    What expired is asked anew by another run, or the same failure would meet everybody for ever.
    """
    asked = msgspec.structs.replace(asked, question=_storable(asked.question), about=tuple(map(_storable, asked.about)))
    tx.sql(_INSERT, _row(asked))
    found = get(tx, asked.id)
    if found.answer == "expired" and found.run != asked.run:
        fresh = asked
    elif found.answer == "" and (found.run, found.policy, _limit_s(found)) != (asked.run, asked.policy, _limit_s(asked)):
        fresh = msgspec.structs.replace(asked, asked_at=found.asked_at, deadline=_from(found.asked_at, _limit_s(asked)))
    else:
        return found
    tx.sql(_ASK_AGAIN, _row(fresh) | {"seen": found.answer})
    return get(tx, asked.id)


def get(tx: Transaction, id: str) -> Approval:
    found = _approvals(tx.sql(f"{_SELECT} WHERE id = :id", {"id": id}))
    if not found:
        raise unknown("Approval", id, [open.id for open in find(tx, limit=10)])
    return found[0]


def peek(tx: Transaction, id: str) -> Approval | None:
    return next(iter(_approvals(tx.sql(f"{_SELECT} WHERE id = :id", {"id": id}))), None)


def one(tx: Transaction, beginning: str) -> Approval:
    """The one question whose id begins so, `approval-` or not. NotFound with the closest, BadInput when there are several."""
    wanted = _PREFIX + beginning.removeprefix(_PREFIX)
    found = _approvals(tx.sql(f"{_SELECT} WHERE substr(id, 1, :length) = :wanted LIMIT 3", {"length": len(wanted), "wanted": wanted}))
    if len(found) > 1:
        raise BadInput(f"{beginning!r} is the beginning of several approvals: {', '.join(one.id for one in found)}. Give more of it.")
    return found[0] if found else get(tx, wanted)


def find(tx: Transaction, *, waiting: bool = True, limit: int = 100) -> list[Approval]:
    """Questions that wait for an answer, longest first; or all, newest first."""
    where, order = ("WHERE answer = ''", "asked_at, id") if waiting else ("", "asked_at DESC, id")
    return _approvals(tx.sql(f"{_SELECT} {where} ORDER BY {order} LIMIT :limit", {"limit": limit}))


def answer(
    tx: Transaction, id: str, given: Literal["approved", "rejected"], *, reason: str, by: str, now: float
) -> tuple[Approval, Decision, list[str]]:
    """A person answers: the question, the decision, and the runs that go on. Conflict when there is an answer, or the time is over."""
    found = get(tx, id)
    if not found.answer and found.deadline is not None and found.deadline <= now:
        raise Conflict(
            f"{id} ({found.question!r}) cannot be answered: its time was over at {moment(found.deadline)}. {_REOPEN.format(id=id)}"
        )
    if not tx.sql(_ANSWER, {"id": id, "answer": given, "reason": _storable(reason), "by": by, "now": now}).changed:
        raise Conflict(f"{id} has an answer already: {sentence(get(tx, id))} {_REOPEN.format(id=id)}")
    going_on = resume(tx)
    return *_decide(tx, id, rule="person", going_on=going_on, actor=by, now=now), going_on


def expire(tx: Transaction, *, now: float, actor: str) -> list[Approval]:
    """Apply the policy of each question whose time is over, and queue who waited for it."""
    late = _approvals(tx.sql(_LATE, {"now": now}))
    changes = [(one.id, {"id": one.id, "answer": _BY_POLICY[one.policy], "reason": "", "by": TIMEOUT, "now": now}) for one in late]
    mine = [id for id, change in changes if tx.sql(_ANSWER, change).changed]
    going_on = resume(tx) if mine else []
    return [_decide(tx, id, rule="approval timeout", going_on=going_on, actor=actor, now=now)[0] for id in mine]


def reopen(tx: Transaction, id: str, *, reason: str, by: str, now: float) -> tuple[Approval, Decision]:
    """Take the answer back: the next who asks, or who still waits, gets a new one. The time limit begins again."""
    from everloop.store import ledger

    found = get(tx, id)
    fresh = msgspec.structs.replace(found, asked_at=now, deadline=_from(now, _limit_s(found)))
    if not found.answer or not tx.sql(_ASK_AGAIN, _row(fresh) | {"seen": found.answer}).changed:
        raise Conflict(f"{id} ({found.question!r}) waits for an answer; there is none to take back. 'everloop approve {id}' gives one.")
    text = f"{found.question!r} is asked again" + (f": {reason.rstrip('.')}" if reason else "") + f". Before, {sentence(found)}"
    about = (id, found.run, found.decision, *found.about)
    decision = ledger.append(tx, loop=found.loop, rule="person", action="reopen", reason=text, about=about, actor=by, at=now)
    return get(tx, id), decision


def is_due(tx: Transaction, *, now: float) -> bool:
    """Whether `expire` or `resume` has something to do."""
    return bool(tx.sql(_LATE + " LIMIT 1", {"now": now})) or bool(_ready(tx))


def resume(tx: Transaction) -> list[str]:
    """Queue again, each under its own id, the runs that wait for a question that has its answer.

    Its steps are numbered behind those that it has: what really made a result stays on record, and the repetition shows as hits.
    """
    again: list[str] = []
    for id in _ready(tx):
        options = msgspec.json.decode(tx.sql(_OPTIONS, {"id": id}).value())
        options["steps_before"] = tx.sql(_LAST_STEP, {"id": id}).value() or 0
        if tx.sql(_QUEUE_AGAIN, {"id": id, "options": msgspec.json.encode(options).decode()}).changed:
            again.append(id)
    return again


def waiting_runs(tx: Transaction) -> dict[str, str]:
    """Run -> the question that it waits for."""
    rows = ((id, msgspec.json.decode(result)) for id, result in tx.sql(_WAITING_RUNS))
    return {id: result["approval"] for id, result in rows if "approval" in result}


def is_record(tx: Transaction, id: str) -> bool:
    """Whether it names a record of the store, so that a verdict may be about it."""
    return bool(tx.sql("SELECT 1 FROM records WHERE id = :id", {"id": id}))


def sentence(asked: Approval) -> str:
    """What became of it, in one line."""
    at = moment(asked.answered_at or 0.0)
    because = f": {asked.reason.rstrip('.')}." if asked.reason else "."
    if not asked.answer:
        return "Nobody has answered yet."
    if asked.by == TIMEOUT:
        end = {"approved": "it counts as approved", "rejected": "it counts as rejected", "expired": "the run that asked fails"}[
            asked.answer
        ]
        return f"Nobody answered by {moment(asked.deadline or 0.0)}, and so {end}."
    return f"{asked.by} {asked.answer} it at {at}{because}"


def moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))


_REOPEN = "'everloop approve {id} --reopen' asks again."


def _decide(tx: Transaction, id: str, *, rule: str, going_on: Iterable[str], actor: str, now: float) -> tuple[Approval, Decision]:
    # Imported here: it loads SQLAlchemy, which a run that only finds its answer does not need.
    from everloop.store import ledger

    asked = get(tx, id)
    evidence = {"question": asked.question, "reason": asked.reason, "asked_at": asked.asked_at, "deadline": asked.deadline}
    decision = ledger.append(
        tx, loop=asked.loop, rule=rule, action=_VERBS[asked.answer], reason=f"{asked.question!r}: {sentence(asked)}", actor=actor, at=now,
        about=(id, asked.run, *going_on, *asked.about), evidence=evidence,
    )  # fmt: skip
    tx.sql(_DECIDED, {"id": id, "decision": decision.id})
    return msgspec.structs.replace(asked, decision=decision.id), decision


def _ready(tx: Transaction) -> list[str]:
    waits = waiting_runs(tx)
    answered = {id for id in set(waits.values()) if (found := peek(tx, id)) is not None and found.answer}
    return [run for run, id in waits.items() if id in answered]


def _storable(text: str) -> str:
    """What every database takes: PostgreSQL refuses NUL and half a surrogate pair."""
    return text.replace("\0", "").encode(errors="replace").decode()


def _limit_s(asked: Approval) -> float | None:
    return None if asked.deadline is None else round(asked.deadline - asked.asked_at, 3)


def _from(start: float, limit_s: float | None) -> float | None:
    return None if limit_s is None else start + limit_s


def _row(asked: Approval) -> dict[str, Any]:
    return msgspec.structs.asdict(asked) | {"about": msgspec.json.encode(asked.about).decode()}


def _approvals(rows: Iterable[tuple[Any, ...]]) -> list[Approval]:
    found: list[Approval] = []
    for row in rows:
        content = dict(zip(_NAMES, row, strict=True))
        content["about"] = tuple(msgspec.json.decode(content["about"]))
        found.append(Approval(**content))
    return found


def new_id(identity: str) -> str:
    return f"{_PREFIX}{identity[:ID_HEX]}"
