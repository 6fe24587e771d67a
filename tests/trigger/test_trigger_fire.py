"""From proposals to the ledger and one queued run, in a real workspace."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from everloop.core.live import Decision, Window
from everloop.core.runs import Run, RunStatus
from everloop.core.verdict import Finding, verdict
from everloop.store import ledger, runs
from everloop.store.workspace import Workspace
from everloop.trigger import triggers
from everloop.trigger.decide import by_person
from everloop.trigger.evidence import Evidence
from everloop.trigger.fire import consider, fire
from everloop.trigger.triggers import Trigger

DROP = triggers.performance_drop("accuracy", cooldown_s=100.0)
CHANGE = triggers.distribution_change(cooldown_s=100.0)
ROWS = triggers.new_rows(10, cooldown_s=100.0)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path) as opened:
        yield opened


def drifted(first: int = 0, **more: object) -> Evidence:
    window = Window(loop="digits", version=1, first=first, rows=200, start=0.0, end=1.0, profile="")
    detail = {"metric": "accuracy", "drop": 0.1}
    findings = [
        Finding(check="estimated_performance", passed=False, message="Accuracy fell.", evidence=detail),
        Finding(check="feature_drift", passed=False, message="Features drifted.", observed=3, severity="info"),
    ]
    return Evidence(window=window, verdict=verdict("monitoring", window.id, findings), **more)  # type: ignore[arg-type]


def ask(workspace: Workspace, evidence: Evidence, now: float, *asked: Trigger) -> list[Decision]:
    return consider(workspace, "digits", asked or (DROP,), evidence, now=now, actor="test")


def all_runs(workspace: Workspace) -> list[Run]:
    with workspace.read() as tx:
        return runs.find(tx, loop="digits")


def end(workspace: Workspace, status: RunStatus) -> None:
    with workspace.write() as tx:
        for run in runs.find(tx, loop="digits"):
            if run.status in ("queued", "running"):
                runs.finish(tx, run.id, status)


def test_many_findings_start_one_run(workspace: Workspace) -> None:
    decisions = ask(workspace, drifted(new_rows=50, stamp="s"), 0.0, DROP, CHANGE, ROWS)
    assert [(d.rule, d.outcome) for d in decisions] == [(DROP.rule, "done"), (CHANGE.rule, "suppressed"), (ROWS.rule, "suppressed")]
    [run] = all_runs(workspace)
    assert (run.status, run.pipeline, run.decision) == ("queued", "cycle", decisions[0].id)
    for joined in decisions[1:]:
        assert joined.reason.endswith(f"joined {run.id}.")
        assert run.id in joined.about
    with workspace.read() as tx:
        assert ledger.verify(tx) == []


def test_asking_again_and_again_writes_nothing_new(workspace: Workspace) -> None:
    ask(workspace, drifted(), 0.0, DROP, CHANGE)
    end(workspace, "done")
    for now in range(1, 90):
        assert ask(workspace, drifted(), float(now), DROP, CHANGE) == []
    assert len(all_runs(workspace)) == 1


def test_a_trigger_that_joined_a_run_rests_like_one_that_started_it(workspace: Workspace) -> None:
    ask(workspace, drifted(0), 0.0, DROP, CHANGE)
    end(workspace, "done")
    assert [d.outcome for d in ask(workspace, drifted(200), 50.0, DROP, CHANGE)] == ["suppressed", "suppressed"]
    assert [d.outcome for d in ask(workspace, drifted(400), 100.0, CHANGE, DROP)] == ["done", "suppressed"]
    assert len(all_runs(workspace)) == 2


def test_a_new_window_within_the_cooldown_is_suppressed_once(workspace: Workspace) -> None:
    ask(workspace, drifted(0), 0.0)
    end(workspace, "done")
    for first in (200, 400):
        outcomes = [d.outcome for now in range(10) for d in ask(workspace, drifted(first), 10.0 + now)]
        assert outcomes == ["suppressed"]
    assert [d.outcome for d in ask(workspace, drifted(400), 100.0)] == ["done"]
    assert len(all_runs(workspace)) == 2


@pytest.mark.parametrize("status", ["failed", "refused", "stopped", "crashed"])
def test_a_run_that_came_to_nothing_is_not_repeated_for_the_same_reason(workspace: Workspace, status: RunStatus) -> None:
    ask(workspace, drifted(), 0.0)
    end(workspace, status)
    assert [ask(workspace, drifted(), now) for now in (1.0, 1000.0, 1e6)] == [[], [], []]
    assert len(all_runs(workspace)) == 1


def test_no_second_run_while_one_is_running(workspace: Workspace) -> None:
    [first] = ask(workspace, drifted(), 0.0)
    with workspace.write() as tx:
        assert runs.claim(tx, all_runs(workspace)[0].id) is not None
    [other] = ask(workspace, Evidence(new_rows=99, stamp="s"), 1.0, ROWS)
    assert (first.outcome, other.outcome) == ("done", "suppressed")
    assert "queued or running" in other.reason
    end(workspace, "done")
    # What was only suppressed may still start a run, when nothing is in the way any more.
    [later] = ask(workspace, Evidence(new_rows=99, stamp="s"), 2.0, ROWS)
    assert later.outcome == "done"


def test_several_processes_start_one_run(workspace: Workspace) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = [d for part in pool.map(lambda _: ask(workspace, drifted(), 0.0, DROP, CHANGE), range(8)) for d in part]
    assert sorted((d.rule, d.outcome) for d in found) == [(CHANGE.rule, "suppressed"), (DROP.rule, "done")]
    assert len(all_runs(workspace)) == 1


def test_a_person_needs_no_reason_and_joins_what_is_queued(workspace: Workspace) -> None:
    [first] = fire(workspace, "digits", [by_person(options={"foreground": True})], now=0.0, actor="ana")
    [second] = fire(workspace, "digits", [by_person("Again, please.")], now=0.1, actor="ana")
    assert (first.outcome, first.actor, second.outcome) == ("done", "ana", "suppressed")
    assert [run.options for run in all_runs(workspace)] == [{"foreground": True}]
    end(workspace, "done")
    [third] = fire(workspace, "digits", [by_person()], now=0.2, actor="ana")
    assert third.outcome == "done"


def test_a_schedule_survives_a_restart(tmp_path: Path) -> None:
    hour = triggers.every("hour")
    with Workspace(tmp_path) as workspace:
        assert [d.outcome for d in ask(workspace, Evidence(), 3600.0 * 10 + 5, hour)] == ["done"]
        end(workspace, "done")
    with Workspace(tmp_path) as workspace:
        assert ask(workspace, Evidence(since=3600.0 * 10 + 6), 3600.0 * 10 + 3599, hour) == []
        # Many hours later: one run for all the slots that passed.
        assert [d.outcome for d in ask(workspace, Evidence(since=3600.0 * 10 + 6), 3600.0 * 15, hour)] == ["done"]
        end(workspace, "done")
        assert ask(workspace, Evidence(since=3600.0 * 15), 3600.0 * 15 + 1, hour) == []


def test_rows_that_keep_trickling_in_are_suppressed_once_a_run(workspace: Workspace) -> None:
    [fired] = ask(workspace, Evidence(new_rows=10, stamp="a", since=0.0), 1.0, ROWS)
    end(workspace, "done")
    held = [d for k in range(20) for d in ask(workspace, Evidence(new_rows=10 + k, stamp=f"b{k}", since=1.0), 2.0 + k, ROWS)]
    assert [(fired.outcome, len(held), held[0].outcome)] == [("done", 1, "suppressed")]
    [again] = ask(workspace, Evidence(new_rows=40, stamp="c", since=1.0), 200.0, ROWS)
    assert again.outcome == "done"
