"""Windows -> coordinates of a small line chart. No markup here; the template draws it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from everloop.core.models import Metric
from everloop.queries.windows import WindowState

WIDTH, HEIGHT, MARGIN = 640, 120, 8


class Point(msgspec.Struct, frozen=True):
    x: float
    y: float
    title: str
    failed: bool


class Series(msgspec.Struct, frozen=True):
    """`line` is an SVG path with a gap where a value is missing; `band` one closed path a stretch around the 95 % intervals."""

    name: str
    line: str
    band: str
    points: tuple[Point, ...]


NAME_WIDTH = 60


class Change(msgspec.Struct, frozen=True):
    """Where another version began to answer. `named` when there is room for its name: in a canary versions change from window to window."""

    x: float
    version: int
    named: bool


class Sparkline(msgspec.Struct, frozen=True):
    metric: str
    low: float
    high: float
    series: tuple[Series, ...]
    changes: tuple[Change, ...]


def sparkline(states: Sequence[WindowState]) -> Sparkline | None:
    """The newest window's metric, estimated and realised, over the windows in their order; None when there is nothing to draw."""
    metric = next((m.name for state in reversed(states) for m in (state.window.realised, state.window.estimated) if m is not None), None)
    if metric is None:
        return None
    rows = {
        "estimated": [_matching(state.window.estimated, metric) for state in states],
        "realised": [_matching(state.window.realised, metric) for state in states],
    }
    numbers = [value for row in rows.values() for m in row if m is not None for value in _finite(m)]
    if not numbers:
        return None
    low, high = min(numbers), max(numbers)
    pad = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    low, high = low - pad, high + pad
    across = [
        round(MARGIN + (WIDTH - 2 * MARGIN) * (place / (len(states) - 1) if len(states) > 1 else 0.5), 1) for place in range(len(states))
    ]

    def up(value: float) -> float:
        return round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - low) / (high - low), 1)

    series: list[Series] = []
    for name, row in rows.items():
        points: list[Point] = []
        stretches: list[list[tuple[float, float, float, float]]] = [[]]
        for x, state, m in zip(across, states, row, strict=True):
            if m is None or m.value is None or not math.isfinite(m.value):
                stretches.append([])
                continue
            at = up(m.value)
            title = f"{name} {metric} {m.value:.4g} (n = {m.n}), version {state.window.version}"
            points.append(Point(x, at, title, not state.passed))
            bottom = up(m.low) if m.low is not None and math.isfinite(m.low) else at
            top = up(m.high) if m.high is not None and math.isfinite(m.high) else at
            stretches[-1].append((x, at, bottom, top))
        drawn = [stretch for stretch in stretches if stretch]
        line = " ".join("M" + " L".join(f"{x} {y}" for x, y, _, _ in stretch) for stretch in drawn)
        band = " ".join(
            "M" + " L".join([f"{x} {b}" for x, _, b, _ in stretch] + [f"{x} {t}" for x, _, _, t in reversed(stretch)]) + " Z"
            for stretch in drawn
        )
        if points:
            series.append(Series(name, line, band, tuple(points)))
    changes: list[Change] = []
    for place in range(1, len(states)):
        if states[place].window.version != states[place - 1].window.version:
            x = round((across[place - 1] + across[place]) / 2, 1)
            last = max((change.x for change in changes if change.named), default=-NAME_WIDTH)
            changes.append(Change(x, states[place].window.version, x - last >= NAME_WIDTH))
    return Sparkline(metric, low, high, tuple(series), tuple(changes))


def _matching(metric: Metric | None, name: str) -> Metric | None:
    return metric if metric is not None and metric.name == name else None


def _finite(metric: Metric) -> list[float]:
    return [value for value in (metric.value, metric.low, metric.high) if value is not None and math.isfinite(value)]
