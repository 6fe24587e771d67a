"""Pages: decided once, delivered at least once, and no sink holds up another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from everloop.core import plugins
from everloop.core.live import Decision
from everloop.monitor.pages import deliver_pending, page, undelivered
from everloop.store import ledger
from everloop.store.workspace import Workspace

SINK = """
def deliver(page, *, home):
    if (home / "down").exists():
        raise ConnectionError("the line is dead")
    with (home / "rung").open("a") as bell:
        bell.write(page.decision + "\\n")
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path) as opened:
        yield opened


@pytest.fixture
def bell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An installed sink that rings unless a file `down` is there."""
    site = tmp_path / "site"
    info = site / "bell_sink-0.dist-info"
    info.mkdir(parents=True)
    (site / "bell_sink.py").write_text(SINK)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bell-sink\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[everloop.sinks]\nbell = bell_sink:deliver\n")
    monkeypatch.syspath_prepend(str(site))
    plugins._group.cache_clear()
    yield "bell"
    plugins._group.cache_clear()


def call(workspace: Workspace, at: float, *, rule: str = "monitor:estimated_performance", **more: object) -> Decision:
    with workspace.write() as tx:
        return page(tx, loop="digits", rule=rule, reason="Accuracy fell. It was 0.95.", actor="test", at=at, **more)  # type: ignore[arg-type]


def lines(workspace: Workspace) -> list[dict[str, object]]:
    file = workspace.home / "pages.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_page_reaches_console_and_file(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    decision = call(workspace, 100.0)
    assert deliver_pending(workspace, 101.0) == 2
    assert deliver_pending(workspace, 102.0) == 0
    assert lines(workspace) == [{"loop": "digits", "title": "Accuracy fell", "body": "It was 0.95.", "decision": decision.id, "at": 100.0}]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert decision.id in captured.err


def test_the_same_alarm_is_suppressed_until_the_cooldown_is_over(workspace: Workspace) -> None:
    outcomes = [call(workspace, at, cooldown_s=50.0).outcome for at in (0.0, 49.9, 50.0, 60.0, 101.0)]
    assert outcomes == ["done", "suppressed", "done", "suppressed", "done"]
    assert call(workspace, 1.0, rule="schema").outcome == "done"
    deliver_pending(workspace, 200.0)
    assert len(lines(workspace)) == 4
    with workspace.read() as tx:
        first = ledger.find(tx, action="page", outcome="done", limit=1)[0]
        assert first.id in ledger.find(tx, outcome="suppressed")[0].about
        assert ledger.verify(tx) == []


def test_a_page_and_its_decision_are_one(workspace: Workspace) -> None:
    def fail_before_it_commits() -> None:
        with workspace.write() as tx:
            page(tx, loop="digits", rule="r", reason="x", actor="test", at=0.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_before_it_commits()
    with workspace.read() as tx:
        assert undelivered(tx) == []
        assert ledger.find(tx) == []


def test_a_sink_that_is_down_is_asked_again_and_holds_up_nobody(workspace: Workspace, bell: str) -> None:
    (workspace.home / "down").touch()
    decision = call(workspace, 0.0, sinks=(bell, "file"))
    assert deliver_pending(workspace, 0.0) == 1
    assert len(lines(workspace)) == 1
    with workspace.read() as tx:
        assert undelivered(tx, "digits") == [(decision.id, bell, 1, "ConnectionError: the line is dead")]
    tried: list[int] = []
    for second in range(40):
        deliver_pending(workspace, float(second))
        with workspace.read() as tx:
            tried.append(undelivered(tx)[0][2])
    assert [tried.index(n) for n in (2, 3, 4)] == [5, 15, 35]
    (workspace.home / "down").unlink()
    assert deliver_pending(workspace, 74.0) == 0
    assert deliver_pending(workspace, 75.0) == 1
    assert (workspace.home / "rung").read_text().split() == [decision.id]
    assert len(lines(workspace)) == 1


def test_a_sink_that_is_not_installed_any_more_holds_up_nobody(workspace: Workspace) -> None:
    call(workspace, 0.0, sinks=("pigeon", "file"))
    assert deliver_pending(workspace, 0.0) == 1
    with workspace.read() as tx:
        [(_, sink, _, error)] = undelivered(tx)
    assert sink == "pigeon"
    assert "'pigeon' does not exist" in error
