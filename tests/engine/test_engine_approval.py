"""A pipeline asks a person: what it is given, what stays on record, and what a kill or a deadline does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import approval_project
import pytest
from approval_project import asking, in_the_foreground
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.errors import BadInput, Conflict, NotFound, Stopped
from everloop.core.runs import Run
from everloop.core.verdict import Finding, Verdict
from everloop.engine.approval import _limit_s, approval
from everloop.engine.pipeline import pipeline
from everloop.engine.run import execute
from everloop.engine.step import step
from everloop.store import approvals, ledger, records, runs
from everloop.store.approvals import Approval
from everloop.store.workspace import Workspace, using

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def workspace(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.chdir(tmp_path)
    with Workspace(tmp_path, database_url=database_url) as opened, using(opened):
        yield opened


@pytest.fixture
def start(tmp_path: Path, database_url: str) -> Iterator[Start]:
    """Real processes of approval_project.py."""
    started: list[subprocess.Popen[str]] = []

    def begin(what: str) -> subprocess.Popen[str]:
        command = [sys.executable, approval_project.__file__, what, str(tmp_path), database_url]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def claimed(workspace: Workspace, **options: object) -> Run:
    with workspace.write() as tx:
        run = runs.claim(tx, runs.queue(tx, "", "asking", decision="", options=options).id)
    assert run is not None
    return run


def open_questions(workspace: Workspace) -> list[Approval]:
    with workspace.read() as tx:
        return approvals.find(tx)


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def answered(workspace: Workspace, given: str = "approved", *, reason: str = "", now: float | None = None) -> tuple[Approval, list[str]]:
    (asked,) = open_questions(workspace)
    with workspace.write() as tx:
        after, decision, going_on = approvals.answer(tx, asked.id, given, reason=reason, by="ada", now=now or time.time())  # type: ignore[arg-type]
        assert after.decision == decision.id
    return after, going_on


def bodies() -> list[str]:
    return Path("bodies.txt").read_text().split()


def test_a_run_that_nobody_waits_for_ends_as_waiting_and_goes_on_under_its_id(workspace: Workspace) -> None:
    run = claimed(workspace)
    assert execute(asking, 1, workspace=workspace, run=run) is None
    (asked,) = open_questions(workspace)
    with workspace.read() as tx:
        waiting = runs.get(tx, run.id)
        made = runs.steps_of(tx, run.id)
        assert (waiting.status, waiting.result["approval"]) == ("waiting", asked.id)
        assert asked.about == (made[0].output,)
        assert not approvals.is_due(tx, now=time.time() + 1e9)
    after, going_on = answered(workspace, reason="looks good")
    assert going_on == [run.id]
    with workspace.write() as tx:
        again = runs.claim(tx, run.id)
        assert runs.requeue_crashed(tx) == ([], [])
    assert again is not None
    assert execute(asking, 1, workspace=workspace, run=again) == "released [1]: approved"
    with workspace.read() as tx:
        steps = runs.steps_of(tx, run.id)
        assert runs.get(tx, run.id).status == "done"
        assert [(step.name, step.status) for step in steps] == [
            ("candidate", "done"),
            ("candidate", "hit"),
            ("approval", "done"),
            ("release", "done"),
        ]
        verdict = records.load(tx, steps[2].output, Verdict)
        assert verdict.passed
        assert verdict.findings[0].evidence["decision"] == after.decision
        assert "ada approved it at 20" in verdict.sentence()
        assert verdict.sentence().endswith("looks good")
        (decision,) = ledger.find(tx, about=run.id)
        assert (decision.id, decision.action, decision.actor) == (after.decision, "approve", "ada")
        assert ledger.find(tx, about=asked.id) == [decision]
        assert records.dangling(tx) == ledger.verify(tx) == []
    assert bodies() == ["candidate", "release"]


def test_in_the_foreground_it_says_how_to_answer_and_waits(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    def person() -> None:
        until(lambda: open_questions(workspace))
        answered(workspace, "rejected", reason="not today")

    thread = threading.Thread(target=person)
    thread.start()
    assert in_the_foreground(workspace).endswith("rejected it at " + time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()) + ": not today")
    thread.join()
    told = capsys.readouterr().err
    assert "Release it?" in told
    assert "everloop approve approval-" in told
    assert bodies() == ["candidate"]
    assert "not today" in in_the_foreground(workspace), "a rejection stays given"
    assert capsys.readouterr().err == ""


def test_another_candidate_or_question_is_another_one_and_equal_content_is_the_same(workspace: Workspace) -> None:
    ids: list[str] = []
    for value, question in ((1, "Release it?"), (1, "Release it?"), (2, "Release it?"), (1, "Sure?")):
        execute(asking, value, question, workspace=workspace, run=claimed(workspace))
        with workspace.read() as tx:
            ids.append(str(runs.find(tx, limit=1)[0].result["approval"]))
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert len(open_questions(workspace)) == 3


@step
def record(rows: int) -> Verdict:
    return Verdict(question="data", about="", findings=(Finding(check="rows", passed=True, message=f"{rows} rows"),))


@pipeline
def about_a_record(as_value: bool):
    made = record(3)
    return approval("Good?", about={"data": made.result() if as_value else made, "limit": 0.5})


def test_the_verdict_is_about_the_record_that_was_asked_about(workspace: Workspace) -> None:
    def ask(as_value: bool) -> Verdict | None:
        return execute(about_a_record, as_value, workspace=workspace, run=claimed(workspace))

    assert ask(False) is None
    answered(workspace)
    first = ask(False)
    assert first is not None
    assert first.about.startswith("verdict-")
    with workspace.read() as tx:
        assert records.dangling(tx) == []
        assert [child for _, child in records.children(tx, first.about)] == [first.id]
    assert ask(True) == first, "a record counts by its id, however it was passed"


@pytest.mark.parametrize("foreground", [True, False])
def test_when_the_time_is_over_the_policy_decides_and_that_is_on_record(workspace: Workspace, foreground: bool) -> None:
    def run(policy: str) -> object:
        asked = claimed(workspace, foreground=foreground)
        found = execute(asking, 1, f"{policy}?", 0.3, policy, workspace=workspace, run=asked)
        if foreground:
            return found
        assert found is None
        late = time.time() + 1
        with workspace.write() as tx:
            assert approvals.is_due(tx, now=late)
            assert [one.by for one in approvals.expire(tx, now=late, actor="scheduler")] == ["timeout"]
            again = runs.claim(tx, asked.id)
            assert not approvals.is_due(tx, now=late)
        assert again is not None
        return execute(asking, 1, f"{policy}?", 0.3, policy, workspace=workspace, run=again)

    assert run("approve") == "released [1]: approved"
    assert "Nobody answered by 20" in str(run("reject"))
    with pytest.raises(Stopped, match="Nobody answered"):
        run("fail")
    with workspace.read() as tx:
        decisions = ledger.find(tx, rule="approval timeout")
        assert [decision.action for decision in decisions] == ["approve", "reject", "give_up"]
        assert ledger.verify(tx) == []


def test_what_expired_with_a_failure_is_asked_anew_by_the_next_run(workspace: Workspace) -> None:
    with pytest.raises(Stopped):
        in_the_foreground(workspace, timeout=0, on_timeout="fail")
    assert open_questions(workspace) == []
    execute(asking, 1, timeout="1h", on_timeout="fail", workspace=workspace, run=claimed(workspace))
    (asked,) = open_questions(workspace)
    assert asked.deadline is not None
    assert asked.deadline > time.time() + 3500
    answered(workspace)
    assert in_the_foreground(workspace, timeout=0, on_timeout="fail") == "released [1]: approved"


def test_the_newest_asker_sets_the_limit_counted_from_the_first(workspace: Workspace) -> None:
    execute(asking, 1, timeout="1h", workspace=workspace, run=claimed(workspace))
    (first,) = open_questions(workspace)
    execute(asking, 1, timeout="2h", workspace=workspace, run=claimed(workspace))
    (second,) = open_questions(workspace)
    assert second.asked_at == first.asked_at
    assert second.deadline == pytest.approx(first.asked_at + 7200, abs=0.01)
    assert len(answered(workspace)[1]) == 2, "both runs go on"


def test_answers_that_come_too_late_or_twice_are_conflicts_and_can_be_taken_back(workspace: Workspace) -> None:
    execute(asking, 1, timeout="1h", workspace=workspace, run=claimed(workspace))
    with pytest.raises(Conflict, match="its time was over"):
        answered(workspace, now=time.time() + 3601)
    (asked,) = open_questions(workspace)
    with workspace.write() as tx, pytest.raises(Conflict, match="none to take back"):
        approvals.reopen(tx, asked.id, reason="", by="ada", now=time.time())
    answered(workspace, "rejected")
    with workspace.write() as tx, pytest.raises(Conflict, match=r"ada rejected it .*--reopen"):
        approvals.answer(tx, asked.id, "approved", reason="", by="bob", now=time.time())
    with workspace.write() as tx:
        approvals.reopen(tx, asked.id, reason="new figures", by="bob", now=time.time())
    answered(workspace)
    assert in_the_foreground(workspace) == "released [1]: approved"
    with workspace.read() as tx:
        assert [decision.action for decision in ledger.find(tx, about=asked.id)] == ["reject", "reopen", "approve"]
        with pytest.raises(NotFound, match="approval-"):
            approvals.one(tx, "approval-xyz")


def test_a_cancelled_run_leaves_its_question(workspace: Workspace) -> None:
    def person() -> None:
        until(lambda: open_questions(workspace))
        with workspace.write() as tx:
            runs.cancel(tx, runs.find(tx, status="running")[0].id, by="ada")

    thread = threading.Thread(target=person)
    thread.start()
    with pytest.raises(Stopped, match="ada"):
        in_the_foreground(workspace)
    thread.join()
    with workspace.read() as tx:
        assert runs.find(tx, limit=1)[0].status == "cancelled"
    answered(workspace)
    assert in_the_foreground(workspace) == "released [1]: approved"


def test_a_process_killed_while_it_waits_loses_nothing(workspace: Workspace, start: Start) -> None:
    first = start("run")
    until(lambda: open_questions(workspace))
    (asked,) = open_questions(workspace)
    first.kill()
    first.wait()
    second = start("run")
    until(lambda: [one.run for one in open_questions(workspace)] not in ([], [asked.run]))
    assert [one.asked_at for one in open_questions(workspace)] == [asked.asked_at]
    dying = start("die")
    assert dying.wait(60) == -9
    assert [one.id for one in open_questions(workspace)] == [asked.id], "an answer without its decision is none"
    with workspace.read() as tx:
        assert ledger.find(tx) == []
    answered(workspace)
    assert second.wait(60) == 0
    assert Path("answer.txt").read_text() == "released [1]: approved"
    assert bodies() == ["candidate", "release"]
    with workspace.write() as tx:
        crashed, again = runs.requeue_crashed(tx)
        assert ([run.id for run in crashed], again) == ([asked.run], [])


def test_ctrl_c_ends_the_run_and_the_question_stays(workspace: Workspace, start: Start) -> None:
    process = start("run")
    assert process.stderr is not None
    until(lambda: open_questions(workspace))
    assert "waits for a person" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) != 0
    with workspace.read() as tx:
        assert runs.find(tx)[0].status == "cancelled"
    answered(workspace)
    assert in_the_foreground(workspace) == "released [1]: approved"


def test_of_two_persons_at_once_one_wins(workspace: Workspace, start: Start) -> None:
    execute(asking, 1, workspace=workspace, run=claimed(workspace))
    persons = [start("answer") for _ in range(3)]
    until(lambda: len(list(Path().glob("ready-*"))) == len(persons))
    Path("gate").touch()
    said = sorted(person.communicate(timeout=60)[0].strip() for person in persons)
    assert said[-1] == "won"
    assert all("has an answer already: person " in text for text in said[:-1]), said
    with workspace.read() as tx:
        assert len(ledger.find(tx, action="approve")) == 1


@step
def asks_in_its_body() -> bool:
    return approval("May I?").passed


@pipeline
def asks_in_its_body_within() -> object:
    return asks_in_its_body()


@step(effect=True)
def connection() -> object:
    return (number for number in range(3))


def test_bad_input_is_said_so(workspace: Workspace) -> None:
    def ask(*args: object, **kwargs: object) -> None:
        execute(lambda: approval(*args, **kwargs), workspace=workspace, run=claimed(workspace))  # type: ignore[arg-type]

    with pytest.raises(BadInput, match="@pipeline"):
        approval("Anybody?")
    with pytest.raises(BadInput, match="not in the body"):
        execute(asks_in_its_body_within, workspace=workspace, run=claimed(workspace))
    with pytest.raises(BadInput, match="no question"):
        ask("  ")
    with pytest.raises(NotFound, match="Did you mean 'reject'"):
        ask("Q", on_timeout="rejct")
    for timeout in ("3 fortnights", "", "d", -1, float("nan"), float("inf"), "1d, 2h"):
        with pytest.raises(BadInput, match="timeout="):
            ask("Q", timeout=timeout)
    with pytest.raises(BadInput, match="no identity"):
        ask("Q", about=object())
    with pytest.raises(BadInput, match="no identity"):
        execute(lambda: approval("Q", about=connection()), workspace=workspace, run=claimed(workspace))
    assert open_questions(workspace) == []


def test_a_question_may_hold_any_text(workspace: Workspace) -> None:
    strange = "Release \0 'it' \ud800 \u202e %s :id?\n"
    execute(asking, 1, strange, workspace=workspace, run=claimed(workspace))
    answered(workspace, reason="yes \0 \ud800")
    assert in_the_foreground(workspace, question=strange) == "released [1]: approved"


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from("smhd")), min_size=1, max_size=4))
def test_time_limits_are_sums_of_their_parts(parts: list[tuple[int, str]]) -> None:
    seconds = sum(number * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit] for number, unit in parts)
    assert _limit_s(" ".join(f"{number}{unit}" for number, unit in parts)) == seconds
    assert _limit_s(timedelta(seconds=seconds)) == _limit_s(seconds) == seconds
    assert _limit_s(None) is None
    assert json.dumps(_limit_s("1.5h")) == "5400.0"
