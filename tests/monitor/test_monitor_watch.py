"""Watching a workspace: real captures, real tables, real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from monitor_world import LOOP, NUMBER, Traffic, add_version, deploy, look, world

from everloop.core.live import Window
from everloop.monitor.late import worth_another_look
from everloop.monitor.watch import latest
from everloop.monitor.windows import Judged
from everloop.store import ledger, records, registry
from everloop.store.schema import records as records_table
from everloop.store.workspace import Workspace

PAGES = "monitor:estimated_performance"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path) as opened:
        yield opened


def windows(workspace: Workspace) -> list[Window]:
    with workspace.read() as tx:
        ids = tx.execute(sa.select(records_table.c.id).where(records_table.c.kind == "window")).scalars().all()
        return sorted((records.load(tx, id, Window) for id in ids), key=lambda w: (w.version, w.first, w.labelled))


def checks(found: list[object]) -> list[str]:
    return [finding.check for one in found for finding in one.verdict.failures]  # type: ignore[attr-defined]


def test_nothing_was_served_yet(workspace: Workspace) -> None:
    world(workspace)
    assert look(workspace) == []


def test_healthy_traffic_pages_nobody(workspace: Workspace) -> None:
    world(workspace)
    Traffic(workspace).send(2050)
    found = look(workspace)
    assert [(one.window.first, one.window.rows) for one in found] == [(first, 200) for first in range(0, 2000, 200)]
    assert all(one.verdict.passed for one in found)
    with workspace.read() as tx:
        assert ledger.find(tx) == []
        assert latest(tx, LOOP, 1) == (found[-1].window, found[-1].verdict)
        assert records.dangling(tx) == []
    assert look(workspace) == []


def test_a_new_scanner_pages_once(workspace: Workspace) -> None:
    world(workspace)
    traffic = Traffic(workspace)
    traffic.send(400)
    traffic.send(600, blur=1.0)
    found = look(workspace)
    decisions = [decision for one in found for decision in one.decisions]
    assert [(d.rule, d.outcome) for d in decisions] == [(PAGES, "done"), (PAGES, "suppressed"), (PAGES, "suppressed")]
    failed = found[2]
    assert failed.window.estimated is not None
    assert decisions[0].about[:2] == (failed.window.id, failed.verdict.id)
    drifted = next(finding for finding in failed.verdict.findings if finding.check == "feature_drift")
    assert list(drifted.evidence["columns"]) == ["x0"]  # type: ignore[call-overload]
    with workspace.read() as tx:
        assert ledger.verify(tx) == []


def test_each_version_has_windows_of_its_own_and_only_the_champion_pages(workspace: Workspace) -> None:
    world(workspace)
    add_version(workspace, 2)
    deploy(workspace, 1, challenger=2, stage="canary", share=0.3)
    traffic = Traffic(workspace)
    for _ in range(4):
        traffic.send(100)
        traffic.send(70, version=2, role="canary", blur=1.0)
        traffic.send(50, version=2, role="shadow", blur=1.0)
    found = look(workspace, window_rows=140)
    assert sorted((one.window.version, one.window.first) for one in found) == [(1, 0), (1, 140), (2, 0), (2, 140)]
    assert checks([one for one in found if one.window.version == 2]) == ["estimated_performance"] * 2
    assert [one.decisions for one in found] == [()] * 4


def test_a_replaced_version_leaves_a_short_window(workspace: Workspace) -> None:
    world(workspace)
    add_version(workspace, 2)
    traffic = Traffic(workspace)
    traffic.send(90)
    deploy(workspace, 2, at=2000.0)
    traffic.send(30, version=2)
    assert look(workspace, now=2030.0) == []
    found = look(workspace, now=2061.0)
    assert [(one.window.version, one.window.rows) for one in found] == [(1, 90)]
    traffic.send(170, version=2)
    assert [(one.window.version, one.window.rows) for one in look(workspace, now=2062.0)] == [(2, 200)]


def test_labels_that_come_late_judge_the_window_again(workspace: Workspace) -> None:
    world(workspace)
    traffic = Traffic(workspace)
    sent = traffic.send(450)
    assert len(look(workspace)) == 2
    traffic.label(sent[:20], right=0.0)
    assert look(workspace) == []  # too few to say anything
    traffic.label(sent[20:60], right=0.0)
    [again] = look(workspace)
    assert (again.window.first, again.window.labelled) == (0, 60)
    assert again.window.realised is not None
    assert again.window.realised.value == 0
    assert [(d.rule, d.outcome) for d in again.decisions] == [("monitor:realised_performance", "done")]
    with workspace.read() as tx:
        assert latest(tx, LOOP, 1) == (again.window, again.verdict)  # it is what the trigger must see
    assert look(workspace) == []
    traffic.label(sent[200:400], right=0.95)
    [fine] = look(workspace)
    assert fine.verdict.passed
    assert fine.decisions == ()
    assert [w.labelled for w in windows(workspace)] == [0, 60, 0, 200]


def test_labels_known_in_time_are_in_the_window(workspace: Workspace) -> None:
    world(workspace)
    traffic = Traffic(workspace)
    traffic.label(traffic.send(200), right=0.5)
    [one] = look(workspace)
    assert one.window.labelled == 200
    assert checks([one]) == ["realised_performance"]
    assert look(workspace) == []


def test_few_looks_at_one_window() -> None:
    judged = Judged(window="w", verdict="v", first=0, rows=1000, labelled=0, start={}, end={})
    looks = 0
    for known in range(1001):
        if worth_another_look(judged, known):
            looks += 1
            judged = Judged(window="w", verdict="v", first=0, rows=1000, labelled=known, start={}, end={})
    assert looks == 4  # 30, 120, 480, 1000


def test_a_regression_is_watched_without_estimates(workspace: Workspace) -> None:
    world(workspace, signature=NUMBER)
    traffic = Traffic(workspace)
    traffic.send(400, number=True)
    traffic.send(200, number=True, blur=3.0)
    found = look(workspace)
    assert [one.window.estimated for one in found] == [None] * 3
    assert [one.verdict.passed for one in found] == [True] * 3
    warned = [[finding.check for finding in one.verdict.warnings] for one in found]
    assert warned == [[], [], ["prediction_drift"]]


def test_predictions_of_a_version_that_nobody_knows_are_passed_over_and_told(workspace: Workspace) -> None:
    world(workspace)
    traffic = Traffic(workspace)
    traffic.send(200, version=9)
    traffic.send(200)
    assert [one.window.version for one in look(workspace)] == [1]
    with workspace.read() as tx:
        [told] = ledger.find(tx, rule="monitor:unknown_version")
    assert "digits/9" in told.reason
    assert look(workspace) == []


def test_two_watchers_at_once_close_each_window_once(workspace: Workspace) -> None:
    world(workspace)
    Traffic(workspace).send(2000, blur=1.0)
    with ThreadPoolExecutor(4) as pool:
        found = [one for part in pool.map(lambda _: look(workspace, window_rows=100), range(4)) for one in part]
    assert sorted(one.window.first for one in found) == list(range(0, 2000, 100))
    with workspace.read() as tx:
        assert len(ledger.find(tx, rule=PAGES)) == 20
        assert len(ledger.find(tx, rule=PAGES, outcome="done")) == 1
        assert ledger.verify(tx) == []


def test_kill_9_between_windows_loses_and_repeats_none(workspace: Workspace) -> None:
    world(workspace)
    Traffic(workspace).send(520, blur=1.0)
    for die_at, left in ((1, 0), (3, 2), (4, 5)):
        process = watcher(workspace, die_at)
        assert process.returncode == -9, process.stderr
        assert len(windows(workspace)) == left
        with workspace.read() as tx:
            assert len(ledger.find(tx, rule=PAGES)) == left  # a window's page is there exactly when the window is
            assert records.dangling(tx) == []
    process = watcher(workspace, 0)
    assert (process.returncode, process.stdout.strip()) == (0, "5"), process.stderr
    assert [w.first for w in windows(workspace)] == list(range(0, 500, 50))
    with workspace.read() as tx:
        assert ledger.verify(tx) == []
        assert len(ledger.find(tx, rule=PAGES)) == 10
        assert len(ledger.find(tx, rule=PAGES, outcome="done")) == 1


def watcher(workspace: Workspace, die_at: int) -> subprocess.CompletedProcess[str]:
    script = Path(__file__).with_name("watching_process.py")
    return subprocess.run(
        [sys.executable, str(script), str(workspace.project), str(die_at)], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_window_that_makes_no_sense_is_refused(workspace: Workspace) -> None:
    with pytest.raises(Exception, match="1 to 50000 rows, not 0"):
        look(workspace, window_rows=0)


def test_a_rolled_back_version_goes_on_where_it_stopped(workspace: Workspace) -> None:
    world(workspace)
    traffic = Traffic(workspace)
    traffic.send(150)
    add_version(workspace, 2)
    deploy(workspace, 2, at=1900.0)
    look(workspace)
    deploy(workspace, 1, at=2000.0)
    traffic.send(200)
    look(workspace, now=2100.0)
    with workspace.read() as tx:
        assert registry.deployment(tx, LOOP).champion == 1
    assert [(w.first, w.rows) for w in windows(workspace)] == [(0, 150), (150, 200)]
