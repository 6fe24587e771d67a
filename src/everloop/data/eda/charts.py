"""Numbers -> small pictures in SVG: no script, no file beside them, readable in light and dark, with the figures in their titles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import accumulate

from markupsafe import Markup

from everloop.core.profiles import ColumnProfile, Correlation
from everloop.data.eda.relations import Relation
from everloop.data.eda.study import Missing
from everloop.data.profile import quantile

BARS = 40
WIDTH, HEIGHT = 320, 84
_AXIS = 14


def svg(width: int, height: int, title: str, parts: Sequence[Markup], kind: str = "") -> Markup:
    return Markup(
        '<svg class="chart {kind}" viewBox="0 0 {width} {height}" style="width: min(100%, {wide}px)" role="img" aria-label="{title}">{parts}</svg>'
    ).format(kind=kind, width=width, height=height, wide=round(1.25 * width), title=title, parts=Markup("").join(parts))


def distribution(column: ColumnProfile, before: ColumnProfile | None = None) -> Markup:
    """A histogram of numbers and times, bars of texts, bytes and lists by their lengths; `before` as an outline over it."""
    if column.edges and column.low is not None and column.high is not None:
        return _histogram(column, before if before and before.edges else None)
    if column.top:
        return categories(column, before if before and before.top else None)
    return Markup("")


def _histogram(column: ColumnProfile, before: ColumnProfile | None) -> Markup:
    marks = spread([column] if before is None else [column, before], BARS)
    bars, start, width = len(marks) - 1, marks[0], marks[1] - marks[0]
    low, high = (marks[0] + 0.5, marks[-1] - 0.5) if column.kind in ("int", "bool") and width == 1 else (marks[0], marks[-1])
    now = masses(column, marks)
    then = masses(before, marks) if before else []
    top = max([*now, *then, 1e-12])
    step = WIDTH / bars
    parts = [
        Markup('<rect class="bar" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"><title>{t}</title></rect>').format(
            x=at * step + 0.5,
            y=HEIGHT - _AXIS - (HEIGHT - _AXIS) * mass / top,
            w=max(step - 1, 0.5),
            h=(HEIGHT - _AXIS) * mass / top,
            t=f"{_bar(column, marks[at], width)}: {mass:.2%}",
        )
        for at, mass in enumerate(now)
        if mass
    ]
    if then:
        line = " ".join(f"{at * step:.1f},{HEIGHT - _AXIS - (HEIGHT - _AXIS) * mass / top:.1f}" for at, mass in _corners(then))
        parts.append(Markup('<polyline class="before" points="{line}"><title>before</title></polyline>').format(line=line))
    median = quantile(column, 0.5)
    if median is not None and low <= median <= high:
        x = (median - start) / (width * bars) * WIDTH
        parts.append(
            Markup('<line class="median" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{y}"><title>{t}</title></line>').format(
                x=x, y=HEIGHT - _AXIS, t=f"median {text(column, median)}"
            )
        )
    parts += _axis(text(column, low), text(column, high))
    return svg(WIDTH, HEIGHT, f"Distribution of {column.name}", parts)


def spread(columns: Sequence[ColumnProfile], bars: int) -> list[float]:
    """The borders between at most so many bars: a bar a number for whole numbers that are few, else evenly over all but the outermost values."""
    whole = all(column.kind in ("int", "bool") for column in columns)
    low, high = min(column.low or 0.0 for column in columns), max(column.high or 0.0 for column in columns)
    if whole and high - low < bars:
        return [low - 0.5 + at for at in range(int(high - low) + 2)]
    if not any(column.kind == "time" for column in columns) and (inner := (_within(columns, 0.005), _within(columns, 0.995)))[0] < inner[1]:
        low, high = inner
    # Floats have no room for bars between neighbours.
    least = max(abs(low), abs(high)) * 1e-9 or 1.0
    if high - low < least:
        low, high = (low + high) / 2 - least / 2, (low + high) / 2 + least / 2
    # The highest value lies in the last bar, not behind it.
    step = (high - low) / bars * (1 + 1e-6)
    return [low + step * at for at in range(bars + 1)]


def categories(column: ColumnProfile, before: ColumnProfile | None = None, most: int = 8) -> Markup:
    shown = list(column.top[:most])
    rest = column.valid - sum(count for _, count in shown)
    rows: list[tuple[str, float, float | None]] = []
    then = dict(before.top) if before else {}
    for name, count in shown:
        rows.append((name, count / max(column.valid, 1), then.get(name, 0) / max(before.valid, 1) if before else None))
    if rest > 0:
        left = max(column.distinct - len(shown), 1)
        rows.append((f"{'' if column.exact_distinct else 'about '}{left:,} others", rest / max(column.valid, 1), None))
    return _rows(f"Most frequent values of {column.name}", rows, lambda share: f"{share:.1%}")


def relation(found: Relation, target: str) -> Markup:
    """The target's mean in each group of the feature's values, or how the classes share it."""
    if found.classes:
        return _stacked(found, target)
    means = [group.mean or 0.0 for group in found.groups]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    step = WIDTH / len(found.groups)
    floor = HEIGHT - _AXIS - 6
    widest = max(group.rows for group in found.groups)
    parts: list[Markup] = []
    places: list[tuple[float, float]] = []
    for at, group in enumerate(found.groups):
        x, mean, error = (at + 0.5) * step, group.mean or 0.0, group.error or 0.0
        y = 6 + (floor - 6) * (1 - (mean - low) / span)
        reach = (floor - 6) * 1.96 * error / span
        places.append((x, y))
        parts.append(
            Markup('<rect class="mass" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"></rect>').format(
                x=at * step + 1, y=HEIGHT - _AXIS - 14 * group.rows / widest, w=max(step - 2, 0.5), h=14 * group.rows / widest
            )
        )
        parts.append(
            Markup('<line class="error" x1="{x:.1f}" x2="{x:.1f}" y1="{a:.1f}" y2="{b:.1f}"></line>').format(
                x=x, a=max(y - reach, 0), b=min(y + reach, HEIGHT - _AXIS)
            )
        )
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts.append(Markup('<polyline class="curve" points="{line}"></polyline>').format(line=line))
    for (x, y), group in zip(places, found.groups, strict=True):
        told = f"{found.feature} {group.label}: mean {target} {group.mean:.4g} (± {1.96 * (group.error or 0):.2g}), {group.rows:,} rows of the sample"
        parts.append(Markup('<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{t}</title></circle>').format(x=x, y=y, t=told))
    parts += _axis(found.groups[0].label, found.groups[-1].label)
    return svg(WIDTH, HEIGHT, f"{target} by {found.feature}", parts)


def _stacked(found: Relation, target: str) -> Markup:
    step = WIDTH / len(found.groups)
    floor = HEIGHT - _AXIS
    parts: list[Markup] = []
    for at, group in enumerate(found.groups):
        tops = [0.0, *accumulate(group.shares)]
        for number, (name, share) in enumerate(zip(found.classes, group.shares, strict=True)):
            if not share:
                continue
            told = f"{found.feature} {group.label}: {target} {name} {share:.1%} of {group.rows:,} rows of the sample"
            parts.append(
                Markup(
                    '<rect class="class c{n}" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"><title>{t}</title></rect>'
                ).format(n=number, x=at * step + 0.5, y=floor * (1 - tops[number + 1]), w=max(step - 1, 0.5), h=floor * share, t=told)
            )
    parts += _axis(found.groups[0].label, found.groups[-1].label)
    return svg(WIDTH, HEIGHT, f"{target} by {found.feature}", parts)


def missing_map(found: Missing, rows: int) -> Markup:
    """A line a column, a cell a stretch of rows: the darker, the more is missing."""
    left, line, cell = 170, 15, 9
    parts: list[Markup] = []
    for at, (name, shares) in enumerate(zip(found.columns, found.shares, strict=True)):
        parts.append(
            Markup('<text x="{x}" y="{y}" class="name end">{name}</text>').format(x=left - 6, y=at * line + 11, name=_short(name, 26))
        )
        for place, share in enumerate(shares):
            low, high = place * rows // len(shares), (place + 1) * rows // len(shares)
            parts.append(
                Markup('<rect class="gap" x="{x}" y="{y}" width="{w}" height="{h}" fill-opacity="{o:.2f}"><title>{t}</title></rect>').format(
                    x=left + place * cell, y=at * line, w=cell - 1, h=line - 2, o=0.06 + 0.94 * share,
                    t=f"{name}, rows {low:,} to {high:,}: {share:.1%} missing",
                )
            )  # fmt: skip
    width = left + cell * (len(found.shares[0]) if found.shares else 0)
    return svg(width, line * len(found.columns) + 2, "Where values are missing", parts, "wide")


def correlations(pairs: Sequence[Correlation], most: int = 24) -> Markup:
    """A square a pair of numeric columns: blue goes together, red goes against, the stronger the darker."""
    names = list(dict.fromkeys(name for pair in pairs for name in (pair.a, pair.b)))
    strength = dict.fromkeys(names, 0.0)
    for pair in pairs:
        for name in (pair.a, pair.b):
            strength[name] = max(strength[name], abs(pair.r or 0.0))
    if len(names) > most:
        names = [name for name in names if name in sorted(names, key=lambda name: -strength[name])[:most]]
    known = {frozenset((pair.a, pair.b)): pair for pair in pairs}
    left, cell = 130, 20
    parts: list[Markup] = []
    for row, a in enumerate(names):
        parts.append(
            Markup('<text x="{x}" y="{y}" class="name end">{name}</text>').format(x=left - 5, y=row * cell + 14, name=_short(a, 19))
        )
        for column, b in enumerate(names[:row]):
            pair = known.get(frozenset((a, b)))
            if pair is None or pair.r is None:
                continue
            parts.append(
                Markup(
                    '<rect class="{sign}" x="{x}" y="{y}" width="{w}" height="{w}" fill-opacity="{o:.2f}"><title>{t}</title></rect>'
                ).format(
                    sign="with" if pair.r >= 0 else "against", x=left + column * cell, y=row * cell, w=cell - 1, o=0.05 + 0.95 * abs(pair.r),
                    t=f"{a} and {b}: r = {pair.r:.3f} over {pair.n:,} rows",
                )
            )  # fmt: skip
            if abs(pair.r) >= 0.5:
                parts.append(
                    Markup('<text x="{x}" y="{y}" class="r">{r}</text>').format(
                        x=left + column * cell + 9.5, y=row * cell + 13, r=f"{pair.r:.1f}".replace("0.", ".")
                    )
                )
    return svg(left + cell * len(names), cell * len(names), "Correlations", parts, "square")


def text(column: ColumnProfile, value: float) -> str:
    """A value of the column as people write it."""
    if column.kind == "time":
        try:
            moment = datetime.fromtimestamp(value, UTC)
        except (OverflowError, ValueError, OSError):
            return f"{value:.6g}"
        long = (column.high or 0.0) - (column.low or 0.0) > 3 * 86_400
        return f"{moment:%Y-%m-%d}" if long else f"{moment:%m-%d %H:%M:%S}"
    return f"{value:,.0f}" if column.kind == "int" and abs(value) < 1e15 else f"{value:.4g}"


def _bar(column: ColumnProfile, start: float, width: float) -> str:
    if width == 1 and column.kind in ("int", "bool"):
        return text(column, start + 0.5)
    return f"{text(column, start)} to {text(column, start + width)}"


def _rows(title: str, rows: Sequence[tuple[str, float, float | None]], told: Callable[[float], str]) -> Markup:
    left, line = 128, 15
    room = WIDTH - left - 44
    top = max((max(share, then or 0.0) for _, share, then in rows), default=1.0) or 1.0
    parts: list[Markup] = []
    for at, (name, share, then) in enumerate(rows):
        y = at * line
        parts.append(Markup('<text x="{x}" y="{y}" class="name end">{name}</text>').format(x=left - 5, y=y + 11, name=_short(name, 20)))
        parts.append(
            Markup('<rect class="bar" x="{x}" y="{y}" width="{w:.1f}" height="{h}"><title>{t}</title></rect>').format(
                x=left,
                y=y + 1,
                w=room * share / top,
                h=line - 4,
                t=f"{name}: {told(share)}" + ("" if then is None else f", before {told(then)}"),
            )
        )
        if then is not None:
            parts.append(
                Markup('<line class="before" x1="{x:.1f}" x2="{x:.1f}" y1="{a}" y2="{b}"></line>').format(
                    x=left + room * then / top, a=y, b=y + line - 2
                )
            )
        parts.append(
            Markup('<text x="{x:.1f}" y="{y}" class="figure">{t}</text>').format(x=left + room * share / top + 4, y=y + 11, t=told(share))
        )
    return svg(WIDTH, line * len(rows) + 2, title, parts)


def _axis(low: str, high: str) -> list[Markup]:
    return [
        Markup('<text x="0" y="{y}" class="tick">{t}</text>').format(y=HEIGHT - 3, t=_short(low, 24)),
        Markup('<text x="{x}" y="{y}" class="tick end">{t}</text>').format(x=WIDTH, y=HEIGHT - 3, t=_short(high, 24)),
    ]


def _within(columns: Sequence[ColumnProfile], share: float) -> float:
    found = [value for column in columns if (value := quantile(column, share)) is not None]
    return (min if share < 0.5 else max)(found, default=0.0)


def masses(column: ColumnProfile, marks: Sequence[float]) -> list[float]:
    """The share of the column's values between each two marks, those within one bin spread evenly; what lies outside the marks is not shown."""
    total = sum(column.counts)
    found = [0.0] * (len(marks) - 1)
    if not total:
        return found
    width = marks[1] - marks[0]
    for low, high, count in zip(column.edges, column.edges[1:], column.counts, strict=False):
        # A value that many rows share has a bin as narrow as numbers can be.
        first, last = (low - marks[0]) / width, (high - marks[0]) / width
        if last - first < 1e-9 or column.distinct == len(column.counts):
            at = int(first + 1e-9)
            if 0 <= at < len(found) and first >= -1e-9:
                found[at] += count / total
            continue
        for at in range(max(int(first), 0), min(int(last) + 1, len(found))):
            overlap = min(last, at + 1) - max(first, at)
            if overlap > 0:
                found[at] += count / total * overlap / (last - first)
    return found


def _corners(masses: Sequence[float]) -> list[tuple[float, float]]:
    return [corner for at, mass in enumerate(masses) for corner in ((float(at), mass), (at + 1.0, mass))]


def _short(text: str, most: int) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"
