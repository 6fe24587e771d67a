"""The pure parts of the pages: the ring's rules, the chart's coordinates, and how times and ids are written."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.live import Decision, Deployment, Window
from everloop.core.models import Metric
from everloop.core.runs import Run, RunStatus, Step
from everloop.core.verdict import Finding, Verdict
from everloop.queries.ring import STATIONS, Station, ring
from everloop.queries.windows import WindowState
from everloop.server.web.render import ago, explainable, short, span
from everloop.server.web.sparkline import HEIGHT, WIDTH, sparkline

metrics = st.none() | st.builds(
    Metric,
    name=st.sampled_from(["accuracy", "mae"]),
    value=st.none() | st.floats(-1e9, 1e9) | st.just(float("nan")),
    n=st.integers(0, 1000),
    low=st.none() | st.floats(-1e9, 1e9) | st.just(float("-inf")),
    high=st.none() | st.floats(-1e9, 1e9),
)
windows = st.builds(
    Window, loop=st.just("l"), version=st.integers(1, 3), first=st.integers(0, 10), rows=st.just(1), start=st.just(0.0), end=st.just(1.0),
    profile=st.just(""), estimated=metrics, realised=metrics,
)  # fmt: skip


@given(st.lists(windows, max_size=12))
def test_a_chart_stays_within_its_box_and_draws_every_finite_value(found: list[Window]) -> None:
    chart = sparkline([WindowState(id="w", window=window, verdicts=()) for window in found])
    if chart is None:
        return
    for series in chart.series:
        numbers = [float(text) for text in re.findall(r"-?[\d.]+(?:e-?\d+)?", series.line + " " + series.band)]
        assert all(0 <= x <= WIDTH for x in numbers[::2])
        assert all(0 <= y <= HEIGHT for y in numbers[1::2])
        drawn = [getattr(window, series.name) for window in found]
        finite = [m for m in drawn if m is not None and m.name == chart.metric and m.value is not None and m.value == m.value]
        assert len(series.points) == len(finite)


def test_a_missing_value_is_a_gap_and_a_new_version_a_line() -> None:
    def state(value: float | None, version: int) -> WindowState:
        window = Window(
            loop="l", version=version, first=0, rows=1, start=0, end=1, profile="", estimated=Metric(name="accuracy", value=value, n=5)
        )
        return WindowState(id="w", window=window, verdicts=())

    chart = sparkline([state(0.9, 1), state(None, 1), state(0.8, 2)])
    assert chart is not None
    assert chart.series[0].line.count("M") == 2
    assert [change.version for change in chart.changes] == [2]
    assert chart.low < 0.8 < 0.9 < chart.high
    assert sparkline([state(None, 1)]) is None
    assert sparkline([]) is None


def stations(
    *, status: RunStatus | None = None, made: tuple[str, ...] = (), deployment: Deployment | None = None, window: WindowState | None = None,
    last: Decision | None = None, page: Decision | None = None, abandoned: bool = False,
) -> dict[str, Station]:  # fmt: skip
    run = (
        None
        if status is None
        else Run(id="run-1", loop="l", pipeline="cycle", status=status, error="the reason" if status != "done" else "")
    )
    steps = [Step(run="run-1", seq=seq, name="s", key="", status="done", output=f"{kind}-{'0' * 24}") for seq, kind in enumerate(made)]
    found = ring(deployment or Deployment(loop="l"), run=run, steps=steps, abandoned=abandoned, window=window, last=last, page=page)
    assert tuple(station.name for station in found) == STATIONS
    assert sum(station.here for station in found) == 1
    return {station.name: station for station in found}


@pytest.mark.parametrize(
    ("status", "made", "here", "tone"),
    [
        ("queued", (), "data", "busy"),
        ("running", (), "data", "busy"),
        ("running", ("snapshot", "profile", "verdict"), "data", "busy"),
        ("running", ("snapshot", "prepared"), "train", "busy"),
        ("running", ("prepared", "candidate"), "evaluate", "busy"),
        ("running", ("candidate", "evaluation"), "gate", "busy"),
        ("stopped", ("snapshot", "verdict"), "data", "wrong"),
        ("refused", ("prepared", "candidate", "evaluation", "verdict"), "gate", "held"),
        ("failed", ("prepared",), "train", "wrong"),
        ("crashed", ("prepared", "candidate"), "evaluate", "wrong"),
        ("failed", ("prepared", "candidate", "evaluation", "version"), "gate", "wrong"),
    ],
)
def test_a_run_stands_at_the_station_after_what_it_made(status: RunStatus, made: tuple[str, ...], here: str, tone: str) -> None:
    found = stations(status=status, made=made)
    assert [name for name, station in found.items() if station.here] == [here]
    assert found[here].tone == tone
    behind = STATIONS[: STATIONS.index(here)]
    assert all(found[name].tone == "ok" for name in behind)


def test_a_loop_stands_where_its_newest_thing_is() -> None:
    champion = Deployment(loop="l", champion=1)
    window = WindowState(id="w", window=Window(loop="l", version=1, first=0, rows=5, start=0, end=1, profile=""), verdicts=())
    assert stations()["data"].here
    assert stations(status="done", deployment=champion)["serve"].here
    assert stations(status="done", deployment=champion, window=window)["watch"].here
    canary = msgspec.structs.replace(champion, challenger=2, stage="canary", share=0.25)
    released = stations(status="done", deployment=canary, window=window)["release"]
    assert released.here
    assert released.note == "l/2 is in canary with 25% of the traffic"
    assert stations(status="running", deployment=canary, window=window)["data"].here
    assert stations(status="running", deployment=champion, abandoned=True)["data"].tone == "wrong"


def test_trouble_shows_at_its_station() -> None:
    window = Window(loop="l", version=1, first=0, rows=5, start=0, end=1, profile="")
    failed = Verdict(question="q", about=window.id, findings=(Finding(check="c", passed=False, message="it fell"),))
    drifted = Verdict(question="q", about=window.id, findings=(Finding(check="c", passed=False, message="it moved", severity="info"),))
    assert stations(window=WindowState(id="w", window=window, verdicts=(failed,)))["watch"].tone == "wrong"
    assert stations(window=WindowState(id="w", window=window, verdicts=(drifted,)))["watch"].tone == "ok"
    page = Decision(seq=1, at=0, loop="l", rule="r", action="page", outcome="done", reason="it fell")
    held = msgspec.structs.replace(page, action="start_run", outcome="suppressed")
    assert stations(last=held, page=page)["decide"].tone == "wrong"
    assert stations(last=held)["decide"].tone == "held"
    assert stations(last=page)["decide"].tone == "ok"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.008, "8 ms"),
        (0.42, "0.42 s"),
        (42, "42 s"),
        (60, "1 min"),
        (182, "3 min 2 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (190_800, "2 d 5 h"),
    ],
)
def test_durations_read_like_a_person_says_them(seconds: float, text: str) -> None:
    assert span(1000.0, 1000.0 + seconds) == text
    assert span(None, 1.0) == span(1.0, None) == ""


def test_ages_are_told_from_now() -> None:
    assert ago(1000.0, 1182.0) == "3 min 2 s ago"
    assert ago(1000.0, 1000.2) == "just now"
    assert ago(1060.0, 1000.0) == "in 1 min"
    assert ago(None, 1.0) == ""


@pytest.mark.parametrize(
    ("id", "linked"),
    [
        ("snapshot-" + "0a" * 12, True), ("decision-" + "0a" * 12, True), ("run-" + "0a" * 11, True), ("bike-demand/12", True),
        ("p-019f3c2ab1c9d8e7f-1a", True), ("0a" * 32, False), ("files: data/*.csv", False), ("javascript:alert(1)", False), ("//evil.example/1", False),
    ],
)  # fmt: skip
def test_only_what_can_be_explained_is_linked(id: str, linked: bool) -> None:
    assert explainable(id) is linked


def test_long_ids_are_cut_where_they_are_still_unique_by_eye() -> None:
    assert short("snapshot-" + "0123456789abcdef01234567") == "snapshot-0123456789"
    assert short("run-" + "0a" * 11) == "run-" + "0a" * 11
    assert short("digits/3") == "digits/3"
